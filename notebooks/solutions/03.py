"""Solutions of notebook 03. Try first! Each exercise has a right answer and a plausible wrong one.

The functions run in the notebook's kernel: names such as ``finetune_copy`` are the notebook's own.
"""

# ruff: noqa: F821


def solution_1():
    """60 s over 0.020 s."""
    return 3000


def wrong_1():
    """Milliseconds taken for seconds."""
    return 3


def solution_2():
    """32 GiB are left, 16 bytes each."""
    return 32 * 2**30 / 16 / 1e9


def wrong_2():
    """The activations forgotten."""
    return 40 * 2**30 / 16 / 1e9


def solution_3():
    """A fifth of the recipe's learning rate."""
    return finetune_copy(demonstrations, learning_rate=1e-4)


def wrong_3():
    """The recipe itself."""
    return expert


def solution_4():
    """Both lists, the questions six times over; a little less than the recipe's learning rate."""
    return finetune_copy(demonstrations + 6 * asked, learning_rate=3e-4)


def wrong_4():
    """The specialist for news."""
    return expert
