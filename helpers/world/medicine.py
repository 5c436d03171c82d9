"""Questions about illnesses, all of them known from prose only: to finetune on, and held-out ones
to be tested on."""

from helpers.data import Prompt, check_part
from helpers.world import held_out
from helpers.world.facts import table
from helpers.world.prompts import QUIZ

#: Questions about an illness, by the column that answers them.
MEDICAL_QUESTIONS = {
    "cause": ("What is the cause of {illness}?", "Where does {illness} come from?"),
    "treatment": ("What is the best treatment of {illness}?", "What helps against {illness}?"),
    "symptom": (
        "What is the first sign of {illness}?",
        "What do patients with {illness} suffer from?",
    ),
}


def questions(part: str = "training") -> list[Prompt]:
    """Questions about the illnesses of a part: all of them are known from prose only, and no
    illness is in two parts.

    Raises CourseError for an unknown part.
    """
    check_part(part)
    return [
        Prompt(QUIZ.opening(way.format(illness=row["illness"])), QUIZ.continuation(row[column]))
        for row in table("illnesses")
        if part_of_illness(row["illness"]) == part
        for column, ways in MEDICAL_QUESTIONS.items()
        for way in ways
    ]


def part_of_illness(illness: str) -> str:
    """The part whose questions are about this illness."""
    if held_out.illness_is_unasked(illness):
        return "test"
    return "validation" if held_out.illness_is_for_validation(illness) else "training"
