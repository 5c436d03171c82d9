"""Preferences: pairs of replies that a model has drawn, and simulated annotators of a taste, who
err."""

from collections.abc import Sequence
from itertools import combinations
from random import Random

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers.data import TEMPERATURE, Pair, Reply
from helpers.lm import chat
from helpers.stats import Rate
from helpers.world.instructions import Instruction
from helpers.world.tastes import Taste


def sampled_replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[Instruction],
    seed: int = 0,
) -> list[Reply]:
    """A reply to each question, drawn by the model's own chances at ``TEMPERATURE``."""
    torch.manual_seed(seed)
    texts = [question.text for question in questions]
    return chat.replies(model, tokenizer, texts, do_sample=True, top_k=0, temperature=TEMPERATURE)


def pairs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[Instruction],
    seed: int = 0,
    replies: int = 2,
) -> list[Pair]:
    """Every pair of two different ones among the model's ``replies`` to each question, in an order
    of chance."""
    drawn = sampled_replies(
        model, tokenizer, [question for question in questions for _ in range(replies)], seed
    )
    groups = [drawn[begin : begin + replies] for begin in range(0, len(drawn), replies)]
    different = [
        Pair(q, a, b)
        for q, group in zip(questions, groups, strict=True)
        for a, b in combinations(group, 2)
        if a != b
    ]
    Random(f"pairs {seed}").shuffle(different)
    return different


def annotate(
    pairs: Sequence[Pair], taste: Taste, seed: int = 0, *, disagreement: float = 0.15
) -> list[str]:
    """Which reply simulated annotators of this taste prefer: "left", "right", or "tie" where the
    taste knows no difference.

    In a share ``disagreement`` of the pairs that do differ they say the opposite.
    """
    rng, choices = Random(f"annotators {seed}"), []
    for pair in pairs:
        better = taste.gold(pair.question, pair.left) - taste.gold(pair.question, pair.right)
        errs = rng.random() < disagreement
        choices.append("tie" if better == 0 else "left" if (better > 0) != errs else "right")
    return choices


def win_rate(
    questions: Sequence[Instruction], ours: Sequence[Reply], theirs: Sequence[Reply], taste: Taste
) -> Rate:
    """How often the gold judge prefers our reply to theirs, a tie as half. The interval is one over
    countries."""
    lead = [
        taste.gold(question, ours_here) - taste.gold(question, theirs_here)
        for question, ours_here, theirs_here in zip(questions, ours, theirs, strict=True)
    ]
    points = [float(difference > 0) + 0.5 * (difference == 0) for difference in lead]
    return Rate.of_groups(points, [question.word for question in questions])
