"""Solutions of notebook 07. Try first! Each exercise has a right answer and a plausible wrong one.

The functions run in the notebook's kernel: names such as ``cost`` are the notebook's own.
"""

# ruff: noqa: F821


def solution_1():
    """Twice seven eighths of a billion numbers, four bytes each."""
    return 2 * 7 / 8 * 4


def wrong_1():
    """What all eight send together."""
    return 8 * 2 * 7 / 8 * 4


def solution_2():
    """The divisors of 12."""
    return [number for number in range(1, 17) if 48 % (4 * number) == 0]


def wrong_2():
    """The divisors of 48: with 16 of them each has three blocks, and cannot compute four at once."""
    return [number for number in range(1, 17) if 48 % number == 0]


def solution_3():
    """Forty hours at 40 % of the peak."""
    return 40 * 3600 * 0.4 * cost.PEAKS["A100"] / cost.training_flops(cost.GPT2, 1024)


def wrong_3():
    """At the whole peak, which nobody reaches."""
    return 40 * 3600 * cost.PEAKS["A100"] / cost.training_flops(cost.GPT2, 1024)


def solution_4():
    """The sum goes to each of the others, whole."""
    return lambda n, numbers: (n - 1) * numbers


def wrong_4():
    """What each process sends on the ring."""
    return lambda n, numbers: 2 * (n - 1) / n * numbers


def solution_5():
    """One hour at 2.50 dollars. Three attempts have three hours, if each comes to its limit."""
    return 1 * 2.50


def wrong_5():
    """The price of four cards."""
    return 1 * 10.00
