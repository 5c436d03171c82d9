"""A real JupyterLab in a real browser: for the teacher's check, and for the tests that look at what
people see."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A JupyterLab server on a folder, in which its settings stay too; the course can be imported
    there. Gives its address, to be followed by a path and "?token=secret". Raises RuntimeError if
    it does not start within a minute."""
    folders = {
        name: str(folder / name)
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR")
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", "--port=0", "--expose-app-in-browser"]
    command += ["--IdentityProvider.token=secret", f"--ServerApp.root_dir={folder}"]
    with (folder / "server.log").open("w", encoding="utf-8") as log:
        environment = os.environ | folders | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while not (url := _url(folder / "JUPYTER_RUNTIME_DIR")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "server.log").read_text(encoding="utf-8"))
            time.sleep(0.2)
        yield url + "lab/"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def _url(folder: Path) -> str | None:
    """Where a server says that it is; None as long as it has not written it, whole."""
    try:
        return json.loads(next(folder.glob("jpserver-*.json")).read_text(encoding="utf-8"))["url"]
    except (StopIteration, ValueError):
        return None


def wait_for_kernel(page, seconds: float = 60) -> None:
    """Waits until the kernel of the notebook that is shown hears: JupyterLab drops a cell that is
    run before."""
    kernel = "window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel"
    script = f"() => {kernel}?.status === 'idle' && {kernel}?.connectionStatus === 'connected'"
    page.wait_for_function(script, timeout=1000 * seconds)


def browser() -> str | None:
    """Path of a Chromium or Chrome, None if there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def page(address: str) -> Iterator[tuple]:
    """The browser's page at this address, and playwright's ``expect``."""
    from playwright.sync_api import expect, sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser(), args=options).new_page()
        opened.goto(address)
        expect.set_options(timeout=60_000)
        yield opened, expect
