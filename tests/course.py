"""Which files are the course's own: what a reader adds, or changes by working through a notebook, is not tested."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
_LISTED = dict.fromkeys(re.findall(r"notebooks/[\w./-]+\.ipynb", (ROOT / "README.md").read_text(encoding="utf-8")))
#: The notebooks that the README lists, in its order.
NOTEBOOKS = [ROOT / name for name in _LISTED]


def git(*words: str) -> list[str] | None:
    """The lines that a git command prints, None where there is no checkout or no git."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.splitlines()


def tracked(pattern: str) -> list[Path]:
    """Files below the root that git tracks, or all where there is no checkout."""
    known = git("ls-files")
    found = sorted(ROOT.glob(pattern))
    return [path for path in found if path.relative_to(ROOT).as_posix() in known] if known else found


def is_own(path: Path) -> bool:
    """Whether a notebook is the course's own, and nobody has changed it since it was committed or put in line for that
    (``git add``). Without a checkout nobody knows of changes, and none are assumed."""
    return path in NOTEBOOKS and not git("diff", "--name-only", "--", str(path))
