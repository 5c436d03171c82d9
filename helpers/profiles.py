"""Profiles: on what a notebook runs. One text and one code path; a profile says which models, and
where."""

import os
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers import compat, lm, runtime
from helpers.errors import CourseError


@dataclass(frozen=True)
class Profile:
    """``sizes``: base models from smallest to largest, names that ``lm.load`` takes. ``device``:
    where they run, ``dtype``: the precision of their weights."""

    name: str
    sizes: tuple[str, ...]
    device: str
    dtype: torch.dtype

    @property
    def base(self) -> str:
        """The largest base model, the one that the course carries on."""
        return self.sizes[-1]

    def load(self, size: str = "") -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        """A base model, by default the largest, and its tokenizer, where and how this profile runs
        them."""
        return lm.load(size or self.base, device=self.device, dtype=self.dtype)


PROFILES = {"tiny": Profile("tiny", ("small", "medium", "large"), "cpu", torch.float32)}


def current() -> Profile:
    """The profile named by the environment variable ``COURSE_PROFILE``, by default ``tiny``, with
    the process made ready for it: no more threads than processors, and for ``tiny`` less noise."""
    name = os.environ.get("COURSE_PROFILE", "tiny")
    if name not in PROFILES:
        raise CourseError(
            f"unknown profile COURSE_PROFILE={name!r}; the profiles are {', '.join(PROFILES)}"
        )
    runtime.follow_quota()
    if name == "tiny":
        compat.quiet()
    return PROFILES[name]
