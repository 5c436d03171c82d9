"""What the two halves of the course agree on: prompts and how examples are written into them, pairs
of replies, and the parts of a data set."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from helpers.errors import CourseError

#: Of every reply that is drawn, in pairs and in reinforcement learning: at 1 a model this small
#: says too much by accident.
TEMPERATURE = 0.5


@dataclass(frozen=True)
class Prompt:
    """A text to be continued. ``choices`` are the continuations to choose from, ``answer`` the
    right one among them.

    Continuations hold the space in front of them: ``text + answer`` is what a person would have
    written.
    """

    text: str
    answer: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question(Prompt):
    """What a person would put to an assistant, with all that answers it: ``answer``, without a
    space in front, is the first of the right ``answers``."""

    answers: tuple[str, ...] = ()

    def is_right(self, reply: str) -> bool:
        """Whether the reply is one of the right answers, word for word."""
        return reply in self.answers


@dataclass(frozen=True)
class Reply:
    """What an assistant said in its turn, and whether it ended the turn or was cut off."""

    text: str
    ended: bool = True

    def __str__(self) -> str:
        return self.text if self.ended else f"{self.text} …"


@dataclass(frozen=True)
class Pair:
    """Two replies to one question, as they are put before an annotator."""

    question: Prompt
    left: Reply
    right: Reply


@dataclass(frozen=True)
class Format:
    """How a pair is written, and what stands between two pairs."""

    pair: str = "{x} -> {y}"
    joint: str = "\n"

    def line(self, x: str, y: str) -> str:
        """One example, written out."""
        return self.pair.format(x=x, y=y)

    def opening(self, x: str) -> str:
        """The beginning of an example, up to where its y stands (without the space before it)."""
        return self.pair.partition("{y}")[0].format(x=x).rstrip(" ")

    def continuation(self, y: str) -> str:
        """What follows the opening when the answer is y: " Paris", or "Paris" on a line of its
        own."""
        between = self.pair.partition("{y}")[0]
        return between[len(between.rstrip(" ")) :] + y

    def few_shot(self, shots: Sequence[tuple[str, str]], x: str) -> str:
        """The examples, one after the other, and the beginning of the next."""
        return self.joint.join([*(self.line(*shot) for shot in shots), self.opening(x)])


@dataclass(frozen=True)
class LabelTask:
    """A way to sort texts into classes. ``draw(rng, class)`` gives a text of this class; ``listed``
    says whether the corpus holds lists of it."""

    name: str
    classes: tuple[str, ...]
    draw: Callable[[Random, str], str]
    listed: bool = True


def texts(items: Iterable[Prompt | Reply]) -> list[str]:
    """The texts of prompts, or of replies."""
    return [item.text for item in items]


#: What demonstrations hold, what settings are chosen by, and what is measured once at the end.
PARTS = ("training", "validation", "test")


def check_part(part: str) -> None:
    """Raises CourseError for an unknown part."""
    if part not in PARTS:
        raise CourseError(f"unknown part {part!r}; the parts are {', '.join(PARTS)}")
