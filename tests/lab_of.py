"""A notebook of one cell in a real JupyterLab and a real browser."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from helpers import lab


@contextmanager
def server(folder: Path, cell) -> Iterator[str]:
    """A JupyterLab server on a folder with a notebook of one cell; gives its address."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), folder / "one.ipynb")
    with lab.server(folder) as address:
        yield f"{address}tree/one.ipynb?token=secret"


@contextmanager
def page(address: str) -> Iterator[tuple]:
    """A browser's page at this address, and playwright's ``expect``. Skips the test where there is no browser."""
    if not lab.browser():
        assert not os.environ.get("COURSE_REQUIRE_BROWSER"), "COURSE_REQUIRE_BROWSER is set, and there is no browser"
        pytest.skip("no Chromium or Chrome is installed (on Debian: apt-get install chromium)")
    with lab.page(address) as opened:
        yield opened


def run_the_cell(page) -> None:
    """Runs it once the kernel hears."""
    lab.wait_for_kernel(page)
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
