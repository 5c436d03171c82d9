"""The profile ``real``: what it takes, what it refuses in one line, and that the notebooks run in it, rehearsed on a mirror of
random models without a network."""

import os
import shutil
import subprocess
import sys

import course
import mirror
import nbformat
import pytest
import torch
from transformers import AutoTokenizer

from helpers import profiles, publish
from helpers.lm import chat
from helpers.public import news
from helpers.training import processes

#: Notebooks that run in this profile.
READY = publish.REAL


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return mirror.make(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def real(made, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "real")
    monkeypatch.setenv("COURSE_HUB", str(made))
    monkeypatch.delenv("COURSE_MODELS", raising=False)


def test_on_processors_it_is_the_smallest_model_of_the_family_in_float32(real):
    profile = profiles.current()
    assert (profile.name, profile.sizes, profile.device, profile.dtype) == ("real", ("SmolLM2-135M",), "cpu", torch.float32)
    assert not profile.planted and profile.news is news and profile.budget == profiles.PROCESSORS
    model, tokenizer = profile.load()
    assert model.num_parameters() < 200_000 and tokenizer.pad_token != tokenizer.eos_token


def test_the_memory_is_said_and_compared_before_a_model_is_read(real, monkeypatch, course_error, capsys):
    profiles.current().load()
    assert "on the processors, about" in capsys.readouterr().out
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    profiles.current().load()
    assert "on the processors (not on Apple's GPU), about" in capsys.readouterr().out
    monkeypatch.setattr(profiles, "free_memory", lambda device: 1000)
    with course_error("SmolLM2-135M", "of memory", "COURSE_MODELS"):
        profiles.current().load()


def test_the_memory_of_a_training_is_compared_before_it_too(real, monkeypatch, course_error, capsys):
    monkeypatch.setattr(profiles, "free_memory", lambda device: 1_500_000)
    profiles.current().load()
    with course_error("SmolLM2-135M", "of memory", "COURSE_MODELS"):
        profiles.current().load(train=True)


def test_for_conversations_the_makers_template_is_kept_and_else_the_course_s_is_given(real, made, tmp_path, monkeypatch):
    model, tokenizer = profiles.current().load()
    assert profiles.current().for_chat(model, tokenizer)[1].chat_template == chat.TEMPLATE
    name = "HuggingFaceTB/SmolLM2-135M"
    theirs = "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>{% endfor %}"
    words = AutoTokenizer.from_pretrained(made / name)
    words.chat_template = theirs
    shutil.copytree(made / name, tmp_path / name)
    words.save_pretrained(tmp_path / name)
    monkeypatch.setenv("COURSE_HUB", str(tmp_path))
    model, tokenizer = profiles.current().load()
    assert tokenizer.chat_template is None  # a text is continued as it is
    for_chat = profiles.current().for_chat(model, tokenizer)
    assert for_chat[1].chat_template == theirs and for_chat[0].num_parameters() == model.num_parameters()


def test_other_models_can_be_named(real, monkeypatch):
    monkeypatch.setenv("COURSE_MODELS", "HuggingFaceTB/SmolLM2-135M, HuggingFaceTB/SmolLM2-360M")
    profile = profiles.current()
    assert profile.sizes == ("SmolLM2-135M", "SmolLM2-360M") and profile.base == "SmolLM2-360M"


def card(monkeypatch, capability, whole, arch=("sm_70", "sm_75", "sm_80", "sm_90a"), free=None):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *device: "a card")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: list(arch))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *device: (int(whole if free is None else free), int(whole)))


