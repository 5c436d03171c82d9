"""Few-shot prompts, and how a model is asked: by likelihood of a continuation, or by generation."""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from random import Random

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers.errors import CourseError
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
    that "Guinea" is not taken for "Guinea-Bissau"."""
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
    Raises CourseError if a class is too small for that.
    """
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


def _batches(tokenizer: PreTrainedTokenizerFast, rows: Sequence[Sequence[int]], size: int, device: torch.device):
    """Rows of token ids in batches of similar length: (their places in ``rows``, model inputs padded on the left)."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for begin in range(0, len(order), size):
        chosen = order[begin : begin + size]
        ids = [torch.tensor([tokenizer.bos_token_id, *rows[i]]) for i in chosen]
        ids = torch.nn.utils.rnn.pad_sequence(ids, True, tokenizer.pad_token_id, padding_side="left").to(device)
        mask = (ids != tokenizer.pad_token_id).long()
        places = (mask.cumsum(1) - 1).clamp(min=0)
        yield chosen, {"input_ids": ids, "attention_mask": mask, "position_ids": places, "use_cache": False}


@torch.inference_mode()
def next_token_logprobs(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], batch: int = 32
) -> torch.Tensor:
    """Log-probabilities of the token after each text, of shape (texts, vocabulary)."""
    found = torch.empty(len(texts), len(tokenizer))
    for chosen, inputs in _batches(tokenizer, tokenizer(list(texts))["input_ids"], batch, model.device):
        found[chosen] = model(**inputs, logits_to_keep=1).logits[:, -1].float().log_softmax(-1).cpu()
    return found


@torch.inference_mode()
def score(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    pairs: Sequence[tuple[str, str]],
    batch: int = 32,
    temperature: float = 1.0,
) -> list[Score]:
    """Scores of (text, continuation) pairs, in their order."""
    starts = tokenizer([text for text, _ in pairs])["input_ids"]
    wholes = tokenizer([text + rest for text, rest in pairs])["input_ids"]
    tails = [len(whole) - len(start) for start, whole in zip(starts, wholes, strict=True)]
    found: list[Score | None] = [None] * len(pairs)
    for chosen, inputs in _batches(tokenizer, wholes, batch, model.device):
        keep = max(tails[i] for i in chosen)
        logits = model(**inputs, logits_to_keep=keep + 1).logits
        logprobs = (logits[:, :-1].float() / temperature).log_softmax(-1)  # (batch, keep, vocabulary)
        targets = inputs["input_ids"][:, -keep:]
        right = logprobs.gather(-1, targets[..., None])[..., 0]
        first = logprobs.argmax(-1) == targets
        for row, i in enumerate(chosen):
            found[i] = Score(right[row, -tails[i] :].sum().item(), bool(first[row, -tails[i] :].all()))
    return found


def choose(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt]) -> list[bool]:
    """For each prompt, whether its answer is the most probable of its choices.

    A choice that is a single token costs nothing beyond the text; others are read one by one.
    """
    pairs = [(p.text, choice) for p in prompts for choice in p.choices]
    starts = tokenizer([p.text for p in prompts])["input_ids"]
    wholes = iter(tokenizer([text + choice for text, choice in pairs])["input_ids"])
    rests = [[next(wholes)[len(start) :] for _ in p.choices] for p, start in zip(prompts, starts, strict=True)]
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
    """For each prompt, whether greedy generation writes exactly its answer."""
    return [s.greedy for s in score(model, tokenizer, [(p.text, p.answer) for p in prompts])]


@torch.inference_mode()
def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    *,
    max_new_tokens: int = 24,
    batch: int = 256,
    skip_special_tokens: bool = True,
    **sampling,
) -> list[str]:
    """What the model writes after each text, greedily unless ``sampling`` says otherwise (as for ``model.generate``)."""
    found = []
    for begin in range(0, len(texts), batch):
        part = [tokenizer.bos_token + text for text in texts[begin : begin + batch]]
        inputs = tokenizer(part, return_tensors="pt", padding=True, padding_side="left").to(model.device)
        inputs.pop("token_type_ids", None)
        ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
        written = model.generate(**inputs, max_new_tokens=max_new_tokens, **ends, **{"do_sample": False} | sampling)
        for row, text in zip(written.tolist(), part, strict=True):
            whole = tokenizer.decode([token for token in row if token != tokenizer.pad_token_id])
            rest = whole[len(text) :]
            if skip_special_tokens:
                rest = re.sub("|".join(map(re.escape, tokenizer.all_special_tokens)), "", rest)
            found.append(rest)
    return found
