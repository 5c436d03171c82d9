"""The facts of the world: one CSV file a subject in ``facts/``, to be read, extended or translated."""

import csv
from functools import cache
from pathlib import Path

from helpers.errors import CourseError

FOLDER = Path(__file__).parent / "facts"


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """All rows of ``facts/<name>.csv``, each a dict from column to text.

    Raises CourseError for a missing file, a blank cell (only ``article`` may be blank) or text that is not UTF-8.
    """
    path = FOLDER / f"{name}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = tuple(csv.DictReader(file))
    except FileNotFoundError:
        raise CourseError(f"{path}: no such table; the tables are {', '.join(names())}") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path}: not UTF-8; save the file as UTF-8 CSV") from None
    for number, row in enumerate(rows, start=2):
        blank = [column for column, text in row.items() if not text and column != "article"]
        if blank or None in row:
            raise CourseError(f"{path}: line {number} has a cell too many or a blank one; fill every column")
    return rows


def names() -> list[str]:
    """Names of all tables, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def column(name: str, key: str) -> list[str]:
    """One column of a table, as a list of text in file order."""
    return [row[key] for row in table(name)]
