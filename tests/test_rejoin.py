"""Who comes late runs the first cells of a notebook and one cell more, and goes on from there."""

import re
import subprocess
import sys

import course
import nbformat
import pytest
from test_notebooks import unknown

MARK = "# Rejoin here: run the cells above the first heading, then this one."
TEACHING = (course.ROOT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
#: Number of the notebook, heading at which one may rejoin, heading of the last section that runs from there.
POINTS = re.findall(r"^\| (0\d) \| ([^|]+?) \| ([^|]+?) \|$", TEACHING.partition("# Rejoin here")[2], re.MULTILINE)
ARE_OWN = {path.name[:2]: path for path in course.NOTEBOOKS if course.is_own(path)}


def sections(number):
    """Heading to the code cells below it; those above the first heading are under ''."""
    heading, found = "", {"": []}
    for cell in nbformat.read(ARE_OWN[number], as_version=4).cells:
        if cell.cell_type == "code":
            found[heading].append(cell.source)
            continue
        for begun in re.findall("^##+ (.+)$", cell.source, re.MULTILINE):
            heading, found[begun] = begun, []
    return found


def rejoining(cells):
    """The cell among these at which one may rejoin, None if there is none."""
    return next((cell for cell in cells if cell.startswith(MARK)), None)


def test_every_notebook_has_two_or_three_points_and_all_are_listed():
    for number in ARE_OWN:
        marked = [heading for heading, cells in sections(number).items() if rejoining(cells)]
        assert marked == [heading for n, heading, _ in POINTS if n == number] and 2 <= len(marked) <= 3, number


@pytest.mark.parametrize(("number", "heading", "last"), [point for point in POINTS if point[0] in ARE_OWN])
def test_every_name_is_known_from_there_on(number, heading, last):
    found = sections(number)
    names = list(found)
    on = [cell for name in names[names.index(heading) : names.index(last) + 1] for cell in found[name]]
    rejoin = rejoining(found[heading])
    before = on[: on.index(rejoin)]
    assert len(before) <= 2 and not any("=" in cell for cell in before)  # pictures may stand before it
    cells = [*found[""], rejoin]
    for cell in on[on.index(rejoin) + 1 :]:
        cells.append(cell)
        assert unknown("\n".join(cells)) == set(), cell


@pytest.mark.parametrize("number", list(ARE_OWN))
def test_the_first_cells_and_one_more_run(number):
    found = sections(number)
    program = ""
    for cell in filter(None, map(rejoining, found.values())):  # each in a kernel of its own, so to speak
        program += f"kernel = {{}}\nfor cell in {[*found[''], cell]!r}:\n    exec(cell, kernel)\n"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=course.ROOT / "notebooks", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
