"""The facts of the world, and the words that tell them: CSV files in ``facts/``, to be read,
extended or translated."""

import csv
from functools import cache
from pathlib import Path

from helpers.errors import CourseError

FOLDER = Path(__file__).parent / "facts"
#: The columns of each table. More may be added.
COLUMNS = {
    "categories": ("item", "category"),
    "colours": ("thing", "colour"),
    "companies": ("company", "sector"),
    "countries": ("country", "article", "capital", "continent", "language", "currency"),
    "frames": ("frame", "text", "weight", "flips"),
    "french": ("english", "french"),
    "illnesses": ("illness", "symptom", "sign", "cause", "treatment"),
    "measures": ("measure", "better"),
    "moves": ("verb", "base", "direction"),
    "numbers": ("number", "word", "french"),
    "objects": ("object",),
    "opinions": ("phrase", "rating"),
    "opposites": ("word", "opposite"),
    "pasts": ("verb", "past"),
    "people": ("name", "pronoun"),
    "phrases": ("kind", "text"),
    "places": ("place",),
    "plurals": ("singular", "plural"),
    "products": ("product",),
    "relations": ("relation", "first", "second", "table", "x", "y", "two_way"),
    "sums": ("sum", "result"),
    "wordings": ("relation", "kind", "text"),
}


@cache
def table(name: str) -> tuple[dict[str, str], ...]:
    """All rows of ``facts/<name>.csv``, each a dict from column to text.

    A byte-order mark, as Excel writes one, is skipped. Raises CourseError for a missing file, a
    header without the columns that the course reads, no rows, a blank cell (only ``article`` may be
    blank) or text that is not UTF-8.
    """
    path = FOLDER / f"{name}.csv"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows, header = tuple(reader), tuple(reader.fieldnames or ())
    except FileNotFoundError:
        raise CourseError(f"{path}: no such table; the tables are {', '.join(names())}") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path}: not UTF-8; save the file as UTF-8 CSV") from None
    except (OSError, csv.Error) as error:
        raise CourseError(f"{path}: cannot be read ({error}); save the file as UTF-8 CSV") from None
    wanted = COLUMNS.get(name, ())
    if len(set(header)) < len(header) or set(wanted) - set(header):
        raise CourseError(
            f"{path}: the header is {','.join(header)!r}, not {','.join(wanted)!r}; save it with "
            "commas between"
        )
    if not rows:
        raise CourseError(f"{path}: holds no rows; add some below the header")
    for number, row in enumerate(rows, start=2):
        blank = [column for column, text in row.items() if not text and column != "article"]
        if blank or None in row:
            raise CourseError(
                f"{path}: line {number} has a cell too many or a blank one; fill every column"
            )
    return rows


def names() -> list[str]:
    """Names of all tables, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.csv"))


def column(name: str, key: str) -> list[str]:
    """One column of a table, as a list of text in file order."""
    return [row[key] for row in table(name)]


@cache
def texts(name: str, **kind: str) -> tuple[str, ...]:
    """The column ``text`` of the rows that are of this kind: ``texts("phrases", kind="letter")``.
    CourseError if there is none."""
    matching = tuple(row["text"] for row in table(name) if kind.items() <= row.items())
    if not matching:
        raise CourseError(f"{FOLDER / name}.csv: no row of {', '.join(kind.values())}; put one in")
    return matching
