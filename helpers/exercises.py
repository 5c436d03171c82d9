"""Exercises that check an answer, and can check their own solutions."""

import os
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Exercises:
    """The exercises of one notebook. ``solutions`` is a Python file that holds, for exercise 1, the
    functions ``solution_1()`` and ``wrong_1()``, a right and a plausible wrong answer; they may use
    what ``kernel`` (the notebook's ``globals()``) holds.

    Nothing of the file is read unless the environment says ``COURSE_SOLUTIONS=1``, as the tests do:
    then every check is tried on both, and AssertionError says which one it misjudges.
    """

    solutions: str | Path
    kernel: dict

    def check(self, number: int, answer: object, is_right: Callable, hint: str) -> None:
        """Prints whether the answer is right; None is no answer yet. A wrong one gets the hint, and
        so does one that the check cannot read."""
        if os.environ.get("COURSE_SOLUTIONS") == "1":
            self._try_solutions(number, is_right)
        if answer is None:
            print(f"Exercise {number}: not answered yet.")
            return
        try:
            verdict = "right." if is_right(answer) else f"not yet. Hint: {hint}."
        except Exception as error:  # whatever a learner may have written
            verdict = f"the answer cannot be read ({type(error).__name__}: {error}). Hint: {hint}."
        print(f"Exercise {number}: {verdict}")

    def _try_solutions(self, number: int, is_right: Callable) -> None:
        found = runpy.run_path(str(self.solutions), dict(self.kernel))
        assert is_right(found[f"solution_{number}"]()), (
            f"exercise {number}: the solution is refused"
        )
        assert not is_right(found[f"wrong_{number}"]()), f"exercise {number}: a wrong answer passes"
