"""Profiles: on what a notebook runs. One text and one code path; a profile says which models, and where."""

import os
from dataclasses import dataclass

from helpers.errors import CourseError


@dataclass(frozen=True)
class Profile:
    """``sizes``: base models from smallest to largest, names that ``models.load`` takes. ``device``: where they run."""

    name: str
    sizes: tuple[str, ...]
    device: str

    @property
    def base(self) -> str:
        """The largest base model, the one that the course carries on."""
        return self.sizes[-1]


PROFILES = {"tiny": Profile("tiny", ("small", "medium", "large"), "cpu")}


def current() -> Profile:
    """The profile named by the environment variable ``COURSE_PROFILE``, by default ``tiny``."""
    name = os.environ.get("COURSE_PROFILE", "tiny")
    if name not in PROFILES:
        raise CourseError(f"unknown profile COURSE_PROFILE={name!r}; the profiles are {', '.join(PROFILES)}")
    return PROFILES[name]
