"""Texts as blocks of token ids, batches of blocks, and the loss on texts in bits per byte."""

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import pack_dataset

from helpers.errors import require_some
from helpers.lm import encoding, models


def pack(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerFast, tokens: int, block: int = models.BLOCK
) -> Dataset:
    """Texts as blocks of token ids, at most ``block`` long, until about ``tokens`` tokens are
    reached.

    Every block begins with end-of-text, and every text ends with it. Texts stay whole (best fit
    decreasing, by trl) unless they are longer than a block. Column ``input_ids``; rows differ a
    little in length and are padded in the batch.
    """
    rows, row, count, end = [], [], 0, tokenizer.eos_token_id
    pieces = (piece for text in texts for piece in pieces_of(text))
    for piece in chain.from_iterable(tokenised(pieces, tokenizer)):
        row += piece
        count += len(piece)
        if piece[-1:] == [end] or count >= tokens:
            rows.append(row)
            row = []
        if count >= tokens:
            break
    require_some(rows, "texts to pretrain on")
    data = Dataset.from_dict({"input_ids": rows})
    return pack_dataset(data, block - 1, "bfd_split").select_columns("input_ids")


def tokenised(
    pieces: Iterator[tuple[str, bool]], tokenizer: PreTrainedTokenizerFast
) -> Iterator[list[list[int]]]:
    """Token ids of pieces of texts, as ``pieces_of`` gives them, a batch at a time; the last piece
    of each text ends with end-of-text."""
    options = {
        "add_special_tokens": False,
        "split_special_tokens": True,
        "return_attention_mask": False,
        "verbose": False,
    }
    while batch := some_of(pieces):
        rows = tokenizer([piece for piece, _ in batch], **options)["input_ids"]
        for row, (_, is_last) in zip(rows, batch, strict=True):
            if is_last:
                row.append(tokenizer.eos_token_id)
        yield rows


def some_of(
    pieces: Iterator[tuple[str, bool]], characters: int = 500_000
) -> list[tuple[str, bool]]:
    """The next thousand pieces, or fewer if they are long."""
    batch = []
    for piece in islice(pieces, 1000):
        batch.append(piece)
        characters -= len(piece[0])
        if characters < 0:
            break
    return batch


def pieces_of(text: str, longest: int = 20_000) -> Iterator[tuple[str, bool]]:
    """A text in pieces that are tokenised one by one as they would be together, and whether it is
    the last one: so that of a long text no more is tokenised than is needed. (A line that is longer
    than a piece is parted anywhere.)"""
    begin = 0
    while len(text) - begin > longest:
        end = begin + longest
        line = text.rfind("\n", begin, end - 1) + 1
        while line > begin and text[line] == "\n":  # an empty line stays with the text before it
            line = text.rfind("\n", begin, line - 1) + 1
        end = line if line > begin else end
        yield text[begin:end], False
        begin = end
    yield text[begin:], True


def token_count(blocks: Dataset | Sequence[dict]) -> int:
    """Number of tokens in packed blocks, or in blocks of one length."""
    if isinstance(blocks, Dataset):
        return sum(len(row) for row in blocks["input_ids"])
    return len(blocks) * len(blocks[0]["input_ids"])


class Collator:
    """Blocks to a batch: end-of-text in front, padding behind. ``labels`` are the inputs, -100
    where padded; both of shape (blocks, longest)."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.begin, self.pad = [encoding.first_id(tokenizer)], encoding.pad_id(tokenizer)

    def __call__(self, rows: Sequence[dict]) -> dict[str, torch.Tensor]:
        ids, mask = encoding.padded(
            [[*self.begin, *row["input_ids"]] for row in rows], self.pad, "right"
        )
        return {"input_ids": ids, "labels": ids.masked_fill(mask == 0, -100)}


@torch.inference_mode()
def bits_per_byte(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    batch: int = 32,
) -> float:
    """Cross-entropy of the texts and their ends in bits, per byte of UTF-8: comparable between
    tokenizers. CourseError for no text."""
    require_some("".join(texts), "characters to predict")
    blocks = pack(texts, tokenizer, tokens=sys.maxsize)
    collate, nats = Collator(tokenizer), 0.0
    for start in range(0, len(blocks), batch):
        inputs = collate([blocks[i] for i in range(start, min(start + batch, len(blocks)))])
        inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        tokens = (inputs["labels"][:, 1:] != -100).sum().item()
        nats += model(**inputs).loss.item() * tokens
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)
