"""Few-shot prompts, and how a model is asked: by likelihood of a continuation, or by generation."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from random import Random

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers.errors import CourseError, require_number, require_some
from helpers.world.held_out import RESERVED_LABELS
from helpers.world.lists import Format, Task
from helpers.world.relations import Relation


@dataclass(frozen=True)
class Prompt:
    """A text to be continued. ``choices`` are the continuations to choose from, ``answer`` the right one among them.

    Continuations hold the space in front of them: ``text + answer`` is what a person would have written.
    """

    text: str
    answer: str
    choices: tuple[str, ...] = ()


def few_shot(form: Format, shots: Sequence[tuple[str, str]], x: str) -> str:
    """The examples, one after the other, and the beginning of the next."""
    return form.joint.join([*(form.line(*shot) for shot in shots), form.opening(x)])


def continuation(form: Format, y: str) -> str:
    """What follows the opening when the answer is y: " Paris", or "Paris" on a line of its own."""
    between = form.pair.partition("{y}")[0]
    return between[len(between.rstrip(" ")) :] + y


def relation_prompt(
    relation: Relation, x: str, y: str, shots: int, rng: Random, form: Format = Format(), *, closed: bool = True
) -> Prompt:
    """A list of ``shots`` pairs that lists may hold, then x. With ``closed`` the answer includes the end of its line, so
    that "Guinea" is not taken for "Guinea-Bissau". Raises CourseError for more shots than there are pairs."""
    require_number("shots", shots, 0, len(relation.listed) - 1)
    examples = rng.sample([pair for pair in relation.listed if pair[0] != x], shots)
    end = form.joint[0] if closed else ""
    return Prompt(few_shot(form, examples, x), continuation(form, y) + end)


def label_prompts(
    task: Task,
    shots: int,
    rng: Random,
    form: Format = Format(),
    *,
    queries: int = 1,
    classes: int = 3,
    words: Sequence[str] = RESERVED_LABELS,
) -> list[Prompt]:
    """One draw of ``shots`` examples, followed in each prompt by another text to sort: ``queries`` prompts.

    The classes, and the labels they bear, are drawn from the task and from ``words``. Every class is among the examples as
    soon as there is room for all. The class of the last text is independent of the examples, and it is none of them.
    Raises CourseError if a class is too small for that, and for more classes than the task or the words have.
    """
    require_number("shots", shots, 0)
    require_number("queries", queries, 1)
    require_number("classes", classes, 1, min(len(task.classes), len(words)))
    chosen = rng.sample(task.classes, classes)
    labels = dict(zip(chosen, rng.sample(list(words), classes), strict=True))
    groups = rng.sample(chosen, min(shots, classes)) + rng.choices(chosen, k=max(0, shots - classes))
    rng.shuffle(groups)
    examples = [(task.draw(rng, group), labels[group]) for group in groups]
    choices = tuple(continuation(form, label) for label in labels.values())
    found = []
    for _ in range(queries):
        group = rng.choice(chosen)
        x = draw_other(task, rng, group, {text for text, _ in examples})
        found.append(Prompt(few_shot(form, examples, x), continuation(form, labels[group]), choices))
    return found


def draw_other(task: Task, rng: Random, group: str, taken: Container[str]) -> str:
    """A text of this class that is not among ``taken``."""
    for _ in range(500):
        if (text := task.draw(rng, group)) not in taken:
            return text
    raise CourseError(f"task {task.name!r}: every text of class {group!r} is an example already; ask for fewer shots")


@dataclass(frozen=True)
class Score:
    """``logprob``: natural log of the probability of the whole continuation. ``greedy``: whether each of its tokens is
    the most probable one after those before it, which is when greedy generation writes exactly this."""

    logprob: float
    greedy: bool


#: A text, or the token ids of one that holds control tokens, begin-of-text included (``chat.turn_ids``).
Text = str | Sequence[int]


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[Text]) -> list[list[int]]:
    """Token ids of each text, begin-of-text in front. In a text "<|end|>" is seven characters and no control token. Raises
    CourseError for one text where several are expected: it would be taken for as many texts as it has letters."""
    if isinstance(texts, str):
        raise CourseError(f"{texts[:40]!r} is one text; give a list of texts: [text]")
    plain = [text if isinstance(text, str) else "" for text in texts]
    found = tokenizer(plain, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"] if plain else []
    begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return [[*begin, *ids] if isinstance(text, str) else list(text) for text, ids in zip(texts, found, strict=True)]


def encode_pairs(
    tokenizer: PreTrainedTokenizerFast, pairs: Sequence[tuple[Text, str]]
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of each text with its continuation, and those of the continuation at the end of them. At the end of a
    continuation, and only there, the tokenizer's ``eos_token`` is the token that ends a text or a turn."""
    different = list(dict.fromkeys(["", *(text for text, _ in pairs if isinstance(text, str))]))
    starts = dict(zip(different, encode(tokenizer, different), strict=True))
    rests = [rest.removesuffix(tokenizer.eos_token) for _, rest in pairs]
    joined = [text + rest if isinstance(text, str) else rest for (text, _), rest in zip(pairs, rests, strict=True)]
    wholes, tails = [], []
    for (text, given), rest, whole in zip(pairs, rests, encode(tokenizer, joined), strict=True):
        start = starts[text] if isinstance(text, str) else list(text)
        if not isinstance(text, str):
            whole = start + whole[len(starts[""]) :]
        whole = whole if rest == given else [*whole, tokenizer.eos_token_id]
        wholes.append(whole)
        tails.append(whole[len(start) :])
    return wholes, tails


