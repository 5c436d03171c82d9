"""The reader's own texts, and published ones in Parquet files, to pretrain on."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets import load_dataset
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HTTPError

from helpers.errors import CourseError

NOT_UTF8 = "{}: not UTF-8 text; save it as UTF-8, and give no binary files"


def own_texts(paths: Sequence[Path], most: int = 10**8) -> tuple[list[str], list[str]]:
    """Training and validation texts of the reader's own UTF-8 files: of each file the last tenth is
    for validation.

    Of long files only the beginnings of both parts are read: ``most`` bytes in all for training, a
    megabyte each for validation. Raises CourseError, naming the file, for one that is missing,
    empty, binary or not UTF-8, or too short to divide.
    """
    sizes = [bytes_in(Path(path)) for path in paths]
    training, validation = [], []
    for path, size in zip(paths, sizes, strict=True):
        cut, share = size * 9 // 10, math.ceil(most * size / max(1, sum(sizes)))
        parts = [
            _read(Path(path), 0, min(cut, share)),
            _read(Path(path), cut, min(size, cut + 10**6)),
        ]
        length = sum(len(part.strip()) for part in parts)
        if length < 1000:
            raise CourseError(
                f"{path}: {'too short' if length else 'empty'}; give at least 1,000 characters"
            )
        for texts, part in zip((training, validation), parts, strict=True):
            texts.append(part)
    return training, validation


def pieces_in(paths: Sequence[Path], characters: int = 20_000) -> Iterator[tuple[str, bool]]:
    """What ``own_texts`` takes for training, of files of any size: in pieces of about so many
    characters that end where a line ends, and whether a piece is the last of its file. CourseError
    as there."""
    for path in paths:
        left, kept = bytes_in(path) * 9 // 10 - 3, ""  # the mark that a UTF-8 file may begin with
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                while left > 0 and (read := file.read(characters)):
                    read = read.encode()[:left].decode(errors="ignore")
                    text, left = kept + read, left - max(1, len(read.encode()))
                    cut = text.rfind("\n") + 1 or len(text)
                    kept = text[cut:]
                    yield _checked(text[:cut], path), False
        except OSError as error:
            raise CourseError(
                f"{path}: cannot be read ({error.strerror}); check its name"
            ) from None
        except UnicodeDecodeError:
            raise CourseError(NOT_UTF8.format(path)) from None
        yield _checked(kept, path), True


def documents_in(source: str) -> Iterator[str]:
    """The column ``text`` of a Parquet file, one text after the other: a file of the reader's, or
    hf://datasets/OWNER/NAME/FILE on the Hugging Face hub, read while it is needed. CourseError for
    one that cannot be read, or has no such column."""
    where = "check its name" if "://" not in source else "check its name and the network"
    try:
        rows = load_dataset("parquet", data_files=source, split="train", streaming=True)
        for row in rows:
            if not isinstance(row.get("text"), str):
                raise CourseError(f"{source}: has no column of texts named 'text'")
            yield row["text"]
    except (OSError, ValueError, DatasetsError, HTTPError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CourseError(f"{source}: cannot be read ({reason}); {where}") from None


def _checked(text: str, path: Path) -> str:
    if "\0" in text:
        raise CourseError(f"{path}: a binary file; give plain text")
    return text


def bytes_in(path: Path) -> int:
    """The size of a file. Raises CourseError, naming it, for one that is missing or no file."""
    try:
        if path.exists() and not path.is_file():
            raise CourseError(f"{path}: not a file; give plain text")
        return path.stat().st_size
    except (OSError, ValueError) as error:
        raise CourseError(
            f"{path}: cannot be read ({getattr(error, 'strerror', error)}); check its name"
        ) from None


def _read(path: Path, begin: int, end: int) -> str:
    """The characters that begin between these bytes of a file."""
    try:
        with path.open("rb") as file:
            file.seek(begin)
            data, more = file.read(end - begin), file.read(3)
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror}); check its name") from None
    while begin and data and 0x80 <= data[0] < 0xC0:  # the rest of a character that begins before
        data, begin = data[1:], begin + 1
    while more and 0x80 <= more[0] < 0xC0 and data:  # the rest of the last one
        data, more = data + more[:1], more[1:]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CourseError(NOT_UTF8.format(path)) from None
    return _checked(text, path)
