"""Pictures and tables as people meet them in JupyterLab: read from a file, and just computed."""

import json
from pathlib import Path

import lab_of
import nbformat
import pytest

from helpers import show
from helpers.show import pictures
from helpers.show.panels import Curves

ROOT = Path(__file__).parent.parent
ALT = "y against x. a line: 3, 4."
DOLLARS = "from $5 million to $6 million"
CELL = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from helpers import show
show.curves({{"a line": [3, 4]}}, [1, 2], "x", "y")
show.table([{{"price": {DOLLARS!r}, "lines": "one\\ntwo"}}], "A caption of $1 and $2")
"""


@pytest.fixture
def stored(tmp_path):
    """A server on a notebook that was run elsewhere: nobody vouches for its outputs."""
    data, metadata = pictures.drawn(Curves({"a line": [3, 4]}, [1, 2], "x", "y"))._repr_mimebundle_()
    table = show.table([{"price": DOLLARS, "lines": "one\ntwo"}], "A caption of $1 and $2")
    drawn = {"text/html": table.data, "text/plain": repr(table)}
    outputs = [
        nbformat.v4.new_output("display_data", data=data, metadata=metadata),
        nbformat.v4.new_output("execute_result", data=drawn, execution_count=1),
    ]
    with lab_of.server(tmp_path, nbformat.v4.new_code_cell(CELL, outputs=outputs, execution_count=1)) as address:
        yield address


def test_pictures_have_their_alternative_text_and_dollars_stay_dollars(stored, tmp_path):
    with lab_of.page(stored) as (page, expect):
        for run in (False, True):
            if run:
                lab_of.run_the_cell(page)
                expect(page.locator(".jp-InputPrompt").first).to_have_text("[1]:", timeout=60_000)
            picture = page.locator(f".jp-OutputArea img[alt='{ALT}']")
            expect(picture).to_be_visible(timeout=60_000)
            assert picture.evaluate("image => image.complete && image.naturalWidth") > 300
            cells = page.locator(".jp-OutputArea td")
            expect(cells.first).to_have_text(DOLLARS)
            assert cells.nth(1).inner_text() == "one\ntwo"
            expect(page.locator(".jp-OutputArea caption")).to_have_text("A caption of $1 and $2")
            page.wait_for_timeout(1500)  # time for mathematics, were there any
            assert page.locator(".jp-OutputArea mjx-container").count() == 0
        page.keyboard.press("Control+s")
        page.wait_for_timeout(1500)
    saved = json.loads((tmp_path / "one.ipynb").read_text(encoding="utf-8"))["cells"][0]["outputs"]
    texts = ["".join(output["data"]["text/plain"]) for output in saved]
    assert texts[0] == ALT and DOLLARS in texts[1]
