"""A real JupyterLab in a real browser, for the tests that look at what people see."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest


@contextmanager
def server(folder: Path, cell) -> Iterator[str]:
    """A JupyterLab server on a folder with a notebook of one cell; gives its address."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel}), folder / "one.ipynb")
    folders = {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR")}
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0",
               "--IdentityProvider.token=secret", f"--ServerApp.root_dir={folder}"]  # fmt: skip
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | folders, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while not (found := list((folder / "JUPYTER_RUNTIME_DIR").glob("jpserver-*.json"))):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "server.log").read_text()
            time.sleep(0.2)
        time.sleep(0.5)
        yield json.loads(found[0].read_text())["url"] + "lab/tree/one.ipynb?token=secret"
    finally:
        process.terminate()
        process.wait(20)


def browser() -> str | None:
    """Path of a Chromium or Chrome, None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def page(address: str) -> Iterator[tuple]:
    """A browser's page at this address, and playwright's ``expect``. Skips the test where there is no browser."""
    if not browser():
        assert not os.environ.get("COURSE_REQUIRE_BROWSER"), "COURSE_REQUIRE_BROWSER is set, and there is no browser"
        pytest.skip("no Chromium or Chrome is installed (on Debian: apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser(), args=options).new_page()
        opened.goto(address)
        yield opened, expect


def run_the_cell(page, expect) -> None:
    """Runs it once the kernel hears: JupyterLab drops a cell that is run before."""
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
