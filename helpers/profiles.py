"""Profiles: on what a notebook runs. One text and one code path; a profile says which models and
data, where, and how much of everything."""

import copy
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType

import psutil
import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from helpers import compat, lm, runtime, setup
from helpers.data import LabelTask
from helpers.errors import CourseError
from helpers.lm import chat
from helpers.public import hub
from helpers.public import medicine as abstracts
from helpers.public import news as tweets
from helpers.training import processes
from helpers.world import lists
from helpers.world import medicine as illnesses
from helpers.world import news as headlines


@dataclass(frozen=True)
class Budget:
    """How much a notebook does.

    ``prompts``: asked at a point of a table. ``draws`` of the examples, with ``queries`` texts
    after each: at a point of a curve. ``controls``: prompts for each control. ``orders``: texts
    asked after each order of the same examples. ``lists``: of which the losses are measured.
    ``timed``: queries whose time is measured. ``shots_of_news``: numbers of examples for news,
    whose texts are long on a real model.

    ``test``, ``medical``: questions of the test, None for all. ``prompted``: of them, asked after
    each of ``shots_of_prompts``. ``chosen_on``: on which a prompt is chosen. ``learning_rates``:
    that are compared. ``sweeps``: whether there is time for trainings that only make a curve.

    ``instructions``: asked of each held-out set, None for all. ``demonstrations``: numbers of them
    that are compared.
    """

    prompts: int = 60
    draws: int = 40
    queries: int = 5
    controls: int = 200
    orders: int = 20
    lists: int = 24
    timed: int = 32
    shots_of_news: tuple[int, ...] = (0, 1, 2, 4, 8, 16)
    test: int | None = 300
    medical: int | None = None
    prompted: int = 300
    shots_of_prompts: tuple[int, ...] = (0, 8, 16)
    chosen_on: int = 200
    learning_rates: tuple[float, ...] = (3e-5, 5e-4, 2e-3, 1e-2)
    sweeps: bool = True
    instructions: int | None = None
    demonstrations: tuple[int, ...] = (8, 64, 512, 2048)


