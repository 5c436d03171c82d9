"""Is this machine ready for the course? For a teacher, the day before.

python -m helpers.check                    a line for each thing; the status is 1 if one is missing
python -m helpers.check --wheels FOLDER    downloads what is installed, for a room without network
"""

import argparse
import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from helpers import setup
from helpers.errors import CourseError

ROOT = Path(__file__).parent.parent
#: Bytes that have to be free: of memory (a notebook took up to 1.8 GB where that was measured), and
#: on the disk.
MEMORY, DISK = 3 * 10**9, 10**9
#: Training steps a second of the largest shipped model where the minutes of the README were
#: measured: two cores of an AMD EPYC with fast bfloat16, the median of four measurements from 10.0
#: to 14.8.
REFERENCE = 12.0


def python() -> str:
    """The version of Python."""
    if sys.version_info < (3, 11):  # noqa: UP036 (who runs this may have an older one)
        raise CourseError(f"{platform.python_version()}; install Python 3.11 or newer")
    return platform.python_version()


def package(name: str, wanted: str) -> str:
    """The version of a package, compared with the range that requirements.txt admits."""
    version, remedy = setup.version(name), "pip install -r requirements.txt"
    if version is None:
        raise CourseError(f"not installed; {remedy}")
    if setup.compared(version, wanted):
        raise CourseError(f"{version} is not {wanted}; {remedy}")
    return f"{version} ({wanted})"


def memory() -> str:
    """Memory that is free for a notebook."""
    import psutil

    free, total = psutil.virtual_memory().available, psutil.virtual_memory().total
    if free < MEMORY:
        raise CourseError(
            f"{free / 1e9:.1f} GB free, {MEMORY / 1e9:.0f} needed; close other programs and "
            "notebooks"
        )
    return f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"


def disk() -> str:
    """Room where the course keeps what it makes, and whether it may write there."""
    from helpers import files

    place = next(
        folder for folder in (files.ARTIFACTS, *files.ARTIFACTS.parents) if folder.exists()
    )
    free = shutil.disk_usage(place).free
    if free < DISK:
        remedy = "free some, or set COURSE_ARTIFACTS=FOLDER"
        raise CourseError(f"{free / 1e9:.1f} GB free at {place}, {DISK / 1e9:.0f} needed; {remedy}")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise CourseError(
            f"{place} cannot be written ({error.strerror}); set COURSE_ARTIFACTS=FOLDER"
        ) from None
    return f"{free / 1e9:.0f} GB free at {place}"


def processors() -> str:
    """Processors that may be used, of those there are, and how many threads torch takes."""
    import torch

    from helpers import runtime

    runtime.follow_quota()
    return (
        f"{runtime.processors()} of {os.cpu_count()} may be used, {torch.get_num_threads()} threads"
    )


def gpu() -> str:
    """The GPU, if there is one. The course needs none."""
    import torch

    return (
        torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none, and none is needed"
    )


def models() -> str:
    """Whether the shipped models are whole."""
    from helpers import profiles
    from helpers.lm import ask

    model, tokenizer = profiles.current().load()
    prompt = "Q: What is the capital of France? A:"
    (reply,) = ask.generate(model, tokenizer, [prompt], max_new_tokens=4)
    if not reply.strip().startswith("Paris"):
        raise CourseError(
            f"the capital of France is {reply!r}; restore the folder helpers/pretrained (git "
            "checkout)"
        )
    return "the capital of France is Paris"


def widget() -> str:
    """Whether the widget in which readers label replies can be made."""
    with tempfile.TemporaryDirectory() as folder:
        shown = two_pairs(f"{folder}/labels.jsonl")
        shown.click("left")
        if shown.done != 1:
            raise CourseError(shown.message)
    return "made, and a click is saved"


