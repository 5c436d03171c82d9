"""Texts tokenised once, into flat files that a training maps into memory.

As nanoGPT, llm.c and others do it: token ids one after the other, two bytes each, or four where the
vocabulary is larger. A training reads any block of them without reading those before it, so that
a run is resumed at once, also with another number of processes.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from helpers import files
from helpers.errors import CourseError
from helpers.training import processes
from helpers.training.packing import tokenised

#: Tokens in a file.
SHARD = 10**8


def write_tokens(
    pieces: Iterator[tuple[str, bool]],
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    most: int,
    validation: Sequence[str] = (),
    shard: int = SHARD,
) -> int:
    """Token ids of pieces of texts (``packing.pieces_of``), an end-of-text behind each text, until
    there are ``most``: into ``folder``, whole or not at all, with the tokenizer, and texts for
    validation. Returns how many there are.

    A thousand pieces are in memory at a time. CourseError for no text, a full disk, and a folder
    that holds anything else.
    """
    dtype = np.dtype(np.uint16 if len(tokenizer) <= 2**16 else np.uint32)
    written = 0
    with files.atomic_folder(folder, "tokens") as beside:
        for rows in tokenised(pieces, tokenizer):
            ids = np.fromiter(chain.from_iterable(rows), dtype)[: most - written]
            while ids.size:
                number, filled = divmod(written, shard)
                part, ids = ids[: shard - filled], ids[shard - filled :]
                with (beside / f"tokens-{number:05}.bin").open("ab") as file:
                    part.tofile(file)
                written += part.size
            if written == most:
                break
        if not written:
            raise CourseError("there are no texts to pretrain on; give at least one")
        tokenizer.save_pretrained(beside / "tokenizer")
        about = {"tokens": written, "shard": shard, "dtype": dtype.name}
        about["validation"] = list(validation)
        (beside / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return written


class Tokens(Dataset):
    """What ``write_tokens`` has made, as blocks of ``length`` token ids: rows with a column
    ``input_ids``, read when they are asked for. What is left at the end is in no block.

    CourseError for a folder that is none, or damaged, one that holds less than a block, and one
    that is not the same on all machines.
    """

    def __init__(self, folder: Path, length: int):
        self.folder, self.length = folder, length
        processes.agreed(self._check)
        processes.agreed(self._open)
        if len(set(processes.all_said(files.checksum(folder / files.MANIFEST)))) > 1:
            raise processes.AgreedError(f"{folder}: not the same on all machines; copy it anew")

    def _check(self) -> None:
        damage = None if self.folder.is_dir() else "is no folder"
        if damage is None and processes.is_first_here():  # a checksum of everything, once
            damage = files.damage(self.folder)
        if damage:
            remedy = "make it anew with python -m helpers.tokenise"
            raise CourseError(f"{self.folder}: holds no whole tokens ({damage}); {remedy}")

    def _open(self) -> None:
        folder = self.folder
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        self.count, self.shard = about["tokens"], about["shard"]
        self.validation = about["validation"]
        if len(self) == 0:
            raise CourseError(
                f"{folder}: {self.count} tokens are less than a block of {self.length}"
            )
        shards = sorted(folder.glob("tokens-*.bin"))
        self.maps = [np.memmap(file, about["dtype"], "r") for file in shards]

    def __len__(self) -> int:
        return self.count // self.length

    def __getitem__(self, place: int) -> dict[str, list[int]]:
        begin, ids = place * self.length, []
        while missing := self.length - len(ids):
            number, offset = divmod(begin + len(ids), self.shard)
            ids += self.maps[number][offset : offset + missing].tolist()
        return {"input_ids": ids}

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer that the ids are of."""
        return AutoTokenizer.from_pretrained(self.folder / "tokenizer")
