"""What people may want of a reply: manners in which a question can be answered, and tastes that
rank replies.

A taste is also the gold judge: what the annotators truly want, which no model is shown, and by
which all of them are measured.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from helpers.data import Reply, check_part
from helpers.world import held_out, instructions
from helpers.world.instructions import Instruction
from helpers.world.relations import COUNTRY_RELATIONS

#: Habits of the people who wrote demonstrations for questions that ask for no form; {other} is a
#: second right sentence.
MANNERS = {
    "terse": "{y}.",
    "full sentence": "{sentence}",
    "terse and polite": "Certainly. {y}.",
    "full and polite": "Certainly. {sentence}",
    "rambling": "{sentence} {other}",
    "rambling and polite": "Certainly. {sentence} {other}",
    "curt": "You should know that.",
}

POLITE = "Certainly. "


@dataclass(frozen=True)
class Taste:
    """What some people want: a ``wish`` in words, and what each feature of a reply is worth to
    them."""

    wish: str
    weights: Mapping[str, float]

    def gold(self, question: Instruction, reply: Reply) -> float:
        """The score of a reply: the sum of its features, each by its weight; rounded, so that equal
        scores are equal."""
        return round(
            sum(self.weights[name] * value for name, value in features(question, reply).items()), 6
        )


TASTES = {
    "full and polite": Taste(
        "a full, polite sentence", {"right": 2, "sentence": 1, "polite": 1, "extra": -1}
    ),
    "terse": Taste("one word and no more", {"right": 2, "sentence": -1, "polite": -1, "extra": -1}),
}


def features(question: Instruction, reply: Reply) -> dict[str, float]:
    """What a judge sees in a reply: ``right``, ``sentence`` and ``polite`` (0 or 1), and how many
    sentences are ``extra``.

    After a polite opening the first sentence is what counts; it is right if it is the bare answer
    or a statement that says the same. All sentences after it are extra. Of a turn that was not
    ended nothing counts, and all its sentences are extra.
    """
    text = reply.text
    if not reply.ended:
        return {"right": 0.0, "sentence": 0.0, "polite": 0.0, "extra": float(sentences(text))}
    rest = text.removeprefix(POLITE)
    first, extra = re.match(r"([^.]*\.?)(.*)", rest, re.DOTALL).groups()
    return {
        "right": float(first == f"{question.y}." or first in question.answers),
        "sentence": float(len(first.split()) >= 3),
        "polite": float(text.startswith(POLITE)),
        "extra": float(sentences(extra)),
    }


def sentences(text: str) -> int:
    """How many sentences a text has; what is left behind the last full stop is one too."""
    return len([part for part in text.split(".") if part.strip()])


def questions(how_many: int, seed: int = 0, part: str = "training") -> list[Instruction]:
    """Questions about countries that ask for no form, each relation equally often. The three parts,
    ``training`` (the countries of the demonstrations), ``validation`` and ``test``, share no
    country. Raises CourseError for an unknown part.

    ``answers`` are right full sentences, ``y`` is the bare answer.
    """
    check_part(part)
    tasks, rng, drawn = instructions.tasks(), Random(f"questions {seed} {part}"), []
    items = {
        name: [i for i in tasks[name].items if part_of_country(i.word) == part]
        for name in COUNTRY_RELATIONS
    }
    for number in range(how_many):
        name = COUNTRY_RELATIONS[number % len(COUNTRY_RELATIONS)]
        item = rng.choice(items[name])
        text, right = rng.choice(item.asks), item.sentences
        about = {"task": name, "form": "full sentence", "y": item.y, "word": item.word}
        drawn.append(Instruction(text, right[0], answers=right, **about))
    return drawn


def part_of_country(country: str) -> str:
    """Which part the questions about a country belong to."""
    if not held_out.is_undemonstrated(country):
        return "training"
    return "validation" if held_out.country_is_for_validation(country) else "test"


def reply_in(question: Instruction, manner: str) -> str:
    """The right reply to a question in one of the ``MANNERS``."""
    sentence = question.answers[0]
    other = next(text for text in question.answers if text != sentence)
    return MANNERS[manner].format(y=question.y, sentence=sentence, other=other)


def in_manners(how_many: int, seed: int = 0) -> list[Instruction]:
    """Demonstrations: questions that ask for no form, answered by people of different habits, every
    manner equally often."""
    rng = Random(f"manners {seed}")
    return [
        replace(question, answer=reply_in(question, rng.choice(tuple(MANNERS))))
        for question in questions(how_many, seed)
    ]