def browser() -> str:
    """Whether a click in a browser reaches the kernel: a cell that is typed into a real JupyterLab
    shows the widget."""
    from helpers import lab

    if not lab.browser() or not importlib.util.find_spec("playwright"):
        return "no Chromium with playwright, not tried"
    try:
        with tempfile.TemporaryDirectory() as folder, lab.server(Path(folder)) as address:
            click_in(f"{address}?token=secret&reset")
    except Exception as error:  # whatever a browser may fail at
        reason = str(error).strip().partition("\n")[0]
        raise CourseError(
            f"a click in JupyterLab did not reach the kernel ({reason}); try by hand: jupyter lab"
        ) from None
    return "a click in JupyterLab reaches the kernel"


def click_in(address: str) -> None:
    """Opens a notebook in the JupyterLab at this address, shows the widget and clicks."""
    from helpers import lab

    with lab.page(address) as (page, expect):
        page.locator(".jp-LauncherCard", has_text="Python 3").first.click(timeout=60_000)
        lab.wait_for_kernel(page)
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.type("from helpers import check; check.two_pairs('labels.jsonl')")
        page.keyboard.press("Shift+Enter")
        page.locator(".labelling-card-right").click(timeout=60_000)
        expect(page.locator(".labelling-count")).to_have_text("1 of 2")


def two_pairs(file: str) -> object:
    """The widget, on two pairs."""
    from helpers.data import Pair, Reply
    from helpers.feedback.labelling import Labelling
    from helpers.world import tastes

    return Labelling(
        [Pair(q, Reply(f"{q.y}."), Reply(q.answers[0])) for q in tastes.questions(2)], Path(file)
    )


def speed(seconds: float = 12.0) -> float:
    """Training steps a second of the largest shipped model: 16 texts of 40 tokens each, in the
    faster precision."""
    import torch

    from helpers import runtime
    from helpers.lm import models

    model, dtype = models.load("large")[0].train(), runtime.fastest_dtype()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    ids = torch.randint(9, 3000, (16, 40), generator=torch.Generator().manual_seed(0))

    def step() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        step()
    begun, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - begun) < seconds:
        step()
        count += 1
    return count / spent


def minutes() -> str:
    """About how long each notebook takes here: the README's figures by the speed of this
    machine."""
    here = speed()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| \[(\d\d) [^|]*\|[^|]*\| (\d+)(?: to \d+)? min \|$", readme, re.MULTILINE
    )
    each = ", ".join(
        f"{number} {max(1, round(int(least) * REFERENCE / here))}" for number, least in rows
    )
    there = f"{REFERENCE:.0f} where the README's were measured"
    return f"about {each} minutes ({here:.0f} steps a second here, {there})"


def checks() -> Iterator[tuple[str, Callable[[], str]]]:
    """Name and check, in the order in which they are made."""
    yield "Python", python
    for name, wanted in setup.requirements():
        yield name, lambda name=name, wanted=wanted: package(name, wanted)
    yield from {"memory": memory, "disk": disk, "processors": processors, "GPU": gpu}.items()
    yield from {
        "shipped models": models,
        "labelling widget": widget,
        "browser": browser,
        "notebooks": minutes,
    }.items()


def main(arguments: list[str] | None = None) -> None:
    """The command ``python -m helpers.check``."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.check", description="Is this machine ready for the course?"
    )
    parser.add_argument(
        "--wheels", type=Path, metavar="FOLDER", help="download what is to be installed, and stop"
    )
    options = parser.parse_args(arguments)
    if options.wheels:
        return setup.wheels(options.wheels)
    bad = []
    for name, check in checks():
        try:
            print(f"ok       {name}: {check()}", flush=True)
        except CourseError as missing:
            bad.append(name)
            print(f"MISSING  {name}: {missing}", flush=True)
        except ImportError as error:  # of a package that is named above
            bad.append(name)
            print(f"MISSING  {name}: cannot be tried ({error})", flush=True)
    if bad:
        sys.exit(f"not ready: {', '.join(bad)}")
    print("ready")


if __name__ == "__main__":
    main()
