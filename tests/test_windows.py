"""What would go wrong on Windows, looked for on Linux: encodings, names, and files that are removed while they are mapped."""

import ast
import copy
import re
from pathlib import Path

import course
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback

from helpers import files, stages
from helpers.lm import models
from helpers.training import packing, pretraining

RESERVED = re.compile(r'[<>:"|?*\\]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


NAMES = ("read_text", "write_text", "open")


def without_encoding(text: str) -> list[str]:
    """Calls that read or write text in whatever encoding the system prefers."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in NAMES:
            words = [ast.unparse(argument) for argument in node.args]
            is_bytes = any(re.fullmatch(r"'\w*b\w*\+?'", word) for word in words)
            is_file = node.func.attr != "open" or ast.unparse(node.func.value) not in ("os", "Image", "webbrowser")
            if is_file and not is_bytes and "encoding" not in {keyword.arg for keyword in node.keywords}:
                found.append(ast.unparse(node))
    return found


@pytest.mark.parametrize("path", course.tracked("helpers/**/*.py"), ids=lambda path: path.stem)
def test_no_helper_reads_or_writes_text_without_saying_in_which_encoding(path):
    assert without_encoding(path.read_text(encoding="utf-8")) == []


def test_what_has_no_encoding_would_be_seen():
    assert len(without_encoding("p.read_text()\np.write_text(x)\np.open()\np.open('rb')\np.read_text(encoding='utf-8')")) == 3


def test_no_file_of_the_course_has_a_name_that_windows_forbids(tmp_path, small):
    names = course.git("ls-files") or []
    models.save(*small, tmp_path / "m", "card")
    names += [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")]
    assert [name for name in names for part in name.split("/") if RESERVED.search(part)] == []
    assert len({name.lower() for name in names}) == len(names)  # nor two that differ in capitals only
    assert RESERVED.search("aux.py") and RESERVED.search("a?b") and not RESERVED.search("console.py")


def is_mapped(folder: Path) -> bool:
    """Whether this process holds a file of the folder in memory, so that Windows would not let it go."""
    return str(folder) in Path("/proc/self/maps").read_text(encoding="utf-8")


needs_maps = pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not say what is mapped")


@needs_maps
def test_a_model_that_was_loaded_does_not_hold_its_file(tmp_path, small):
    models.save(*small, tmp_path / "m", "card")
    loaded = models.load(tmp_path / "m")
    assert not is_mapped(tmp_path / "m") and loaded


@needs_maps
@pytest.mark.parametrize("kind", ["all weights", "adapter"])
def test_a_stage_that_was_loaded_does_not_hold_its_file(tmp_path, small, kind):
    model = copy.deepcopy(small[0])
    made = model if kind == "all weights" else get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))
    stages.save(made, small[1], tmp_path / "stage", {})
    loaded = stages.load(tmp_path / "stage", small[0], {})
    assert not is_mapped(tmp_path / "stage") and loaded


class LookAtMaps(TrainerCallback):
    """Stops at the first save, or, in a resumed run, notes whether the checkpoint that it came from is still held."""

    def __init__(self, folder, stop):
        self.folder, self.stop, self.held = folder, stop, []

    def on_step_begin(self, args, state, control, **kwargs):
        self.held.append(is_mapped(self.folder))

    def on_save(self, args, state, control, **kwargs):
        control.should_training_stop = self.stop


@needs_maps
def test_a_resumed_run_does_not_hold_the_checkpoint_that_it_will_remove(tmp_path, tokenizer, documents):
    blocks = packing.pack([text for _, text in documents[:400]], tokenizer, 20_000)
    options = {"batch": 8, "dtype": torch.float32, "progress": False, "save_steps": 3}
    pretraining.pretrain("small", blocks, tokenizer, tmp_path, callbacks=[LookAtMaps(tmp_path, True)], **options)
    look = LookAtMaps(tmp_path, False)
    pretraining.pretrain("small", blocks, tokenizer, tmp_path, callbacks=[look], resume=True, **options)
    assert look.held and not any(look.held)


def test_the_course_locks_nothing_where_there_is_no_such_lock(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fcntl", None)  # as on Windows
    for text in ("one", "two"):
        with files.atomic_folder(tmp_path / "folder") as beside:
            (beside / "file").write_text(text)
    assert (tmp_path / "folder" / "file").read_text() == "two"
