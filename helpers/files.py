"""Folders and files that appear whole or not at all, and never take the place of what is not the
course's own.

A folder that the course makes holds a ``manifest.json``: its kind and the checksum of each of its
files. It is replaced or removed only while it holds exactly that, so nothing that somebody put into
it, or changed in it, is ever lost.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError

from helpers.errors import CourseError

#: Where the course keeps what it makes, ignored by git: ``.artifacts`` in the checkout, or the
#: folder ``COURSE_ARTIFACTS``; of the profile ``real`` in a folder of its own within it.
ARTIFACTS = (
    Path(os.environ.get("COURSE_ARTIFACTS") or Path(__file__).parent.parent / ".artifacts")
    .expanduser()
    .absolute()
) / ("real" if os.environ.get("COURSE_PROFILE") == "real" else "")
MANIFEST = "manifest.json"
#: What an operating system leaves in any folder that was looked at.
LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")


def checksum(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with file.open("rb") as opened:
        digest = sha256()
        while part := opened.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def write_manifest(folder: Path, kind: str) -> None:
    """Declares everything that is in the folder the course's own, of this kind; who is killed
    meanwhile leaves the manifest that was there."""
    files = [
        path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / MANIFEST
    ]
    listed = {path.relative_to(folder).as_posix(): checksum(path) for path in files}
    write(folder / MANIFEST, json.dumps({"kind": kind, "files": listed}, indent=1) + "\n")


def foreign(folder: Path, kind: str | None = None) -> str | None:
    """Why a folder is not the course's own, or not of this kind: in words, None if it is. An empty
    folder is anybody's.

    Folders of the course within it (the checkpoints of a run) have manifests of their own.
    """
    paths = sorted(path for path in folder.iterdir() if path.name not in LITTER)
    if not paths or ([path.name for path in paths] == [MANIFEST] and not paths[0].stat().st_size):
        return None  # the second is a folder whose maker was killed at once
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        listed, made = manifest["files"], manifest["kind"]
        if not isinstance(listed, dict | None):
            raise TypeError(listed)
    except (OSError, ValueError, TypeError, KeyError):
        return f"holds {paths[0].name}, which the course did not make"
    if kind not in (None, made):
        return f"holds a {made}, not a {kind}"
    return None if listed is None else _unlisted(folder, folder, listed)


def damage(folder: Path) -> str | None:
    """What is wrong with a folder that was written whole: in words, None if every file of its
    manifest is there and as it was."""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        missing = [name for name in listed if not (folder / name).is_file()]
    except (OSError, ValueError, TypeError, KeyError):
        return f"its {MANIFEST} is damaged or missing"
    return f"{missing[0]} is missing" if missing else foreign(folder)


def _unlisted(folder: Path, top: Path, listed: dict[str, str]) -> str | None:
    for path in sorted(folder.iterdir()):
        name = path.relative_to(top).as_posix()
        if path.name in LITTER or path == top / MANIFEST:
            continue
        if path.is_dir() and not path.is_symlink():
            within = any(other.startswith(f"{name}/") for other in listed)
            if reason := _unlisted(path, top, listed) if within else foreign(path):
                return reason
        elif path.is_symlink() or name not in listed:
            return f"holds {name}, which the course did not make"
        elif checksum(path) != listed[name]:
            return f"holds {name}, which was changed since"
    return None


def check_replaceable(folder: Path, kind: str) -> None:
    """Raises CourseError unless a new folder may take this place: where nothing is, an empty
    folder, or one of this kind that the course made and nobody has added to or changed since. The
    same holds for the places beside it that are needed to write it."""
    _check(folder, kind)
    for beside in _beside(folder):
        _check(beside)


def _check(folder: Path, kind: str | None = None) -> None:
    try:
        if folder.is_symlink():
            reason = "is a link"
        elif not folder.exists():
            return
        elif not folder.is_dir():
            reason = "is a file"
        elif folder.resolve() == Path.cwd().resolve():
            reason = "is the folder you are in"
        else:
            reason = foreign(folder, kind)
    except (OSError, ValueError) as error:
        reason = f"cannot be looked at ({error})"
    if reason:
        raise CourseError(
            f"{folder}: {reason}, so nothing is put in its place; name a new folder, or move this "
            "one away"
        )


def cannot_write(path: Path, error: Exception) -> CourseError:
    """The error of something that could not be written, with the remedy that fits."""
    number = getattr(error, "errno", None)
    remedy = "free some disk space, and try again"
    elsewhere = "choose another place (COURSE_ARTIFACTS=FOLDER, --out FOLDER)"
    if number in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        remedy = f"a file is in the way: move it, or {elsewhere}"
    elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = elsewhere
    return CourseError(f"{path}: cannot be written ({error}); {remedy}")


@contextmanager
def locked(path: Path, busy: str | None = None) -> Iterator[None]:
    """Holds a file or folder for one process and thread at a time; the others wait, or with
    ``busy`` are refused in these words. A killed process holds nothing. Where the system knows no
    such lock (Windows, some network drives) all may enter."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        if busy:  # who was quicker has replaced it
            raise CourseError(f"{path.parent}: {busy}") from None
        raise
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise CourseError(f"{path.parent}: {busy}") from None
        except OSError:
            pass
        yield
    finally:
        os.close(handle)