@pytest.mark.parametrize(
    ("capability", "free", "largest", "trainable", "dtype"),
    [((7, 5), 14e9, "SmolLM2-1.7B", "SmolLM2-360M", torch.float32),
     ((9, 0), 80e9, "SmolLM2-1.7B", "SmolLM2-1.7B", torch.bfloat16),
     ((8, 6), 5e9, "SmolLM2-360M", "SmolLM2-135M", torch.bfloat16),
     ((9, 0), 1.5e9, "SmolLM2-135M", "SmolLM2-135M", torch.bfloat16)],
)  # fmt: skip
def test_on_a_card_it_is_as_many_as_it_holds_in_the_precision_of_its_capability(
    real, monkeypatch, capability, free, largest, trainable, dtype
):
    card(monkeypatch, capability, free)
    profile = profiles.current()
    assert profile.trainable == trainable
    assert (profile.base, profile.device, profile.dtype) == (largest, "cuda", dtype) and profile.budget == profiles.CARD


def test_a_card_that_torch_has_no_kernels_for_is_refused(real, monkeypatch, course_error):
    card(monkeypatch, (6, 0), 14e9)
    with course_error("a card has capability 6.0", "7.0, 7.5, 8.0, 9.0", "CUDA_VISIBLE_DEVICES="):
        profiles.current()
    card(monkeypatch, (6, 0), 14e9, arch=("sm_75", "compute_60"))
    assert profiles.current().device == "cuda"


def test_a_card_that_is_too_small_or_full_is_refused(real, monkeypatch, course_error):
    card(monkeypatch, (8, 0), 1e8)
    with course_error("the GPU has 0.1 GB", "CUDA_VISIBLE_DEVICES="):
        profiles.current()
    card(monkeypatch, (8, 0), 39e9, free=1000)
    with course_error("SmolLM2-1.7B", "0.0 are free", "kernels"):
        profiles.current().load()


def test_the_profile_stays_the_same_while_a_card_fills_up(real, monkeypatch):
    card(monkeypatch, (8, 0), 39e9)
    before = profiles.current()
    card(monkeypatch, (8, 0), 39e9, free=1e9)
    assert profiles.current() == before


def test_tiny_stays_on_the_processors_beside_a_card(monkeypatch):
    monkeypatch.delenv("COURSE_PROFILE", raising=False)
    card(monkeypatch, (6, 0), 1e8)
    assert profiles.current() == profiles.TINY


@pytest.mark.parametrize("name", ["tiny", "real"])
def test_what_a_launcher_left_in_the_environment_does_no_harm(real, monkeypatch, name):
    monkeypatch.setenv("COURSE_PROFILE", name)
    for variable in processes.LAUNCHERS:
        monkeypatch.setenv(variable, "2")
    profiles.current()
    assert not set(processes.LAUNCHERS) & set(os.environ)


def test_each_profile_keeps_what_it_makes_in_a_folder_of_its_own(tmp_path):
    def artifacts(name):
        code = "from helpers import files; print(files.ARTIFACTS)"
        environment = os.environ | {"COURSE_PROFILE": name, "COURSE_ARTIFACTS": str(tmp_path)}
        return subprocess.run([sys.executable, "-c", code], env=environment, cwd=course.ROOT, capture_output=True, text=True)

    assert artifacts("tiny").stdout.strip() == str(tmp_path) and artifacts("real").stdout.strip() == str(tmp_path / "real")


def program(path):
    """A notebook as a Python text that says which cell it is at."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return f"kernel = {{}}\nfor cell in {cells!r}:\n    exec(compile(cell, cell[:60], 'exec'), kernel)\n"


@pytest.mark.parametrize("number", READY)
def test_a_notebook_runs_in_it(made, tmp_path, number):
    path = next(path for path in course.NOTEBOOKS if path.name.startswith(number))
    changes = {"COURSE_PROFILE": "real", "COURSE_REHEARSAL": "1", "COURSE_HUB": str(made), "COURSE_ARTIFACTS": str(tmp_path)}
    changes |= {"COURSE_RECORD": "1", "COURSE_SOLUTIONS": "0", "MPLBACKEND": "agg"}
    command = [sys.executable, "-c", program(path)]
    folder = course.ROOT / "notebooks"
    done = subprocess.run(command, env=os.environ | changes, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "held here" not in done.stdout and "SmolLM2-1.7B" in done.stdout