CARD = Budget(
    timed=8, shots_of_news=(0, 4, 8), test=None, shots_of_prompts=(0, 8), learning_rates=(),
    sweeps=False, demonstrations=(128, 1024),
)  # fmt: skip
PROCESSORS = replace(
    CARD, draws=20, queries=3, controls=60, orders=4, lists=8, medical=100, instructions=80
)
REHEARSAL = replace(
    PROCESSORS, prompts=3, draws=3, queries=1, controls=4, orders=1, lists=2, timed=2, test=20,
    medical=5, prompted=8, chosen_on=8, instructions=4, demonstrations=(16, 32),
)  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """``sizes``: base models from smallest to largest, and in ``sources`` what ``lm.load`` takes
    for each where that is another name. ``device``: where they run, ``dtype``: the precision of
    their weights. ``planted``: whether they were pretrained on the course's own world; only then
    is known what stood in their texts. ``trainable``: the largest of which all parameters can be
    trained there, "" for the largest of all."""

    name: str
    sizes: tuple[str, ...]
    device: str
    dtype: torch.dtype
    planted: bool = True
    budget: Budget = Budget()
    sources: Mapping[str, str] = field(default_factory=dict)
    rehearsal: bool = False
    trainable: str = ""

    @property
    def base(self) -> str:
        """The largest base model, the one that the course carries on."""
        return self.sizes[-1]

    @property
    def news(self) -> ModuleType:
        """The data set of company news: headlines of the world, or tweets."""
        return headlines if self.planted else tweets

    @property
    def medicine(self) -> ModuleType:
        """The data set of medical questions: invented illnesses, or abstracts of papers."""
        return illnesses if self.planted else abstracts

    def load(
        self, size: str = "", *, train: bool = False
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        """A base model, by default the largest, and its tokenizer, where and how this profile runs
        them. One from the hub is looked for as ``public.hub`` says; it is taken as what continues
        texts, so a chat template that its makers gave it is left out. CourseError as ``hub`` and
        ``lm.load`` raise it, and for a model too large for the memory that is free: to ask it, or
        with ``train`` to train all parameters of a copy."""
        size = size or self.base
        if size not in self.sources:
            return lm.load(size, device=self.device, dtype=self.dtype)
        name = self.sources[size]
        folder = hub.folder(name)
        weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        parameters = weights / 2  # in bfloat16
        needed = int(1.3 * parameters * self.dtype.itemsize)  # and room to work
        if train:  # float32 weights, gradients, two means of AdamW; what a batch keeps
            needed += int(1.3 * parameters * 16)
        free = free_memory(self.device)
        where = "the GPU" if self.device == "cuda" else "the processors"
        if torch.backends.mps.is_available():
            where += " (not on Apple's GPU)"
        print(
            f"{size}: on {where}, about {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} are free"
        )
        if needed > free:
            raise CourseError(
                f"{size}: needs about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} are "
                "free; close other programs and kernels, or set COURSE_MODELS to a smaller model"
            )
        model, tokenizer = lm.load(folder, device=self.device, dtype=self.dtype)
        tokenizer.chat_template = None
        return model, tokenizer

    def for_chat(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        """Copies of the largest model that is trained here and its tokenizer, ready for
        conversations: with the template of its makers if they gave it one, else as
        ``chat.for_chat`` makes them."""
        tokenizer, size = copy.deepcopy(tokenizer), self.trainable or self.base
        if size in self.sources:
            folder = hub.folder(self.sources[size])
            tokenizer.chat_template = AutoTokenizer.from_pretrained(folder).chat_template
        return chat.for_chat(model, tokenizer)

    def label_tasks(self) -> dict[str, LabelTask]:
        """Three tasks of sorting texts: kinds of things, countries by continent, company news."""
        tasks = {name: lists.label_tasks()[name] for name in ("category", "continent", "news")}
        return tasks if self.planted else tasks | {"news": tweets.label_task()}


TINY = Profile("tiny", ("small", "medium", "large"), "cpu", torch.float32)
#: Base models of the profile ``real``, with the gigabytes of a card that asking it takes, and
#: training all of its parameters.
FAMILY = {
    "HuggingFaceTB/SmolLM2-135M": (1, 4),
    "HuggingFaceTB/SmolLM2-360M": (2, 10),
    "HuggingFaceTB/SmolLM2-1.7B": (10, 44),
}


def current() -> Profile:
    """The profile named by the environment variable ``COURSE_PROFILE``, by default ``tiny``, with
    the process made ready for it: no more threads than processors, and for ``tiny`` less noise.
    CourseError for an unknown one, and for a GPU that cannot be used."""
    name = os.environ.get("COURSE_PROFILE", "tiny")
    if name not in setup.PROFILES:
        raise CourseError(
            f"unknown profile COURSE_PROFILE={name!r}; the profiles are {', '.join(setup.PROFILES)}"
        )
    processes.stand_alone()  # a notebook is one process
    runtime.follow_quota()
    if name == "real":
        return real()
    compat.quiet()
    return TINY


def real() -> Profile:
    """The profile ``real`` on this machine: a GPU where torch can use one, else processors (also
    on a Mac). ``COURSE_MODELS``, names of the hub with commas between them, from smallest to
    largest, takes the place of the family. With ``COURSE_REHEARSAL=1`` it does a handful of
    everything, to see that it runs. CourseError as ``usable_gpu`` raises it."""
    rehearsal = os.environ.get("COURSE_REHEARSAL") == "1"
    gpu = torch.cuda.is_available() and not rehearsal
    if gpu:
        usable_gpu()
    device = "cuda" if gpu else "cpu"
    modern = gpu and torch.cuda.get_device_capability()[0] >= 8
    named = [name for name in os.environ.get("COURSE_MODELS", "").split(",") if name.strip()]
    # By the whole card, not by what is free: the profile stays the same while models are loaded.
    room = torch.cuda.mem_get_info()[1] / 1e9 if gpu else 1.5
    fitting = [name for name, (ask, _) in FAMILY.items() if rehearsal or ask <= room]
    sources = {name.strip().rpartition("/")[2]: name.strip() for name in named or fitting}
    all_trained = [name for name, (_, train) in FAMILY.items() if train <= room] or fitting[:1]
    trainable = "" if named or rehearsal or not all_trained else all_trained[-1].rpartition("/")[2]
    if not sources:
        raise CourseError(
            f"the GPU has {room:.1f} GB, too few for any model; hide it by CUDA_VISIBLE_DEVICES= "
            "and start again"
        )
    return Profile(
        "real",
        tuple(sources),
        device,
        torch.bfloat16 if modern else torch.float32,
        planted=False,
        budget=REHEARSAL if rehearsal else CARD if gpu else PROCESSORS,
        sources=sources,
        rehearsal=rehearsal,
        trainable=trainable,
    )


def usable_gpu() -> None:
    """Raises CourseError for a card that this build of torch has no kernels for (a P100 has none
    in builds for CUDA 12.8): torch calls it available, and fails at the first product."""
    major, minor = torch.cuda.get_device_capability()
    listed = [re.match(r"(sm|compute)_(\d+)(\d)", name) for name in torch.cuda.get_arch_list()]
    built = [(kind, int(ten), int(one)) for kind, ten, one in (m.groups() for m in listed if m)]
    fits = any(kind == "sm" and ten == major and one <= minor for kind, ten, one in built)
    later = any(kind == "compute" and (ten, one) <= (major, minor) for kind, ten, one in built)
    if not fits and not later:
        versions = ", ".join(f"{ten}.{one}" for kind, ten, one in built if kind == "sm")
        raise CourseError(
            f"{torch.cuda.get_device_name()} has capability {major}.{minor}, and this build of "
            f"torch is for {versions}; take another GPU (on Kaggle T4), or hide this one by "
            "CUDA_VISIBLE_DEVICES= and start again"
        )


def free_memory(device: str) -> int:
    """Bytes that are free there."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return psutil.virtual_memory().available