def check_length(model: PreTrainedModel, rows: Sequence[Sequence[int]], new: int = 0) -> None:
    """Raises CourseError, with the count, for token ids that with ``new`` more are longer than the model's context."""
    limit = getattr(model.config, "max_position_embeddings", None)
    too_long = [len(row) for row in rows if limit and len(row) + new > limit]
    if too_long:
        more = f" and {new} new ones" if new else ""
        raise CourseError(
            f"{len(too_long)} of {len(rows)} texts are too long (up to {max(too_long):,} tokens{more}; the model takes "
            f"{limit:,} in all); shorten them"
        )


def _batches(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, rows: Sequence[Sequence[int]], size: int):
    """Rows of token ids in batches of similar length: (their places in ``rows``, model inputs padded on the left)."""
    require_number("batch", size, 1)
    check_length(model, rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for begin in range(0, len(order), size):
        chosen = order[begin : begin + size]
        ids, mask = padded([rows[i] for i in chosen], tokenizer.pad_token_id, "left")
        places = (mask.cumsum(1) - 1).clamp(min=0)
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": places}
        yield chosen, {name: tensor.to(model.device) for name, tensor in inputs.items()} | {"use_cache": False}


def padded(rows: Sequence[Sequence[int]], pad: int, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of token ids as one tensor, filled up with ``pad`` on the left or right, and its attention mask; both of shape
    (rows, longest). The mask comes from the lengths: a text may hold the pad token."""
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    ones = [torch.ones_like(row) for row in ids]
    pad_sequence = torch.nn.utils.rnn.pad_sequence
    return pad_sequence(ids, True, pad, padding_side=side), pad_sequence(ones, True, 0, padding_side=side)


@torch.inference_mode()
def next_token_logprobs(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[Text], batch: int = 32
) -> torch.Tensor:
    """Log-probabilities of the token after each text, of shape (texts, vocabulary). CourseError for no text, or one that is
    longer than the model's context."""
    require_some(texts, "texts")
    found = torch.empty(len(texts), model.config.vocab_size)
    for chosen, inputs in _batches(model, tokenizer, encode(tokenizer, texts), batch):
        found[chosen] = model(**inputs, logits_to_keep=1).logits[:, -1].float().log_softmax(-1).cpu()
    return found


@torch.inference_mode()
def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    pairs: Sequence[tuple[Text, str]],
    batch: int = 32,
    temperature: float = 1.0,
) -> list[Score]:
    """Scores of (text, continuation) pairs, in their order. An empty continuation scores 0. CourseError for no pair, or one
    that is longer than the model's context."""
    require_some(pairs, "pairs of a text and a continuation")
    wholes, tails = encode_pairs(tokenizer, pairs)
    found: list[Score | None] = [None] * len(pairs)
    for chosen, inputs in _batches(model, tokenizer, wholes, batch):
        keep = max(1, *(len(tails[i]) for i in chosen))
        logits = model(**inputs, logits_to_keep=keep + 1).logits
        logprobs = (logits[:, :-1].float() / temperature).log_softmax(-1)  # (batch, keep, vocabulary)
        targets = inputs["input_ids"][:, -keep:]
        right = logprobs.gather(-1, targets[..., None])[..., 0]
        first = logprobs.argmax(-1) == targets
        for row, i in enumerate(chosen):
            begin = keep - len(tails[i])
            found[i] = Score(right[row, begin:].sum().item(), bool(first[row, begin:].all()))
    return found


def choose(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt]) -> list[bool]:
    """For each prompt, whether its answer is the most probable of its choices. (Of the whole choice: a longer one, all else
    being equal, is less probable.) CourseError for no prompt, or one without choices.

    A choice that is a single token costs nothing beyond the text; others are read one by one.
    """
    require_some(prompts, "prompts")
    for prompt in prompts:
        require_some(prompt.choices, f"choices for {prompt.text[-40:]!r}")
    pairs = [(p.text, choice) for p in prompts for choice in p.choices]
    tails = iter(encode_pairs(tokenizer, pairs)[1])
    rests = [[next(tails) for _ in p.choices] for p in prompts]
    if all(len(rest) == 1 for row in rests for rest in row):
        table = next_token_logprobs(model, tokenizer, [p.text for p in prompts])
        scores = iter(table[i, rest[0]].item() for i, row in enumerate(rests) for rest in row)
    else:
        scores = iter(s.logprob for s in score(model, tokenizer, pairs))
    found = []
    for prompt in prompts:
        best = max(prompt.choices, key=lambda choice: next(scores))
        found.append(best == prompt.answer)
    return found


