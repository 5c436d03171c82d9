"""How a language model is asked: by the likelihood of a continuation, or by what it writes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers.data import Prompt
from helpers.errors import CourseError, require_number, require_some
from helpers.lm import encoding
from helpers.stats import Rate


@dataclass(frozen=True)
class Score:
    """``logprob``: natural log of the probability of the whole continuation. ``greedy``: whether
    each of its tokens is the most probable one after those before it, which is when greedy
    generation writes exactly this."""

    logprob: float
    greedy: bool


@torch.inference_mode()
def next_token_logprobs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[encoding.Text],
    batch: int = 32,
) -> torch.Tensor:
    """Log-probabilities of the token after each text, of shape (texts, vocabulary of the model).
    CourseError for no text, or one that is longer than the model's context."""
    require_some(texts, "texts")
    rows: list[torch.Tensor | None] = [None] * len(texts)
    for chosen, inputs in encoding.batches(
        model, tokenizer, encoding.encode(tokenizer, texts), batch
    ):
        logprobs = model(**inputs, logits_to_keep=1).logits[:, -1].float().log_softmax(-1).cpu()
        for place, row in zip(chosen, logprobs, strict=True):
            rows[place] = row
    return torch.stack(rows)


def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    pairs: Sequence[Prompt | tuple[encoding.Text, str]],
    batch: int = 32,
    temperature: float = 1.0,
) -> list[Score]:
    """Scores of (text, continuation) pairs, or of prompts with their answers, in their order. An
    empty continuation scores 0. Where a token spans the border of the two, the whole token is
    scored (``encoding.encode_pairs``). Logits are divided by ``temperature`` first. CourseError for
    no pair, or one longer than the model's context."""
    require_some(pairs, "pairs of a text and a continuation")
    pairs = [(p.text, p.answer) if isinstance(p, Prompt) else p for p in pairs]
    wholes, tails = encoding.encode_pairs(tokenizer, pairs)
    return _score_ends(model, tokenizer, wholes, [len(tail) for tail in tails], batch, temperature)


@torch.inference_mode()
def _score_ends(
    model, tokenizer, rows, lengths, batch: int = 32, temperature: float = 1.0
) -> list[Score]:
    """Scores of the last tokens of each row of token ids, as many as ``lengths`` says."""
    scores: list[Score | None] = [None] * len(rows)
    for chosen, inputs in encoding.batches(model, tokenizer, rows, batch):
        keep = max(lengths[i] for i in chosen)
        if not keep:  # nothing is asked
            scores = [Score(0.0, True) if i in chosen else s for i, s in enumerate(scores)]
            continue
        logits = model(**inputs, logits_to_keep=keep + 1).logits
        # (batch, keep, vocabulary)
        logprobs = (logits[:, :-1].float() / temperature).log_softmax(-1)
        targets = inputs["input_ids"][:, -keep:]
        right = logprobs.gather(-1, targets[..., None])[..., 0]
        first = logprobs.argmax(-1) == targets
        for row, i in enumerate(chosen):
            begin = keep - lengths[i]
            scores[i] = Score(right[row, begin:].sum().item(), bool(first[row, begin:].all()))
    return scores


def choose(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt]
) -> list[bool]:
    """For each prompt, whether its answer is the most probable of its choices; of two that are
    equally probable the first counts, and an answer that is none of the choices is wrong. (Compared
    are sums over all tokens of a choice: a longer one, all else being equal, is less probable.)
    CourseError for no prompt, or one without choices.

    All choices of a prompt are scored from the last token that they have in common with it. A
    choice that is a single token costs nothing beyond the text; others are read one by one.
    """
    require_some(prompts, "prompts")
    for prompt in prompts:
        require_some(prompt.choices, f"choices for {prompt.text[-40:]!r}")
    rows_of_pairs, common = encoding.common_beginnings(
        tokenizer, [(p.text, choice) for p in prompts for choice in p.choices]
    )
    wholes, lengths = [], []
    for prompt in prompts:
        group = range(len(wholes), len(wholes) + len(prompt.choices))
        rows, begin = encoding.parted(
            tokenizer, [rows_of_pairs[i] for i in group], min(common[i] for i in group)
        )
        wholes += rows
        lengths += [len(row) - begin for row in rows]
    if set(lengths) == {1}:
        firsts = [sum(len(p.choices) for p in prompts[:n]) for n in range(len(prompts))]
        table = next_token_logprobs(model, tokenizer, [wholes[i][:-1] for i in firsts])
        scores = [
            table[n, wholes[i + k][-1]].item()
            for n, i in enumerate(firsts)
            for k in range(len(prompts[n].choices))
        ]
    else:
        scores = [s.logprob for s in _score_ends(model, tokenizer, wholes, lengths)]
    remaining = iter(scores)
    return [max(p.choices, key=lambda choice: next(remaining)) == p.answer for p in prompts]


