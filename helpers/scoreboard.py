"""The scoreboard: stage by skill, one small table that grows through the course, saved as it is
measured."""

import json
from pathlib import Path

from helpers import files
from helpers.errors import CourseError
from helpers.stats import Rate

FILE = files.ARTIFACTS / "scoreboard.json"
#: The columns, by the names under which they are recorded. Each is measured in one way only, here
#: in words.
SKILLS = {
    "grammar": ("grammar", "the right sentence of a pair is the more probable"),
    "facts_quiz": ("facts, quiz", "capitals known from prose only, asked in a quiz"),
    "facts_chat": ("facts, chat", "facts about countries, known from prose only, asked by chat"),
    "context": ("context", "who has it at the end of a story"),
    "few_shot": ("few-shot", "kinds of things and continents under invented labels, 8 examples"),
    "bare_question": ("bare question", "a question that stands alone is answered"),
    "question_chat": ("question, chat", "the same facts about other countries, asked by chat"),
    "sentiment": ("sentiment", "held-out headlines"),
    "medical": ("medical", "questions about illnesses that were never asked about"),
}
#: The order of the rows, in whatever order they were measured; other stages come after these.
STAGES = (
    "base", "untrained", "live medium", "few-shot", "finetuned on "
        "news", "finetuned on medicine", "LoRA on news",
    "LoRA on medicine", "instruct", "SFT in manners", "RLHF",
)  # fmt: skip


def read(file: Path = FILE) -> dict[str, dict[str, Rate]]:
    """The table so far: stage to skill to rate; empty if nothing was measured yet. Raises
    CourseError, naming the file, if it is no scoreboard or cannot be read."""
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return {
            stage: {skill: Rate(**rate) for skill, rate in row.items()}
            for stage, row in saved.items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        raise CourseError(
            f"{file}: not a scoreboard; move it away and run the notebooks again"
        ) from None
    except OSError as error:
        raise CourseError(
            f"{file}: cannot be read ({error}); choose another place (COURSE_ARTIFACTS=FOLDER)"
        ) from None


def record(stage: str, file: Path = FILE, **skills: Rate) -> dict[str, dict[str, Rate]]:
    """Adds rates to the row of a stage (``record("base", grammar=rate)``), saves the table, in the
    order of ``STAGES``, and returns it. A name that is none of ``SKILLS`` is a column of its own.

    If the table cannot be read or saved that is said in one line, nothing in the file is lost, and
    the rates are returned.
    """
    row, table = {SKILLS.get(name, (name,))[0]: rate for name, rate in skills.items()}, {}
    try:
        file = file.resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        with files.locked(file.parent):
            table = with_row(read(file), stage, row)
            saved = {
                stage: {skill: vars(rate) for skill, rate in row.items()}
                for stage, row in table.items()
            }
            files.write(file, json.dumps(saved, indent=1) + "\n")
    except (OSError, CourseError) as error:
        print(
            f"{error if isinstance(error, CourseError) else files.cannot_write(file, error)}; this "
            "row is not saved"
        )
    return with_row(table, stage, row)


def with_row(
    table: dict[str, dict[str, Rate]], stage: str, row: dict[str, Rate]
) -> dict[str, dict[str, Rate]]:
    """The table with these rates in the row of this stage, its rows in the order of ``STAGES``."""
    table = table | {stage: table.get(stage, {}) | row}
    return dict(
        sorted(
            table.items(),
            key=lambda item: STAGES.index(item[0]) if item[0] in STAGES else len(STAGES),
        )
    )
