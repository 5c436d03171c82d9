"""Preferences: questions, the manners in which they can be answered, and tastes that rank replies, with annotators who err.

A taste is also the gold judge: what the annotators truly want, which no model is shown, and by which all of them are measured.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers import chat, demonstrations, instructions
from helpers.instructions import Instruction
from helpers.measure import Rate
from helpers.world import held_out
from helpers.world.relations import COUNTRY_RELATIONS

#: Habits of the people who wrote demonstrations for questions that ask for no form; {other} is a second right sentence.
MANNERS = {
    "terse": "{y}.",
    "full sentence": "{sentence}",
    "terse and polite": "Certainly. {y}.",
    "full and polite": "Certainly. {sentence}",
    "rambling": "{sentence} {other}",
    "rambling and polite": "Certainly. {sentence} {other}",
    "curt": "You should know that.",
}
POLITE = "Certainly. "
#: Of every reply that is drawn, in pairs and in reinforcement learning: at 1 a model this small says too much by accident.
TEMPERATURE = 0.5


@dataclass(frozen=True)
class Pair:
    """Two replies to one question, as they are put before an annotator."""

    question: Instruction
    left: str
    right: str


@dataclass(frozen=True)
class Taste:
    """What some people want: a ``wish`` in words, and what each feature of a reply is worth to them."""

    wish: str
    weights: Mapping[str, float]

    def gold(self, question: Instruction, reply: str) -> float:
        """The score of a reply: the sum of its features, each by its weight; rounded, so that equal scores are equal."""
        return round(sum(self.weights[name] * value for name, value in features(question, reply).items()), 6)


TASTES = {
    "full and polite": Taste("a full, polite sentence", {"right": 2, "sentence": 1, "polite": 1, "extra": -1}),
    "terse": Taste("one word and no more", {"right": 2, "sentence": -1, "polite": -1, "extra": -1}),
}


def features(question: Instruction, reply: str) -> dict[str, float]:
    """What a judge sees in a reply: ``right``, ``sentence`` and ``polite`` (0 or 1), and how many sentences are ``extra``.

    After a polite opening the first sentence is what counts; it is right if it is the bare answer or a statement that says the
    same. All sentences after it are extra. Of a turn that was not ended nothing counts, and all its sentences are extra.
    """
    text = reply.removesuffix(chat.END)
    if text == reply:
        return {"right": 0.0, "sentence": 0.0, "polite": 0.0, "extra": float(sentences(text))}
    rest = text.removeprefix(POLITE)
    first, extra = re.match(r"([^.]*\.?)(.*)", rest, re.DOTALL).groups()
    return {
        "right": float(first == f"{question.y}." or first in question.choices),
        "sentence": float(len(first.split()) >= 3),
        "polite": float(text.startswith(POLITE)),
        "extra": float(sentences(extra)),
    }


def sentences(text: str) -> int:
    """How many sentences a text has; what is left behind the last full stop is one too."""
    return len([part for part in text.split(".") if part.strip()])


def questions(how_many: int, seed: int = 0, part: str = "training") -> list[Instruction]:
    """Questions about countries that ask for no form, each relation equally often. The three parts, ``training`` (the countries
    of the demonstrations), ``validation`` and ``test``, share no country. Raises CourseError for an unknown part.

    ``choices`` are right full sentences, ``answer`` is the first, ``y`` the bare answer.
    """
    demonstrations.check_part(part)
    tasks, rng, found = instructions.tasks(), Random(f"questions {seed} {part}"), []
    items = {name: [i for i in tasks[name].items if part_of_country(i.word) == part] for name in COUNTRY_RELATIONS}
    for number in range(how_many):
        name = COUNTRY_RELATIONS[number % len(COUNTRY_RELATIONS)]
        item = rng.choice(items[name])
        text, right = rng.choice(item.asks), item.sentences
        found.append(Instruction(text, right[0], right, name, "full sentence", item.y, item.word))
    return found


def part_of_country(country: str) -> str:
    """Which part the questions about a country belong to."""
    if not held_out.is_undemonstrated(country):
        return "training"
    return "validation" if held_out.country_is_for_validation(country) else "test"


def reply_in(question: Instruction, manner: str) -> str:
    """The right reply to a question in one of the ``MANNERS``."""
    sentence = question.choices[0]
    other = next(text for text in question.choices if text != sentence)
    return MANNERS[manner].format(y=question.y, sentence=sentence, other=other)


def in_manners(how_many: int, seed: int = 0) -> list[Instruction]:
    """Demonstrations: questions that ask for no form, answered by people of different habits, every manner equally often."""
    rng = Random(f"manners {seed}")
    return [replace(question, answer=reply_in(question, rng.choice(tuple(MANNERS)))) for question in questions(how_many, seed)]


def sampled_replies(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, asked: Sequence[Instruction], seed: int = 0
) -> list[str]:
    """A reply to each question, drawn by the model's own chances at ``TEMPERATURE``."""
    torch.manual_seed(seed)
    texts = [question.text for question in asked]
    return chat.replies(model, tokenizer, texts, do_sample=True, top_k=0, temperature=TEMPERATURE)


def pairs(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, asked: Sequence[Instruction], seed: int = 0, replies: int = 2
) -> list[Pair]:
    """Every pair of two different ones among the model's ``replies`` to each question, in an order of chance."""
    said = sampled_replies(model, tokenizer, [question for question in asked for _ in range(replies)], seed)
    groups = [said[begin : begin + replies] for begin in range(0, len(said), replies)]
    found = [Pair(q, a, b) for q, group in zip(asked, groups, strict=True) for a, b in combinations(group, 2) if a != b]
    Random(f"pairs {seed}").shuffle(found)
    return found


def annotate(given: Sequence[Pair], taste: Taste, seed: int = 0, *, disagreement: float = 0.15) -> list[str]:
    """Which reply simulated annotators of this taste prefer: "left", "right", or "tie" where the taste knows no difference.

    In a share ``disagreement`` of the pairs that do differ they say the opposite.
    """
    rng, found = Random(f"annotators {seed}"), []
    for pair in given:
        better = taste.gold(pair.question, pair.left) - taste.gold(pair.question, pair.right)
        errs = rng.random() < disagreement
        found.append("tie" if better == 0 else "left" if (better > 0) != errs else "right")
    return found


def win_rate(asked: Sequence[Instruction], ours: Sequence[str], theirs: Sequence[str], taste: Taste, seed: int = 0) -> Rate:
    """How often the gold judge prefers our reply to theirs, a tie as half; which of them stands on the left is drawn. The
    interval is one over countries."""
    rng = Random(f"sides {seed}")
    on_the_right = [rng.random() < 0.5 for _ in asked]
    shown = [
        Pair(q, b, a) if right else Pair(q, a, b) for q, a, b, right in zip(asked, ours, theirs, on_the_right, strict=True)
    ]
    said = annotate(shown, taste, disagreement=0)
    won = [(choice == "right") == right for choice, right in zip(said, on_the_right, strict=True)]
    points = [0.5 if choice == "tie" else float(w) for choice, w in zip(said, won, strict=True)]
    return Rate.of_groups(points, [question.word for question in asked])
