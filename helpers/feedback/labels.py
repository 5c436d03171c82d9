"""Labels of human or simulated annotators in a JSONL file: one line for each click, in trl's
preference format.

The file is only ever appended to. A click that is taken back is one line more; of several lines of
an annotator about the same pair the last one counts.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from helpers.data import Pair
from helpers.errors import CourseError
from helpers.feedback.preferences import annotate
from helpers.stats import Rate
from helpers.world.tastes import Taste

CHOICES = ("left", "right", "tie")
#: What takes a label back.
UNDONE = "undone"


@dataclass(frozen=True)
class Label:
    """What an annotator said about a pair: a choice, or that an earlier one is taken back."""

    prompt: str
    left: str
    right: str
    choice: str
    annotator: str = "reader"

    @property
    def pair(self) -> str:
        """A name for the pair, the same whoever labels it: a checksum of its texts."""
        return sha256("\0".join((self.prompt, self.left, self.right)).encode()).hexdigest()[:16]

    def line(self) -> str:
        """As a line of the file. ``chosen`` and ``rejected`` of a tie are left and right, and say
        nothing."""
        chosen, rejected = (
            (self.right, self.left) if self.choice == "right" else (self.left, self.right)
        )
        return json.dumps(
            preference(self.prompt, chosen, rejected)
            | {"label": self.choice, "annotator": self.annotator}
        )


def preference(prompt: str, chosen: str, rejected: str) -> dict[str, list[dict[str, str]]]:
    """A row in trl's conversational preference format."""
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def with_choices(pairs: Sequence[Pair], choices: Sequence[str], annotator: str) -> list[Label]:
    """Pairs with what an annotator said about each."""
    return [
        Label(pair.question.text, pair.left.text, pair.right.text, choice, annotator)
        for pair, choice in zip(pairs, choices, strict=True)
    ]


def simulated(
    pairs: Sequence[Pair], taste: Taste, seed: int = 0, annotator: str = "simulated"
) -> list[Label]:
    """Labels of the pairs by a simulated annotator of this taste, who errs."""
    return with_choices(pairs, annotate(pairs, taste, seed), annotator)


def preferences(labels: Iterable[Label]) -> list[dict]:
    """Rows for a trainer: ties say nothing and are left out."""
    return [json.loads(label.line()) for label in labels if label.choice in ("left", "right")]


def give(
    file: Path, pairs: Sequence[Pair], choices: Sequence[str], annotator: str = "reader"
) -> int:
    """Writes choices about the first pairs, one each and in their order, as the widget does with
    clicks; gives how many are new to the file. Raises CourseError, before anything is written, for
    what is no choice and for more of them than pairs."""
    if len(choices) > len(pairs):
        raise CourseError(
            f"{len(choices)} answers to {len(pairs)} pairs; give at most one for each"
        )
    for number, choice in enumerate(choices, start=1):
        if choice not in CHOICES:
            raise CourseError(
                f"answer {number} is {choice!r}; the answers are {', '.join(CHOICES)}"
            )
    known = {label.pair: label.choice for label in read(file)[0] if label.annotator == annotator}
    labels = with_choices(pairs[: len(choices)], choices, annotator)
    new = [label for label in labels if known.get(label.pair) != label.choice]
    for label in new:
        append(file, label)
    return len(new)


def append(file: Path, label: Label) -> None:
    """Writes one label to the end of the file and waits until it is on the disk.

    Raises CourseError if it cannot be written; then no part of the line counts.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("ab+") as out:
            if out.tell() and not _ends_its_line(out):
                out.write(b"\n")  # an earlier run was killed within a line
            out.write(label.line().encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise CourseError(
            f"{file}: the label was not saved ({error}); free some disk space and click again"
        ) from None


def _ends_its_line(file) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def read(*files: Path) -> tuple[list[Label], list[str]]:
    """The labels that count, in the order of their pairs' first labels, and a complaint about each
    line that is skipped, with its number. Several files are put behind one another; annotators of
    the same name in two of them are two people. A file that is not there yet holds nothing. Raises
    CourseError if one cannot be read."""
    counted: list[Label] = []
    complaints: list[str] = []
    for file in files:
        one, skipped = _read(file)
        counted, complaints = counted + one, complaints + skipped
    return counted, complaints


def _read(file: Path) -> tuple[list[Label], list[str]]:
    counted: dict[tuple[str, str], Label] = {}
    complaints = []
    try:
        lines = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise CourseError(
            f"{file}: cannot be read ({error}); name another file, or move this one away"
        ) from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            label = _parsed(line)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            complaints.append(
                f"{file.name}, line {number}: not a label ({type(error).__name__}), skipped"
            )
            continue
        counted[label.annotator, label.pair] = label
    return [label for label in counted.values() if label.choice != UNDONE], complaints


def _parsed(line: bytes) -> Label:
    row = json.loads(line)
    prompt, chosen, rejected = (
        row[name][0]["content"] for name in ("prompt", "chosen", "rejected")
    )
    choice, annotator = row["label"], row["annotator"]
    if choice not in (*CHOICES, UNDONE) or not all(
        isinstance(t, str) for t in (prompt, chosen, rejected, annotator)
    ):
        raise ValueError(choice)
    left, right = (rejected, chosen) if choice == "right" else (chosen, rejected)
    return Label(prompt, left, right, choice, annotator)


def agreement(first: Iterable[Label], second: Iterable[Label]) -> Rate:
    """How often two annotators said the same about the same pairs. Raises CourseError if they share
    no pair."""
    others = {label.pair: label.choice for label in second}
    same = [label.choice == others[label.pair] for label in first if label.pair in others]
    if not same:
        raise CourseError("the two annotators share no pair; let both label the same ones")
    return Rate.of(same)
