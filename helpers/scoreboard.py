"""The scoreboard: stage by skill, one small table that grows through the course, saved as it is measured."""

import json
import os
from pathlib import Path

from helpers.errors import CourseError
from helpers.measure import Rate

#: Ignored by git; the notebooks of the course keep here what they make.
ARTIFACTS = Path(__file__).parent.parent / ".artifacts"
FILE = ARTIFACTS / "scoreboard.json"
SKILLS = ("grammar", "facts", "context", "few-shot", "instruction")
#: The order of the rows, in whatever order they were measured; other stages come after these.
STAGES = ("base", "untrained", "live medium", "few-shot", "finetuned", "LoRA", "instruct", "SFT in manners", "RLHF")


def read(file: Path = FILE) -> dict[str, dict[str, Rate]]:
    """The table so far: stage to skill to rate; empty if nothing was measured yet."""
    try:
        saved = json.loads(file.read_text())
        return {stage: {skill: Rate(**rate) for skill, rate in row.items()} for stage, row in saved.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError):
        raise CourseError(f"{file}: not a scoreboard; delete it and run the notebooks again") from None


def record(stage: str, file: Path = FILE, **skills: Rate) -> dict[str, dict[str, Rate]]:
    """Adds rates to the row of a stage (``record("base", grammar=rate)``), saves the table, in the order of ``STAGES``, and
    returns it.

    A skill of two words is written with an underscore: ``few_shot`` is "few-shot".
    """
    table = read(file)
    row = table.setdefault(stage, {})
    for name, rate in skills.items():
        row[name.replace("_", "-")] = rate
    table = dict(sorted(table.items(), key=lambda item: STAGES.index(item[0]) if item[0] in STAGES else len(STAGES)))
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        saved = {stage: {skill: vars(rate) for skill, rate in row.items()} for stage, row in table.items()}
        beside.write_text(json.dumps(saved, indent=1) + "\n")
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CourseError(f"{file}: cannot be written ({error}); free some disk space and run the cell again") from None
    return table
