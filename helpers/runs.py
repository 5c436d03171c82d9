"""The folder beside a model in which its pretraining keeps settings and checkpoints: begun, gone on
with, locked, and cleared away."""

import argparse
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from helpers import files, runtime
from helpers.errors import CourseError
from helpers.training import processes
from helpers.training.pretraining import DivergedError, settings_of
from helpers.world import facts

#: One run at a time on this machine looks for a folder, or clears one away: who holds this file.
STARTS = Path(__file__)
BUSY = "another process is training into this folder; wait for it, or give another --out"
SETTINGS = "settings.json"


def folder_of(out: Path) -> Path:
    """Where the checkpoints of a run are, beside its model."""
    return out.with_name(f".{out.name}.run")


def settings(
    options: argparse.Namespace, texts: tuple[list[str], list[str]] | None
) -> dict[str, object]:
    """What makes a run another run: options, and a checksum of its text."""
    keys = ("size", "seed", "optimizer", "batch", "learning_rate", "tokens", "vocab_size")
    chosen = {key.replace("_", "-"): getattr(options, key) for key in keys}
    return chosen | {"checksum of the text": text_checksum(texts, options.data)}


def text_checksum(texts: tuple[list[str], list[str]] | None, data: Path | None = None) -> str:
    """The first digits of a SHA-256 of the reader's own texts, of what ``data`` lists of its files,
    or of the facts of the world."""
    if data:
        with suppress(OSError):
            return files.checksum(data / files.MANIFEST)[:12]
    digest = sha256()
    for text in (
        [text for part in texts for text in part]
        if texts
        else map(repr, map(facts.table, facts.names()))
    ):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:12]


def is_finished(out: Path, wanted: dict[str, object]) -> bool:
    """Whether the model of these settings is there, whole."""
    try:
        made = settings_of(out)
    except CourseError:
        return False
    return made == wanted and files.damage(out) is None


@contextmanager
def held(out: Path, options: argparse.Namespace, wanted: dict[str, object]) -> Iterator[Path]:
    """The folder of a run, made or gone on with by the first process, and nobody else's meanwhile.

    At the end it is cleared away; with ``--resume-or-begin`` it is kept until the command runs
    again, for a bucket may not have received the model yet. What fails leaves it if it has
    checkpoints. A run that diverges leaves, with ``--resume-or-begin``, a note: whatever starts the
    command again, over and over, is not to pay for it twice.

    Raises CourseError where ``--resume`` finds nothing to go on with, or a run of other settings or
    of another text, where another process is at work, and where anything else is there.
    """
    with ExitStack() as lock:

        def begin() -> str:
            with files.locked(STARTS):
                folder = _begun(out, options, wanted)
                lock.enter_context(files.locked(folder / SETTINGS, BUSY))
            return str(folder)

        folder = Path(processes.by_first(begin))
        try:
            yield folder
        except CourseError as error:
            if isinstance(error, DivergedError) or not any(folder.glob("checkpoint-*")):
                over_and_over = options.resume_or_begin and isinstance(error, DivergedError)
                clear(folder, lock, wanted | {"diverged": str(error)} if over_and_over else None)
            raise
        if not options.resume_or_begin:
            clear(folder, lock)


def clear(folder: Path, lock: ExitStack, note: dict[str, object] | None = None) -> None:
    """Takes the folder of a run that is over away; a note may take its place. Its lock goes first:
    on a bucket no folder can be moved that holds an open file. Where it cannot be removed that is
    said, and no more."""
    if processes.is_first():
        with files.locked(STARTS):
            lock.close()
            try:
                files.remove(folder, "run")
                if note:
                    _write(folder, note)
            except CourseError as error:
                print(error)


def clear_finished(out: Path, wanted: dict[str, object]) -> None:
    """Takes away what is left of the run that has made this model, and of no other."""
    folder = folder_of(out)
    if processes.is_first() and (folder / SETTINGS).is_file():
        with files.locked(STARTS), suppress(CourseError):
            with files.locked(folder / SETTINGS, BUSY):
                same = wanted.items() <= settings_of(folder).items()
            if same:
                files.remove(folder, "run")


def _begun(out: Path, options: argparse.Namespace, wanted: dict[str, object]) -> Path:
    folder = folder_of(out)
    if options.resume_or_begin:
        options.resume = (folder / SETTINGS).is_file()
        if options.resume and (diverged := settings_of(folder).get("diverged")):
            if settings_of(folder) == wanted | {"diverged": diverged}:
                raise CourseError(
                    f"{folder}: not begun again, since it diverged before; {diverged}"
                )
            options.resume = False
    if options.resume:
        if not folder.is_dir():
            raise CourseError(
                f"{folder}: no checkpoint to resume from; run the command without --resume"
            )
        earlier = settings_of(folder)
        other = [key for key, value in wanted.items() if earlier.get(key) != value]
        if not other and "diverged" in earlier:
            raise CourseError(f"{folder}: nothing to resume; {earlier['diverged']}")
        if not other:
            return folder
        made = {key: earlier.get(key) for key in wanted}
        if not (options.resume_or_begin and is_finished(out, made)):
            other_settings = f"{other[0]} {earlier.get(other[0])}, not {wanted[other[0]]}"
            raise CourseError(
                f"{folder}: holds a run of {other_settings}; repeat its options and text, give "
                "another --out, or run without --resume"
            )
        options.resume = False  # the model of that run is there
    files.check_replaceable(folder, "run")
    if (folder / SETTINGS).exists():
        with files.locked(folder / SETTINGS, BUSY):
            pass  # nobody is at work
        files.remove(folder, "run")
    dtype = str(runtime.fastest_dtype(options.device)).removeprefix("torch.")
    _write(folder, wanted | {"dtype": dtype})
    return folder


def _write(folder: Path, content: dict[str, object]) -> None:
    with files.atomic_folder(folder, "run") as beside:
        (beside / SETTINGS).write_text(json.dumps(content), encoding="utf-8")
