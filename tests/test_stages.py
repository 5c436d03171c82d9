"""A stage is loaded if it is whole and of the same recipe, and trained anew, with a word why, if not."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from helpers import stages
from helpers.data import Prompt

SETTINGS = {"seed": 0}


class Trained:
    """Counts how often it was asked to train."""

    def __init__(self, make):
        self.make, self.times = make, 0

    def __call__(self):
        self.times += 1
        return self.make()


def full(model):
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.model.norm.weight += 1
    return changed


def adapter(model):
    changed = get_peft_model(copy.deepcopy(model), LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    return changed


@pytest.fixture(params=[full, adapter], ids=["all weights", "adapter"])
def get(request, small):
    """Asks for the stage, and counts in ``get.train.times`` how often it had to be trained."""
    train = Trained(lambda: request.param(small[0]))

    def ask(folder, settings=SETTINGS, base=small[0]):
        return stages.load_or_train("stage", base, small[1], train, seconds=1, settings=settings, folder=folder)

    ask.train = train
    return ask


def test_a_stage_that_may_not_be_trained_is_loaded_or_refused(get, tmp_path, small, course_error):
    ask = {"seconds": 1, "settings": SETTINGS, "folder": tmp_path}
    with course_error("'stage' is not there yet"):
        stages.load_or_train("stage", *small, None, **ask)
    made = get(tmp_path)
    assert torch.allclose(logits(made), logits(stages.load_or_train("stage", *small, None, **ask)), atol=2e-2)


def logits(model):
    with torch.inference_mode():
        return model(torch.arange(8)[None]).logits


def test_a_finished_stage_is_loaded_and_gives_the_same(get, tmp_path, capsys):
    made, loaded = get(tmp_path), get(tmp_path)
    assert get.train.times == 1
    assert torch.allclose(logits(made), logits(loaded), atol=2e-2)
    assert type(made) is type(loaded) and not loaded.training
    assert capsys.readouterr().out.count("about 1 s") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


@pytest.mark.parametrize("suffix", [".safetensors", "config.json", "stage.json"])
def test_a_truncated_stage_is_said_and_trained_again(get, tmp_path, capsys, suffix):
    get(tmp_path)
    for file in [path for path in tmp_path.rglob("*") if path.name.endswith(suffix)]:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    get(tmp_path)
    assert get.train.times == 2
    assert "damaged" in capsys.readouterr().out or suffix == "config.json"


def test_other_settings_or_another_base_are_another_stage(get, small, tmp_path, capsys):
    get(tmp_path)
    get(tmp_path, settings={"seed": 1})
    get(tmp_path, settings={"seed": 1}, base=full(small[0]))
    assert get.train.times == 3
    assert capsys.readouterr().out.count("another base or with other settings") == 2


def test_a_stage_that_cannot_be_saved_is_said_and_used_all_the_same(get, small, tmp_path, capsys):
    (tmp_path / "a file").write_text("")
    assert logits(get(tmp_path / "a file")).shape == logits(small[0]).shape
    assert "cannot be written" in capsys.readouterr().out


def test_a_run_that_is_interrupted_leaves_nothing(small, tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.load_or_train("stage", *small, interrupted, seconds=1, settings=SETTINGS, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys; sys.path.insert(0, {root!r})
from pathlib import Path
from helpers import files, stages
from helpers.lm import models
files.write_manifest = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
model, tokenizer = models.load("small")
stages.load_or_train("stage", model, tokenizer, lambda: model, seconds=1, settings={{"seed": 0}}, folder=Path(sys.argv[1]))
"""


def test_a_stage_killed_while_it_is_saved_leaves_nothing_half_written(get, tmp_path):
    code = KILLED.format(root=str(Path(__file__).parent.parent))
    assert subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, check=False).returncode < 0
    assert [path.name for path in tmp_path.iterdir()] == [".stage.part"]  # not where a stage is looked for
    get(tmp_path), get(tmp_path)
    assert get.train.times == 1
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


def test_other_demonstrations_are_another_stage(small, monkeypatch):
    seen = []
    monkeypatch.setattr(stages, "load_or_train", lambda *_, settings, **__: seen.append(settings))
    for answer in (" good", " bad"):
        stages.sft_stage("lora", *small, lambda how_many, seed, said=answer: [Prompt("Sales rose ->", said)] * how_many, 0)
    assert seen[0] != seen[1]
