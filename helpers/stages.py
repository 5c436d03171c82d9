"""Stages of the course: a model that one notebook finishes and another goes on with, kept in the
folder of artifacts.

No notebook needs another to have been run: a stage that is not there, not whole, or made from
something else is trained anew.
"""

import copy
import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers import files, profiles
from helpers.data import Prompt
from helpers.errors import CourseError
from helpers.files import ARTIFACTS
from helpers.lm import models
from helpers.training import finetune
from helpers.world import instructions, tastes

#: How the stages are made; ``seconds`` is about how long two cores take. Rates and passes of the
#: first two were chosen on the validation part; those of ``instruct`` and ``manners`` with a look
#: at the held-out questions: no untouched test.
RECIPES = {
    "finetuned": {"examples": 3000, "learning_rate": 5e-4, "epochs": 3, "seconds": 25},
    "lora": {"examples": 3000, "learning_rate": 1e-3, "epochs": 4, "r": 8, "seconds": 35},
    "instruct": {"examples": 12288, "learning_rate": 3e-3, "epochs": 1, "r": 16, "seconds": 100},
    "manners": {"examples": 4096, "learning_rate": 3e-3, "epochs": 1, "r": 16, "seconds": 30},
}
#: What is different for a real model on two cores: fewer examples, once, at rates for 135 million
#: parameters.
REAL_RECIPES = {
    "finetuned": {"examples": 1500, "learning_rate": 5e-5, "epochs": 1, "seconds": 190},
    "instruct": {"examples": 1024, "learning_rate": 1e-3, "epochs": 1, "r": 16, "seconds": 160},
}


def recipe(name: str) -> dict[str, float]:
    """How the stage is made in this profile."""
    profile = profiles.current()
    made = RECIPES[name] if profile.planted else REAL_RECIPES.get(name, RECIPES[name])
    return {"batch": 16} | made | ({"examples": 32, "epochs": 1} if profile.rehearsal else {})


def sft_settings(name: str) -> dict[str, object]:
    """What ``finetune.sft`` takes of a recipe."""
    return {
        key: value for key, value in recipe(name).items() if key not in ("examples", "r", "seconds")
    }


def finetuned(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, seed: int = 0, *, train: bool = True
) -> PreTrainedModel:
    """The base, all of its parameters finetuned on the sentiment of company news. With
    ``train=False`` CourseError is raised if no earlier run left it."""
    news = profiles.current().news
    return sft_stage("finetuned", base, tokenizer, news.sentiment, seed, may_train=train)


def lora(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, seed: int = 0, *, train: bool = True
) -> PreTrainedModel:
    """The base with a LoRA adapter finetuned on the sentiment of company news; ``train`` as
    above."""
    news = profiles.current().news
    return sft_stage("lora", base, tokenizer, news.sentiment, seed, may_train=train)


def instruct(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, seed: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The base with a LoRA adapter finetuned to follow instructions, and its tokenizer for chat."""
    chat_base, chat_tokenizer = profiles.current().for_chat(base, tokenizer)
    return sft_stage(
        "instruct", chat_base, chat_tokenizer, instructions.demonstrations, seed
    ), chat_tokenizer


def manners(
    base: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, seed: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The stage ``instruct``, merged, finetuned on answers in several manners and merged again: a
    model without adapters that preferences can be asked about. With its tokenizer for chat."""
    tuned, chat_tokenizer = instruct(base, tokenizer, seed)
    merged = tuned.merge_and_unload()
    return sft_stage(
        "manners", merged, chat_tokenizer, tastes.in_manners, seed
    ).merge_and_unload(), chat_tokenizer


def sft_stage(
    name: str,
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    draw: Callable[[int, int], list[Prompt]],
    seed: int,
    *,
    may_train: bool = True,
) -> PreTrainedModel:
    """The stage of this name by its recipe, on ``draw(examples, seed)``. CourseError as
    ``load_or_train`` and ``finetune.sft`` raise it."""
    made = recipe(name)
    seconds = made.pop("seconds")
    adapter = finetune.lora(made["r"]) if "r" in made else None
    demonstrations = draw(made["examples"], seed)

    def train() -> PreTrainedModel:
        return finetune.sft(
            copy.deepcopy(base),
            tokenizer,
            demonstrations,
            peft_config=adapter,
            seed=seed,
            **sft_settings(name),
        ).model

    settings = made | {
        "seed": seed,
        "demonstrations": sha256(repr(demonstrations).encode()).hexdigest(),
    }
    how = train if may_train else None
    return load_or_train(name, base, tokenizer, how, seconds=seconds, settings=settings)


def load_or_train(
    name: str,
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    train: Callable[[], PreTrainedModel] | None,
    *,
    seconds: float,
    settings: Mapping[str, object],
    folder: Path = ARTIFACTS,
) -> PreTrainedModel:
    """The stage of this name, in evaluation mode: loaded if an earlier run left it, else made by
    ``train()`` and saved.

    ``base`` is the model that ``train`` starts from, ``settings`` what else it depends on: if
    either has changed the stage is trained anew. ``seconds``, about how long that takes, is
    announced. Of a LoRA model only the adapter is kept, of any other all weights, in float16.
    Raises CourseError if it would have to be trained and ``train`` is None.
    """
    place, recipe = folder / name, {"base": fingerprint(base), "settings": dict(settings)}
    try:
        return load(place, base, recipe)
    except CourseError as error:
        if train is None:
            raise
        print(f"{error}; training it now, about {seconds:.0f} s on two cores")
    model = train().eval()
    try:
        save(model, tokenizer, place, recipe)
    except CourseError as error:
        print(error)  # the model is good all the same
    return model


def save(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    place: Path,
    recipe: Mapping[str, object],
) -> None:
    """A finished stage into its folder, whole or not at all. transformers and peft can read ``place
    / "model"`` without the course: the tokenizer is there too, and beside the adapter of a chat
    model its embeddings, since those of the chat tokens are not the base's (``chat.for_chat``).
    Raises CourseError if anything but this stage is there."""
    with files.atomic_folder(place, f"stage {place.name!r}") as beside:
        if isinstance(model, PeftModel):
            model.save_pretrained(
                beside / "model", save_embedding_layers=tokenizer.chat_template is not None
            )
            tokenizer.save_pretrained(beside / "model")
        else:
            models.save(
                model, tokenizer, beside / "model", f"Stage {place.name!r} of the course.\n"
            )
        (beside / "stage.json").write_text(json.dumps(recipe), encoding="utf-8")


def load(place: Path, base: PreTrainedModel, recipe: Mapping[str, object]) -> PreTrainedModel:
    """A finished stage. Raises CourseError if there is none, if it is damaged, or if it was made by
    another recipe."""
    there = False
    try:
        with files.locked(place.parent):  # nobody puts another in its place meanwhile
            there = place.exists()
            made_by = json.loads((place / "stage.json").read_text(encoding="utf-8"))
            if (place / "model" / "adapter_config.json").exists():
                model = PeftModel.from_pretrained(copy.deepcopy(base), place / "model").eval()
            else:
                model = models.load(place / "model", device=base.device.type, dtype=base.dtype)[0]
    except (CourseError, OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if not there:
            raise CourseError(f"stage {place.name!r} is not there yet") from None
        reason = str(error).strip().partition("\n")[0]
        raise CourseError(f"stage {place.name!r} is damaged ({reason})") from None
    if made_by != recipe:
        raise CourseError(f"stage {place.name!r} was made from another base or with other settings")
    return model


def fingerprint(model: PreTrainedModel) -> str:
    """A checksum of a model's weights."""
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
