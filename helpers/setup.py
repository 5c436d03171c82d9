"""What the set-up cell of every notebook calls once it has found the course: on Colab and Kaggle
what is missing is installed.

Only the standard library is used: nothing else may be loaded before pip has run.
"""

import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import helpers

ROOT = Path(__file__).parent.parent
PROFILES = ("tiny", "real")
#: By these names, of environment variables or modules, a hosted notebook is known. The set-up cell
#: asks for the same.
HOSTS = {
    "google.colab": "Colab",
    "COLAB_RELEASE_TAG": "Colab",
    "KAGGLE_KERNEL_RUN_TYPE": "Kaggle",
    "KAGGLE_URL_BASE": "Kaggle",
}
#: Compiled, and loaded before the first cell runs, or gigabytes: what a host has of these is kept.
KEPT = ("torch", "torchvision", "torchaudio", "numpy", "pillow")
#: A host has a notebook server and a kernel of its own, and nobody runs the tests there.
NOT_HOSTED = ("jupyterlab", "ipython", "traitlets", "nbformat", "nbval", "playwright")

_restart: list[str] = []  # packages that were loaded when pip replaced them


def stop(line: str) -> NoReturn:
    """Ends the cell with one line, and with it "Run all"."""
    sys.exit(line)


def host() -> str:
    """On whose machine this runs: "Colab", "Kaggle", or "" for the reader's own."""
    return next(
        (name for sign, name in HOSTS.items() if sign in os.environ or sign in sys.modules), ""
    )


def requirements() -> Iterator[tuple[str, str]]:
    """Name and range of each package that requirements.txt lists."""
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        if line_parts := re.match(r"([\w.-]+)(\S*)", line):
            yield line_parts[1], line_parts[2]