def exact(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt]
) -> list[bool]:
    """For each prompt, whether greedy generation writes exactly its answer. CourseError for no
    prompt."""
    require_some(prompts, "prompts")
    return [s.greedy for s in score(model, tokenizer, prompts)]


def logprobs(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> list[float]:
    """The log-probability of each text as a whole document's beginning."""
    return [s.logprob for s in score(model, tokenizer, [("", text) for text in texts])]


def accuracy_by_choice(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt]
) -> Rate:
    """Prompts whose answer is the most probable of their choices."""
    return Rate.of(choose(model, tokenizer, prompts))


def accuracy_by_generation(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt]
) -> Rate:
    """Prompts that greedy generation answers exactly, and ends there with end-of-text, as finetuned
    models do."""
    return Rate.of(
        exact(model, tokenizer, [Prompt(p.text, p.answer + tokenizer.eos_token) for p in prompts])
    )


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[encoding.Text],
    *,
    max_new_tokens: int = 24,
    batch: int = 256,
    skip_special_tokens: bool = True,
    **sampling,
) -> list[str]:
    """What the model writes after each text, greedily unless ``sampling`` says otherwise (as for
    ``model.generate``). With ``num_return_sequences=n`` n for each text, one after the other.

    CourseError for no text, one that leaves no room for the new tokens in the model's context, and
    settings that transformers refuses.
    """
    require_some(texts, "texts")
    require_number("max_new_tokens", max_new_tokens, 1)
    require_number("batch", batch, 1)
    rows, written = encoding.encode(tokenizer, texts), []
    encoding.check_length(model, rows, max_new_tokens)
    ends = {tokenizer.eos_token_id, *_several(model.generation_config.eos_token_id)} - {None}
    settings = {
        "pad_token_id": encoding.pad_id(tokenizer),
        "eos_token_id": sorted(ends) or None,
        "do_sample": False,
    } | sampling
    settings["max_new_tokens"] = max_new_tokens
    for begin in range(0, len(rows), batch):
        part = rows[begin : begin + batch]
        ids, mask = (
            tensor.to(model.device)
            for tensor in encoding.padded(part, encoding.pad_id(tokenizer), "left")
        )
        try:
            whole = model.generate(input_ids=ids, attention_mask=mask, **settings)
        except (ValueError, TypeError) as error:
            raise CourseError(
                f"transformers refuses these settings: {str(error).strip().splitlines()[0]}"
            ) from None
        whole = getattr(whole, "sequences", whole)  # where ``return_dict_in_generate`` is asked for
        for number, new in enumerate(whole[:, ids.shape[1] :].tolist()):
            # Behind the end stands padding. (By place, not by id: the two may be the same token.)
            stop = next(
                (
                    i + 1
                    for i, token in enumerate(new)
                    if token in _several(settings["eos_token_id"])
                ),
                len(new),
            )
            hidden = tokenizer.all_special_ids if skip_special_tokens else ()
            written.append(
                _decode_behind(
                    tokenizer,
                    part[number * len(part) // len(whole)],
                    [t for t in new[:stop] if t not in hidden],
                )
            )
    return written


def first_lines(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[encoding.Text],
    max_new_tokens: int = 16,
) -> list[str]:
    """The first line with text in it that the model writes after each text, without its spaces."""
    written = generate(model, tokenizer, texts, max_new_tokens=max_new_tokens)
    return [text.strip().partition("\n")[0].strip() for text in written]


def _several(ids: int | Sequence[int] | None) -> Sequence[int | None]:
    return ids if isinstance(ids, list | tuple) else [ids]


def _decode_behind(
    tokenizer: PreTrainedTokenizerFast, start: Sequence[int], rest: Sequence[int]
) -> str:
    """The text of ``rest`` where it stands behind ``start``: alone, its first word would lose its
    space."""
    before, whole = tokenizer.decode(start), tokenizer.decode([*start, *rest])
    return whole.removeprefix(before) if whole.startswith(before) else tokenizer.decode(rest)
