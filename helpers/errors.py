"""The one exception of the course: a line that names what is wrong and what to do about it."""

import math
from collections.abc import Sized


class CourseError(Exception):
    """Bad input, a missing or damaged file, a full disk. The message is one line: what, where, and
    the remedy."""


def require_some(items: Sized, what: str) -> None:
    """Raises CourseError where there is nothing to work on: ``what`` says of which things there are
    none."""
    if not len(items):
        raise CourseError(f"there are no {what}; give at least one")


def require_number(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raises CourseError for what is no finite number from ``low`` to ``high``."""
    if not isinstance(value, int | float) or not low <= value <= high or not math.isfinite(value):
        limits = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise CourseError(f"{name} is {value!r}; give a finite number, {limits}")