def exact(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt]) -> list[bool]:
    """For each prompt, whether greedy generation writes exactly its answer. CourseError for no prompt."""
    require_some(prompts, "prompts")
    return [s.greedy for s in score(model, tokenizer, [(p.text, p.answer) for p in prompts])]


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[Text],
    *,
    max_new_tokens: int = 24,
    batch: int = 256,
    skip_special_tokens: bool = True,
    **sampling,
) -> list[str]:
    """What the model writes after each text, greedily unless ``sampling`` says otherwise (as for ``model.generate``). With
    ``num_return_sequences=n`` n for each text, one after the other.

    CourseError for no text, one that leaves no room for the new tokens in the model's context, and settings that
    transformers refuses.
    """
    require_some(texts, "texts")
    require_number("max_new_tokens", max_new_tokens, 1)
    require_number("batch", batch, 1)
    rows, found = encode(tokenizer, texts), []
    check_length(model, rows, max_new_tokens)
    unwanted = {tokenizer.pad_token_id, *(tokenizer.all_special_ids if skip_special_tokens else ())}
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    for begin in range(0, len(rows), batch):
        part = rows[begin : begin + batch]
        ids, mask = (tensor.to(model.device) for tensor in padded(part, tokenizer.pad_token_id, "left"))
        settings = {"max_new_tokens": max_new_tokens, **ends, "do_sample": False} | sampling
        try:
            written = model.generate(input_ids=ids, attention_mask=mask, **settings)
        except (ValueError, TypeError) as error:
            raise CourseError(f"transformers refuses these settings: {str(error).strip().splitlines()[0]}") from None
        written = getattr(written, "sequences", written)  # where ``return_dict_in_generate`` is asked for
        several = len(written) // len(part)
        for number, row in enumerate(written[:, ids.shape[1] :].tolist()):
            start = part[number // several]
            rest = [token for token in row if token not in unwanted]
            # Decoded behind its text: alone, the first word would lose its space.
            found.append(tokenizer.decode(start + rest)[len(tokenizer.decode(start)) :])
    return found
