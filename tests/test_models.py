"""Shipped models load as the course says, and what is missing or damaged is one line that names it."""

import copy
import errno
import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from helpers import files
from helpers.errors import CourseError
from helpers.lm import cost, models
from helpers.world.tokenizer import train_tokenizer

SIZES = tuple(models.SIZES)


@pytest.mark.parametrize("size", SIZES)
def test_a_shipped_model_is_stored_in_float16_and_computes_in_float32(size):
    folder = models.PRETRAINED / size
    stored = {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()}
    assert stored == {torch.float16}
    for model in (AutoModelForCausalLM.from_pretrained(folder), models.load(size)[0]):
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        assert not model.training
    assert len(AutoTokenizer.from_pretrained(folder)) == model.config.vocab_size


@pytest.mark.parametrize("size", SIZES)
def test_a_shipped_model_has_the_shape_and_the_parameters_of_its_size(size):
    model, tokenizer = models.load(size)
    ours = models.config_for(size, tokenizer)
    for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "eos_token_id"):
        assert getattr(model.config, key) == getattr(ours, key), key
    assert model.num_parameters() == sum(cost.parameters(ours).values())
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_shipped_models_are_at_most_10_megabytes_together():
    assert sum(path.stat().st_size for path in models.PRETRAINED.rglob("*") if path.is_file()) <= 10e6


@pytest.mark.parametrize("size", SIZES)
def test_a_model_card_says_how_its_model_was_made(size):
    card = (models.PRETRAINED / size / "README.md").read_text()
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", card, flags=re.MULTILINE))
    assert {"command", "seed", "tokens", "wall time", "machine", "validation", "licence of the text"} <= set(rows)
    assert f"python -m helpers.pretrain --size {size}" in rows["command"]
    assert rows["validation"].endswith("bits per byte") and "minutes" in rows["wall time"]
    assert " /" not in rows["command"]  # a path of the machine that made it


@pytest.fixture
def folder(tmp_path):
    """A copy of the smallest shipped model, to be damaged."""
    return shutil.copytree(models.PRETRAINED / "small", tmp_path / "copy")


def test_an_undamaged_copy_loads(folder):
    model, tokenizer = models.load(folder)
    assert len(tokenizer) == model.config.vocab_size


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_a_tensor(path):
    save_file(dict(list(load_file(path).items())[:-1]), path, {"format": "pt"})


def of_another_width(path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_size": 32}))


def of_another_vocabulary(path):
    train_tokenizer(["a few words"], vocab_size=300).save_pretrained(path.parent)


DAMAGES = {
    "weights truncated": ("model.safetensors", truncate),
    "weights empty": ("model.safetensors", lambda path: path.write_bytes(b"")),
    "weights missing": ("model.safetensors", lambda path: path.unlink()),
    "a tensor missing": ("model.safetensors", without_a_tensor),
    "config truncated": ("config.json", truncate),
    "config empty": ("config.json", lambda path: path.write_text("{}")),
    "config missing": ("config.json", lambda path: path.unlink()),
    "config of another width": ("config.json", of_another_width),
    "tokenizer truncated": ("tokenizer.json", truncate),
    "tokenizer missing": ("tokenizer.json", lambda path: path.unlink()),
    "tokenizer of another vocabulary": ("tokenizer.json", of_another_vocabulary),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_an_error_that_names_its_folder(damage, folder, course_error):
    file, hurt = DAMAGES[damage]
    hurt(folder / file)
    with course_error(folder):
        models.load(folder)


def test_an_unknown_size_is_an_error_that_names_the_sizes(course_error):
    with course_error("huge", *SIZES):
        models.load("huge")


def test_a_missing_model_is_an_error_that_names_folder_and_command(tmp_path, monkeypatch, course_error):
    monkeypatch.setattr(models, "PRETRAINED", tmp_path)
    with course_error(tmp_path / "small", "python -m helpers.pretrain --size small"):
        models.load("small")


def test_save_and_load_keep_the_weights(tmp_path, small):
    model, tokenizer = small
    models.save(model, tokenizer, tmp_path / "model", "card")
    again, _ = models.load(tmp_path / "model")
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours.half(), theirs.half())
    assert (tmp_path / "model" / "README.md").read_text() == "card"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.fixture
def old(tmp_path, small):
    """A saved model, the only thing in its folder."""
    models.save(*small, tmp_path / "model", "old")
    return tmp_path / "model"


def is_untouched(old):
    return [path.name for path in old.parent.iterdir()] == ["model"] and (old / "README.md").read_text() == "old"


def test_save_on_a_full_disk_leaves_the_old_model(old, small, monkeypatch, course_error):
    def half(model, folder):
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", half)
    with course_error(old, "disk"):
        models.save(*small, old, "card")
    assert is_untouched(old)


def test_save_with_files_limited_to_100_kilobytes_leaves_the_old_model(old, small):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(CourseError, match="cannot be written"):
            models.save(*small, old, "card")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert is_untouched(old)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_weights_that_float16_cannot_hold_are_not_saved(old, small, course_error, value):
    broken = copy.deepcopy(small[0])
    with torch.no_grad():
        broken.model.norm.weight[3] = value
    with course_error(old, "model.norm.weight", "not saved"):
        models.save(broken, small[1], old, "card")
    assert is_untouched(old)


def test_a_card_may_hold_a_name_that_cannot_be_encoded(tmp_path, small):
    models.save(*small, tmp_path / "model", "B\udcfccher")
    assert (tmp_path / "model" / "README.md").read_text(encoding="utf-8") == "B\\udcfccher"


@pytest.mark.parametrize("size", SIZES)
def test_a_shipped_model_is_known_as_the_courses_own(size):
    files.check_replaceable(models.PRETRAINED / size, "model")
