"""A profile says which models run, where and in what precision, and everything that is loaded through it does."""

import pytest
import torch

from helpers import profiles, runtime
from helpers.training import common


def test_without_a_word_it_is_tiny_on_processors_in_float32(monkeypatch):
    monkeypatch.delenv("COURSE_PROFILE", raising=False)
    profile = profiles.current()
    assert (profile.name, profile.device, profile.dtype, profile.base) == ("tiny", "cpu", torch.float32, "large")


def test_an_unknown_profile_is_refused_by_name(monkeypatch, course_error):
    monkeypatch.setenv("COURSE_PROFILE", "huge")
    with course_error("COURSE_PROFILE='huge'", "tiny"):
        profiles.current()


def test_what_is_loaded_is_where_and_how_the_profile_says():
    profile = profiles.Profile("other", ("small", "medium"), "cpu", torch.bfloat16)
    for size, width in (("", 128), ("small", 64)):
        model, _ = profile.load(size)
        assert (model.device.type, model.dtype, model.config.hidden_size) == ("cpu", torch.bfloat16, width)
    elsewhere = profiles.Profile("other", ("small",), "meta", torch.float32).load()[0]
    assert elsewhere.device.type == "meta"


@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_on_a_gpu_the_precision_follows_its_capability(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    runtime.fastest_dtype.cache_clear()
    assert runtime.fastest_dtype("cuda") == expected
    runtime.fastest_dtype.cache_clear()
    assert runtime.fastest_dtype("mps") == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_training_computes_in_the_precision_of_its_device(small, monkeypatch, dtype):
    monkeypatch.setattr(runtime, "fastest_dtype", lambda device: dtype)
    settings = common.settings(small[0], 1, 1e-3, 0)
    assert (settings["bf16"], settings["fp16"]) == (dtype == torch.bfloat16, dtype == torch.float16)
    assert settings["use_cpu"]