class atomic_folder:  # noqa: N801 (reads as a verb in ``with atomic_folder(folder) as beside``)
    """A new folder beside ``folder`` to write into; it takes its place at the end of the block, or
    goes if that fails.

    Raises CourseError, naming the folder, where ``check_replaceable`` does, and for a full disk.
    """

    def __init__(self, folder: Path, kind: str = "folder"):
        self.folder, self.kind = Path(folder).absolute(), kind
        self.beside, self.old = _beside(self.folder)

    def __enter__(self) -> Path:
        with ExitStack() as stack:
            try:
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.folder.parent))
                check_replaceable(self.folder, self.kind)
                _tidy(self.folder)
                self.beside.mkdir()
                (self.beside / MANIFEST).write_text(
                    json.dumps({"kind": self.kind, "files": None}), encoding="utf-8"
                )
            except OSError as error:
                raise cannot_write(self.folder, error) from None
            self.lock = stack.pop_all()
        return self.beside

    def __exit__(self, kind, error, trace) -> None:
        with self.lock:
            try:
                if error is None:
                    write_manifest(self.beside, self.kind)
                    _take_away(self.folder, self.old, self.kind)
                    self.beside.rename(self.folder)
            except (OSError, CourseError) as failed:
                error = failed
            with suppress(OSError):
                _tidy(self.folder)
        if isinstance(error, OSError | SafetensorError):
            raise cannot_write(self.folder, error) from None
        if isinstance(error, CourseError):
            raise error


def remove(folder: Path, kind: str) -> None:
    """Takes a folder away by one rename, then deletes it: nobody meets half of it. Raises
    CourseError if it is not the course's own and of this kind."""
    folder = Path(folder).absolute()
    if not folder.parent.is_dir():
        return
    try:
        with locked(folder.parent):
            check_replaceable(folder, kind)
            _tidy(folder)
            _take_away(folder, _beside(folder)[1], kind)
            _tidy(folder, put_back=False)
    except OSError as error:
        raise CourseError(f"{folder}: cannot be removed ({error}); remove it by hand") from None


def _beside(folder: Path) -> tuple[Path, Path]:
    """Where a new folder is written, and where the old one goes before it is deleted."""
    return folder.parent / f".{folder.name}.part", folder.parent / f".{folder.name}.old"


def _tidy(folder: Path, *, put_back: bool = True) -> None:
    """Clears away what is left beside the folder, by this process or a killed one. An old folder
    that nothing took the place of is put back."""
    for left in _beside(folder):
        _check(left)
        if put_back and left.suffix == ".old" and left.exists() and not folder.exists():
            left.rename(folder)
        elif left.exists():
            _delete(left)


def _take_away(folder: Path, old: Path, kind: str) -> None:
    """Moves the folder aside and looks at it once more, now that nobody can find it; puts it back
    if it is not ours."""
    with suppress(FileNotFoundError):
        folder.rename(old)
        try:
            _check(old, kind)
        except CourseError as error:
            old.rename(folder)
            raise CourseError(str(error).replace(str(old), str(folder))) from None


def _delete(folder: Path) -> None:
    """Deletes a folder, its manifest last, so that what a killed process leaves of it is still
    known as ours."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST):
        _delete(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


def write(file: Path, text: str) -> None:
    """A text file, whole or not at all. The caller holds the lock of its folder; OSError if it
    cannot be written."""
    beside = file.with_name(f".{file.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def check_space(folder: Path, needed: int) -> None:
    """Raises CourseError if the disk of a folder, or of the nearest one above it that exists, has
    fewer than ``needed`` bytes free."""
    place = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise CourseError(
            f"{place}: {needed / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free; free "
            "some disk space"
        )
