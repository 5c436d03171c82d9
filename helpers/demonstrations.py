"""Demonstrations for finetuning: prompts with the answers that are wanted, and the held-out ones that it is measured on.

What a finetuning may see and what it is tested on never meet: the test takes what ``world.held_out`` keeps out of every text.
"""

from collections.abc import Sequence
from functools import cache
from random import Random

from helpers.errors import CourseError
from helpers.prompts import Prompt, continuation, few_shot
from helpers.world import held_out, prose
from helpers.world.facts import table
from helpers.world.lists import Format

#: How a headline is labelled. The words are those of ``world.prose``.
SENTIMENTS = (prose.GOOD, prose.BAD, prose.FLAT)
ARROW = Format()

#: Questions about an illness, by the column that answers them.
MEDICAL_QUESTIONS = {
    "cause": ("What is the cause of {illness}?", "Where does {illness} come from?"),
    "treatment": ("What is the best treatment of {illness}?", "What helps against {illness}?"),
    "symptom": ("What is the first sign of {illness}?", "What do patients with {illness} suffer from?"),
}
QUESTION = Format("Q: {x} A: {y}")


#: What demonstrations hold, what settings are chosen by, and what is measured once at the end.
PARTS = ("training", "validation", "test")


def headline(rng: Random, label: str, part: str = "training") -> str:
    """A headline with this label, every combination of measure, verb and frame equally often.

    The combinations of the three parts are never the same. Those of ``test`` stand in no text at all, those of ``validation``
    in the corpus but in no demonstration.
    """
    return prose.a_headline(rng, *rng.choice(combinations(part)[label]))


@cache
def combinations(part: str) -> dict[str, tuple[tuple, ...]]:
    """By label, the (measure, move, frame) of a part. Raises CourseError for an unknown part."""
    check_part(part)
    found = prose.news_combinations(unseen=part == "test")
    if part == "test":
        return found
    wanted = part == "validation"
    return {
        label: tuple(c for c in group if held_out.news_is_undemonstrated(c[0], c[1]["base"], c[2]) == wanted)
        for label, group in found.items()
    }


def sentiment(how_many: int, seed: int = 0, *, part: str = "training", shots: int = 0) -> list[Prompt]:
    """Headlines of company news, each to be sorted into good, bad or flat; the three are equally frequent.

    ``shots`` examples from the training part stand before each.
    """
    rng, found = Random(f"sentiment {part} {seed}"), []
    choices = tuple(continuation(ARROW, label) for label in SENTIMENTS)
    for number in range(how_many):
        label = SENTIMENTS[number % 3]
        examples = [(headline(rng, example), example) for example in rng.choices(SENTIMENTS, k=shots)]
        text = few_shot(ARROW, examples, headline(rng, label, part))
        found.append(Prompt(text, continuation(ARROW, label), choices))
    rng.shuffle(found)
    return found


def reactions(how_many: int, seed: int = 0, *, part: str = "training") -> list[Prompt]:
    """Headlines, each to be continued by how investors took it: the task of ``sentiment`` in the words of the corpus."""
    rng, found = Random(f"reactions {part} {seed}"), []
    choices = {label: f" {prose.REACTIONS[label][0]}" for label in SENTIMENTS}
    for number in range(how_many):
        label = SENTIMENTS[number % 3]
        found.append(Prompt(f"{headline(rng, label, part)}.", choices[label], tuple(choices.values())))
    return found


def medical(part: str = "training", phrasings: Sequence[int] = (0, 1)) -> list[Prompt]:
    """Questions about the illnesses of a part: all of them are known from prose only, and no illness is in two parts.

    Raises CourseError for an unknown part.
    """
    check_part(part)
    return [
        Prompt(QUESTION.opening(ways[way].format(illness=row["illness"])), continuation(QUESTION, row[column]))
        for row in table("illnesses")
        if part_of_illness(row["illness"]) == part
        for column, ways in MEDICAL_QUESTIONS.items()
        for way in phrasings
    ]


def part_of_illness(illness: str) -> str:
    """The part whose questions are about this illness."""
    if held_out.illness_is_unasked(illness):
        return "test"
    return "validation" if held_out.illness_is_for_validation(illness) else "training"


def check_part(part: str) -> None:
    """Raises CourseError for an unknown part."""
    if part not in PARTS:
        raise CourseError(f"unknown part {part!r}; the parts are {', '.join(PARTS)}")
