"""Solutions of notebook 06. Try first! Each exercise has a right answer and a plausible wrong one.

The functions run in the notebook's kernel: names such as ``pairs`` are the notebook's own.
"""

# ruff: noqa: F821


def solution_1():
    """log 64 - 63 / 64 = 3.17 nats."""
    return math.log(64) - 63 / 64


def wrong_1():
    """The second term forgotten."""
    return math.log(64)


def solution_2():
    """1 - 11/3, 3 - 9/3, 3 - 9/3, 5 - 7/3."""
    return [-8 / 3, 0, 0, 8 / 3]


def wrong_2():
    """Against the mean of all four."""
    return [-2, 0, 0, 2]


def solution_3():
    """Both replies of every pair."""
    replies = [reply for pair in pairs for reply in (pair.left, pair.right)]
    return sum(reply.text.startswith("You should") for reply in replies) / len(replies)


def wrong_3():
    """Pairs in which either is, not replies."""
    either = [any("You should" in str(r) for r in (pair.left, pair.right)) for pair in pairs]
    return sum(either) / len(pairs)


def solution_4():
    """A leash twice as short as the shortest above."""
    return alignment.rloo(copy.deepcopy(sft), chat_tokenizer, QUESTIONS, weak, beta=0.6, **LONG)


def wrong_4():
    """The longest leash."""
    return pulled["hurried, β 0.005"]