def version(name: str) -> str | None:
    """The version of a package that is installed, None if it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def compared(found: str, wanted: str) -> int:
    """-1, 0 or 1: a version is below, within or above a range of the form ``>=1.2,<3``."""

    def release(text: str) -> list[int]:
        numbers = [int(number) for number in re.match(r"\d+(\.\d+)*", text)[0].split(".")]
        return numbers + [0] * (4 - len(numbers))

    low, high = re.fullmatch(r">=([\d.]+),<([\d.]+)", wanted).groups()
    return -1 if release(found) < release(low) else 1 if release(found) >= release(high) else 0


def ready(tag: str = "", profile: str = "") -> None:
    """Makes the notebook ready to import the course. On a reader's own machine there is nothing to
    do but to remember the profile; on Colab and Kaggle what requirements.txt lists is installed
    where it is missing or too old, and one GPU of several is taken.

    ``tag`` is the version that the notebook belongs to, ``profile`` as for ``choose``. Ends the
    cell with one line if the course that was fetched is another one, if something cannot be
    installed, and if the session has to be restarted before the next cell.
    """
    # The cell finds it here when it is run again from another folder.
    os.environ["COURSE_ROOT"] = str(ROOT)
    choose(profile)
    if not host():
        return
    helpers.one_gpu()  # before torch is loaded
    there = _git_tag()
    if tag and there and tag != there:
        stop(
            f"{ROOT} holds the course {there}, this notebook is of {tag}: rename that folder, then "
            "run this cell again"
        )
    install()
    if _restart:
        where = "Runtime, Restart session" if host() == "Colab" else "Run, Restart session"
        stop(
            f"Installed. {', '.join(_restart)} had been loaded before: restart ({where}), then run "
            "this cell again."
        )
    if host() == "Colab" and "COURSE_ARTIFACTS" not in os.environ:
        print(
            "What you make is lost with this session. To keep it in your Drive, run in a new cell "
            "now: setup.use_drive()"
        )


def choose(profile: str = "") -> None:
    """Sets ``COURSE_PROFILE`` to the profile that the notebook names. Where it names none, what is
    set stays; where nothing is set either, it is the real one if a host lends a GPU. Ends the cell
    with one line for an unknown one, and for another than the course was loaded with."""
    if not profile and "COURSE_PROFILE" not in os.environ and host() and _gpu():
        profile = "real"
        print('A GPU is here: real models. (PROFILE = "tiny" above is the planted world.)')
    if not profile:
        return
    if profile not in PROFILES:
        stop(f"PROFILE = {profile!r} is unknown; the profiles are {', '.join(PROFILES)}")
    before = os.environ.get("COURSE_PROFILE", "tiny")
    if profile != before and "helpers.files" in sys.modules:
        stop(f"The course was loaded for {before!r}: restart the kernel, then run this cell again")
    os.environ["COURSE_PROFILE"] = profile
    if profile == "tiny":
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    else:
        helpers.online()


def _gpu() -> bool:
    """Whether there is an NVIDIA card of a kind that today's torch has kernels for (a P100 is not).
    torch itself must not be loaded yet."""
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
        return float(said.split()[0]) >= 7
    except (OSError, subprocess.CalledProcessError, ValueError, IndexError):
        return False


def _git_tag() -> str:
    """The tag that the course beside the notebook was fetched at, "" if none is known."""
    command = ["git", "-C", str(ROOT), "describe", "--tags", "--exact-match"]
    try:
        return subprocess.run(
            command, capture_output=True, encoding="utf-8", check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def install() -> None:
    """Installs what is missing or too old, and nothing else. Ends the cell with one line if that
    cannot be done."""
    found = {
        name: (version(name), wanted) for name, wanted in requirements() if name not in NOT_HOSTED
    }
    needed = {
        name: wanted
        for name, (there, wanted) in found.items()
        if there is None or compared(there, wanted) < 0
    }
    for name in KEPT:
        if name in needed:
            stop(
                f"This image has {name} {version(name)}, the course needs {name}{needed[name]}: "
                "choose a newer image"
            )
    for name, (there, wanted) in found.items():
        if there and compared(there, wanted) > 0:
            print(f"{name} {there} is newer than what the course was tested with ({wanted})")
    torchao = version("torchao")
    if torchao and compared(torchao, ">=0,<0.16") == 0:  # peft refuses to work beside it
        _pip(["uninstall", "-y", "torchao"], f"remove torchao {torchao}")
    if not needed:
        return
    print(f"installing {', '.join(needed)}: about a minute", flush=True)
    loaded = _loaded()
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept.txt"
        kept.write_text(
            "".join(f"{name}=={version(name)}\n" for name in KEPT if version(name)),
            encoding="utf-8",
        )
        wanted = [name + wanted for name, wanted in needed.items()]
        _pip(
            ["install", "--quiet", "--constraint", str(kept), *wanted],
            f"install {', '.join(needed)}",
        )
    importlib.invalidate_caches()
    _restart.extend(sorted(name for name, before in loaded.items() if version(name) != before))


def _loaded() -> dict[str, str | None]:
    """The versions of the installed packages that this process has loaded."""
    owners = importlib.metadata.packages_distributions()
    names = {
        owner
        for module in {name.partition(".")[0] for name in [*sys.modules]}
        for owner in owners.get(module, [])
    }
    return {name: version(name) for name in names}


def _pip(words: list[str], what: str) -> None:
    """Runs pip beside this process; ends the cell with one line if it fails."""
    command = [sys.executable, "-m", "pip", *words, "--disable-pip-version-check"]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    if done.returncode:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        last = next(
            (line for line in reversed(said) if line.startswith("ERROR:")),
            said[-1] if said else "no word why",
        )
        network = "switch Internet on (Settings)" if host() == "Kaggle" else "check the network"
        stop(
            f"pip could not {what} (exit status {done.returncode}; {last}): {network}, then run "
            "this cell again"
        )


def wheels(folder: Path) -> None:
    """Downloads everything that requirements.txt asks for into a folder. The exit status is
    pip's."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download"]
    command += ["-d", folder, "-r", ROOT / "requirements.txt"]
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(
            f"error: {folder}: pip could not download everything; see its lines above, and check "
            "the network"
        )
    print(f"without network: pip install --no-index --find-links {folder} -r requirements.txt")


def use_drive(mount: str = "/content/drive") -> None:
    """On Colab: keeps what the course makes in the reader's Drive, in the folder ``llm-course``. To
    be called before a cell imports the rest of the course, and after each restart."""
    if host() != "Colab":
        stop(
            "setup.use_drive() is for Colab; elsewhere set COURSE_ARTIFACTS=FOLDER before Jupyter "
            "starts"
        )
    if "helpers.files" in sys.modules:
        stop(
            "Too late for this session: restart it, run the set-up cell, then setup.use_drive(), "
            "then the rest"
        )
    from google.colab import drive

    drive.mount(mount)
    os.environ["COURSE_ARTIFACTS"] = f"{mount}/MyDrive/llm-course"
    print(f"What you make is kept in {os.environ['COURSE_ARTIFACTS']}")
