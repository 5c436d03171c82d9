"""What the two halves of the course agree on: prompts, pairs of replies, and the parts of a data
set."""

from collections.abc import Iterable
from dataclasses import dataclass

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


def texts(items: Iterable[Prompt | Reply]) -> list[str]:
    """The texts of prompts, or of replies."""
    return [item.text for item in items]


#: What demonstrations hold, what settings are chosen by, and what is measured once at the end.
PARTS = ("training", "validation", "test")


def check_part(part: str) -> None:
    """Raises CourseError for an unknown part."""
    if part not in PARTS:
        raise CourseError(f"unknown part {part!r}; the parts are {', '.join(PARTS)}")
