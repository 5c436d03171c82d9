"""Questions about the abstracts of medical papers, answered by yes, no or maybe: the real
counterpart of ``world.medicine``.

qiaojin/PubMedQA (MIT; Jin et al. 2019, arXiv:1909.06146), the thousand that experts labelled. The
question is the title of a paper, the abstract is given without its conclusion. The conclusion, the
column ``long_answer``, gives the answer away and is never in a prompt.
"""

from functools import cache

import pandas as pd

from helpers.data import Prompt, check_part
from helpers.errors import CourseError
from helpers.public import held_out, hub

NAME = "qiaojin/PubMedQA"
ANSWERS = ("yes", "no", "maybe")
COLUMNS = ("pubid", "question", "context", "long_answer", "final_decision")


@cache
def rows() -> tuple[dict, ...]:
    """The labelled questions: ``pubid``, ``question``, ``contexts``, ``final_decision``. Raises
    CourseError where columns or answers are not those that the course knows."""
    place = hub.folder(NAME) / "pqa_labeled"
    parquet = sorted(place.glob("*.parquet"))
    try:
        table = pd.concat([pd.read_parquet(file) for file in parquet])
    except (OSError, ValueError) as error:
        reason = "no such file" if not parquet else error
        raise CourseError(f"{place}: cannot be read ({reason}); fetch it again") from None
    absent = set(COLUMNS) - set(table.columns)
    inner = [] if absent else table["context"]
    if not all(isinstance(context, dict) and "contexts" in context for context in inner):
        absent = {"context.contexts"}
    if absent or not set(table["final_decision"]) <= set(ANSWERS):
        reason = f"no column {min(absent)}" if absent else "answers beside yes, no and maybe"
        remedy = "pin the revision that was tested (python -m helpers.public pin)"
        raise CourseError(f"{NAME}: it has changed ({reason}); {remedy}")
    return tuple(
        {
            "pubid": int(row.pubid),
            "question": row.question,
            "contexts": [str(text) for text in row.context["contexts"]],
            "final_decision": row.final_decision,
        }
        for row in table.itertuples()
    )


def questions(part: str = "training", *, longest: int = 1600) -> list[Prompt]:
    """The questions of a part, each after its abstract, which is cut to ``longest`` characters at
    its beginning: what was found stands at the end. CourseError for an unknown part."""
    check_part(part)
    choices = tuple(f" {answer}" for answer in ANSWERS)
    prompts = []
    for row in rows():
        if held_out.part_of_abstract(row["pubid"]) == part:
            abstract = " ".join(row["contexts"])[-longest:]
            text = f"Abstract: {abstract}\nQuestion: {row['question']}\nAnswer:"
            prompts.append(Prompt(text, f" {row['final_decision']}", choices))
    return prompts
