"""Tables in a notebook, drawn by pandas."""

from collections.abc import Mapping, Sequence
from html import escape
from numbers import Integral, Real

import pandas as pd
from IPython.display import HTML

from helpers.errors import CourseError, require_some
from helpers.scoreboard import SKILLS
from helpers.stats import Rate


class Table(HTML):
    """A table drawn by pandas, that can be read as text too."""

    def __init__(self, frame: pd.DataFrame, caption: str = ""):
        with pd.option_context("display.max_colwidth", None):  # nothing is cut off
            # Or the end of a line would be written as two characters.
            lines = [str] * len(frame.columns)
            # A dollar is a dollar, whichever of them a page knows.
            plain = ["tex2jax_ignore", "mathjax_ignore"]
            drawn = frame.to_html(
                index=False, border=0, justify="left", formatters=lines, classes=plain
            )
            self.text = f"{caption}\n{frame.to_string(index=False, justify='left')}".strip()
        for kind in ("th", "td"):
            drawn = drawn.replace(
                f"<{kind}>", f"<{kind} style='text-align:left;white-space:pre-wrap'>"
            )
        title = f"<caption style='text-align:left'>{escape(caption)}</caption>"
        super().__init__(drawn.replace("<thead>", f"{title if caption else ''}<thead>", 1))

    def __repr__(self) -> str:
        return self.text


def table(
    content: Sequence[Mapping[str, object]] | Mapping[str, Sequence | Mapping],
    caption: str = "",
    index: str = "",
) -> Table:
    """A small table: from rows of equal keys; from columns, name to a list; or, with ``index`` as
    the name of the first column, from rows by name. Floats get two digits and whole numbers commas;
    write them yourself for another form. CourseError for no rows, and for columns of different
    lengths."""
    if index:
        content = [{index: name} | dict(row) for name, row in content.items()]
    elif isinstance(content, Mapping):
        lengths = {name: len(column) for name, column in content.items()}
        if len(set(lengths.values())) > 1:
            raise CourseError(f"the columns of a table have different lengths: {lengths}")
        rows = zip(*content.values(), strict=True)
        content = [dict(zip(content, row, strict=True)) for row in rows]
    require_some(content, "rows of a table")
    rows = [{key: _written(value) for key, value in row.items()} for row in content]
    return Table(pd.DataFrame(rows), caption)


def _written(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    return f"{value:,}" if isinstance(value, Integral) else f"{value:.2f}"


def scoreboard(board: Mapping[str, Mapping[str, Rate]]) -> Table:
    """The scoreboard as a table, with what its columns mean; what is not measured yet is a dash."""
    measured = dict.fromkeys(skill for row in board.values() for skill in row)
    known = {skill: meaning for skill, meaning in SKILLS.values() if skill in measured}
    skills = [*known, *(skill for skill in measured if skill not in known)]
    rows = [
        {"stage": stage} | {skill: row.get(skill, "–") for skill in skills}
        for stage, row in board.items()
    ]
    meanings = "".join(f"; {skill}: {meaning}" for skill, meaning in known.items())
    return table(
        rows or [{"stage": "nothing measured yet"}], f"Scoreboard, rate [95 % interval]{meanings}"
    )
