"""Texts as token ids, for any tokenizer: where they and their continuations begin, and batches."""

from collections.abc import Iterator, Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers.errors import CourseError, require_number

#: A text, or the token ids of one that holds control tokens, begin-of-text included
#: (``chat.turn_ids``).
Text = str | Sequence[int]


def begin_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """What the tokenizer puts in front of a text by itself: begin-of-text, or nothing (SmolLM2,
    Qwen)."""
    alone, whole = (
        tokenizer("a", add_special_tokens=False)["input_ids"],
        tokenizer("a")["input_ids"],
    )
    return whole[: next(i for i in range(len(whole)) if whole[i : i + len(alone)] == alone)]


def first_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that a text is predicted from where nothing stands before it: begin-of-text, else
    end-of-text."""
    return tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id


def pad_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that rows are filled up with. Which it is does not matter: masks come from lengths,
    not from ids."""
    return next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[Text]) -> list[list[int]]:
    """Token ids of each text, in front of it what the tokenizer puts there, and at least one token.
    In a text "<|end|>" is seven characters and no control token. Raises CourseError for one text
    where several are expected: it would be taken for as many texts as it has letters."""
    if isinstance(texts, str):
        raise CourseError(f"{texts[:40]!r} is one text; give a list of texts: [text]")
    plain = [text if isinstance(text, str) else "" for text in texts]
    options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    ids, begin = tokenizer(plain, **options)["input_ids"] if plain else [], begin_ids(tokenizer)
    rows = [
        [*begin, *row] if isinstance(text, str) else list(text)
        for text, row in zip(texts, ids, strict=True)
    ]
    return [row or [first_id(tokenizer)] for row in rows]


def encode_pairs(
    tokenizer: PreTrainedTokenizerFast, pairs: Sequence[tuple[Text, str]]
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of each text with its continuation, and those of the continuation at the end of
    them. Where the last token of the text would be another one with the continuation behind it, it
    counts as the continuation's: the two part behind the last token that they have in common. At
    the end of a continuation, and only there, the tokenizer's ``eos_token`` is the token that ends
    a text or a turn."""
    wholes, common = common_beginnings(tokenizer, pairs)
    halves = [
        parted(tokenizer, [whole], shared) for whole, shared in zip(wholes, common, strict=True)
    ]
    return [whole for (whole,), _ in halves], [whole[begin:] for (whole,), begin in halves]


def common_beginnings(tokenizer, pairs) -> tuple[list[list[int]], list[int]]:
    """Token ids of each text with its continuation, and how many of them the text alone has too."""
    different = list(dict.fromkeys(["", *(text for text, _ in pairs if isinstance(text, str))]))
    starts = dict(zip(different, encode(tokenizer, different), strict=True))
    rests = [rest.removesuffix(tokenizer.eos_token or "") for _, rest in pairs]
    joined = [
        text + rest if isinstance(text, str) else rest
        for (text, _), rest in zip(pairs, rests, strict=True)
    ]
    begin, wholes, common = len(begin_ids(tokenizer)), [], []
    for (text, continuation), rest, whole in zip(
        pairs, rests, encode(tokenizer, joined), strict=True
    ):
        start = starts[text] if isinstance(text, str) else list(text)
        if not isinstance(text, str) or (not text and not begin):
            whole = start + (whole[begin:] if rest else [])
        shorter = min(len(start), len(whole))
        common.append(next((i for i in range(shorter) if start[i] != whole[i]), shorter))
        wholes.append(whole if rest == continuation else [*whole, tokenizer.eos_token_id])
    return wholes, common


def parted(tokenizer, wholes: list[list[int]], common: int) -> tuple[list[list[int]], int]:
    """The rows, and where what is asked begins in them: behind a first token at least, from which
    the others are predicted."""
    return (wholes, common) if common else ([[first_id(tokenizer), *whole] for whole in wholes], 1)


def check_length(model: PreTrainedModel, rows: Sequence[Sequence[int]], new: int = 0) -> None:
    """Raises CourseError, with the count, for token ids that with ``new`` more are longer than the
    model's context."""
    limit = getattr(model.config, "max_position_embeddings", None)
    too_long = [len(row) for row in rows if limit and len(row) + new > limit]
    if too_long:
        more = f" and {new} new ones" if new else ""
        raise CourseError(
            f"{len(too_long)} of {len(rows)} texts are too long (up to {max(too_long):,} "
            f"tokens{more}; the model takes {limit:,} in all); shorten them"
        )


def batches(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[Sequence[int]],
    size: int,
) -> Iterator[tuple[list[int], dict]]:
    """Rows of token ids in batches of similar length: their places in ``rows``, and the model's
    inputs, of shape (batch, longest of it), padded on the left."""
    require_number("batch", size, 1)
    check_length(model, rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for begin in range(0, len(order), size):
        chosen = order[begin : begin + size]
        ids, mask = padded([rows[i] for i in chosen], pad_id(tokenizer), "left")
        places = (mask.cumsum(1) - 1).clamp(min=0)
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": places}
        inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        yield chosen, inputs | {"use_cache": False}


def padded(rows: Sequence[Sequence[int]], pad: int, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of token ids as one tensor, filled up with ``pad`` on the left or right, and its
    attention mask; both of shape (rows, longest). The mask comes from the lengths: a text may hold
    the pad token."""
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    ones = [torch.ones_like(row) for row in ids]
    pad_sequence = torch.nn.utils.rnn.pad_sequence
    return pad_sequence(ids, True, pad, padding_side=side), pad_sequence(
        ones, True, 0, padding_side=side
    )
