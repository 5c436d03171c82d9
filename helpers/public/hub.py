"""Where the files of public models and data sets are: in a mirror on this disk, the folder
``COURSE_HUB`` (``FOLDER/OWNER/NAME/...``), else in the Hugging Face hub and its cache.

``sources.csv`` is the table of what the course uses: the revision, the licence, about how many
megabytes, and which files. "unpinned" is a revision that nobody has looked up yet
(``python -m helpers.public pin`` does): then the newest is taken.
"""

import csv
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, errors, snapshot_download

from helpers import files
from helpers.errors import CourseError

SOURCES = Path(__file__).parent / "sources.csv"
UNPINNED = "unpinned"
#: Which files of a model are wanted: weights as safetensors, and texts.
OF_A_MODEL = ("*.json", "*.safetensors", "*.txt", "*.jinja")


@dataclass(frozen=True)
class Source:
    """A repository of the hub; ``kind`` is "model" or "dataset", ``patterns`` which files are
    wanted."""

    kind: str
    name: str
    revision: str
    licence: str
    megabytes: int
    patterns: tuple[str, ...]

    @property
    def pinned(self) -> str | None:
        """The revision, None where none is known."""
        return None if self.revision == UNPINNED else self.revision


def sources(table: Path = SOURCES) -> dict[str, Source]:
    """All rows of the table by name."""
    with table.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    return {
        row["name"]: Source(
            row["kind"],
            row["name"],
            row["revision"],
            row["licence"],
            int(row["megabytes"]),
            tuple(row["files"].split()),
        )
        for row in rows
    }


def source(name: str) -> Source:
    """The row of a repository; one that the table does not know is taken for a model."""
    return sources().get(name, Source("model", name, UNPINNED, "see its card", 0, OF_A_MODEL))


def mirror() -> Path | None:
    """The folder ``COURSE_HUB``, None where the variable is not set. CourseError if it is no
    folder."""
    named = os.environ.get("COURSE_HUB")
    if not named:
        return None
    place = Path(named).expanduser().absolute()
    if not place.is_dir():
        remedy = "python -m helpers.public fetch FOLDER fills one"
        raise CourseError(f"COURSE_HUB={named}: no such folder; {remedy}")
    return place


def folder(name: str) -> Path:
    """The folder that holds the files of a repository OWNER/NAME: in the mirror, in the cache of
    the hub, or downloaded now, with a bar, after its size and the free disk have been looked at.

    Raises CourseError in one line, with the remedy: no network, a name or revision that is not
    there, a gated repository, too many requests, a full disk.
    """
    place = mirror()
    if place and (place / name).is_dir():
        return place / name
    wanted = source(name)
    options = {
        "repo_type": wanted.kind,
        "revision": wanted.pinned,
        "allow_patterns": list(wanted.patterns),
    }
    try:
        return Path(snapshot_download(name, local_files_only=True, **options))
    except (errors.LocalEntryNotFoundError, errors.CachedRepoTreeNotFoundError, OSError):
        pass  # not in the cache, or not whole
    cache = Path(constants.HF_HUB_CACHE)
    files.check_space(cache, int(1.2e6 * wanted.megabytes))
    size = f"about {wanted.megabytes}" if wanted.megabytes else "an unknown number of"
    print(f"{name}: {size} MB are downloaded once, into {cache.name}")
    return download(name, **options)


def origin(name: str) -> str:
    """Where the files of a repository come from, in words: the hub and the revision, or a mirror;
    there a file ``origin.txt`` beside them may say more."""
    place = mirror()
    if not place or not (place / name).is_dir():
        return f"the hub, revision {source(name).revision}"
    note = place / name / "origin.txt"
    return note.read_text(encoding="utf-8").strip() if note.is_file() else "a mirror of the hub"


def download(name: str, **options) -> Path:
    """``snapshot_download``, its errors in one line each, as ``folder`` says."""
    with in_one_line(name):
        return Path(snapshot_download(name, **options))


@contextmanager
def in_one_line(name: str) -> Iterator[None]:
    """What goes wrong in this block with a repository of the hub becomes a CourseError that says
    why."""
    try:
        yield
    except (errors.HTTPError, errors.OfflineModeIsEnabled, OSError, ValueError) as error:
        cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else None
        raise CourseError(f"{name}: {why(cause or error)}") from None


#: What an operating system says of a place that cannot be written, but for a full disk.
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR)
NO_NETWORK = (
    "cannot be reached and is not on this disk; check the network, or set COURSE_HUB=FOLDER "
    "to a mirror (python -m helpers.public fetch FOLDER fills one where there is a network)"
)


def why(error: Exception) -> str:
    """What went wrong with a download, in words, and the remedy."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return (
            "is gated: accept its conditions on its page, then set HF_TOKEN to a token of yours "
            "(or hf auth login)"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return "has no such revision; look it up anew with python -m helpers.public pin"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "is not there, or not for you; it may have been renamed, or HF_TOKEN is needed"
    if status == 429:
        return (
            "the hub has had too many requests from this address (a class shares one); wait some "
            "minutes, set HF_TOKEN, or let everybody read one mirror by COURSE_HUB=FOLDER"
        )
    if status in (401, 403):
        return "the hub refuses it; is HF_TOKEN set, and still valid?"
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full; free some space, or take another (HF_HOME, or another FOLDER)"
    if getattr(error, "errno", None) in UNWRITABLE:
        return f"cannot be written there ({error}); take another place (HF_HOME, or another FOLDER)"
    if isinstance(error, errors.HFValidationError):
        return "is no name of the hub; one is written OWNER/NAME"
    if status:
        return f"the hub answers with an error ({status}); try again later"
    return NO_NETWORK
