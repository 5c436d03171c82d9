"""Solutions of notebook 01. Try first! Each exercise has a right answer and a plausible wrong one.

The functions run in the notebook's kernel: names such as ``curves`` are the notebook's own.
"""

# ruff: noqa: F821


def solution_1():
    """Three countries with their continents: the list is about continents now."""
    return "Norway -> Europe\nJapan -> Asia\nChile -> South America\nKenya ->"


def wrong_1():
    """Three countries with their capitals: the model writes Nairobi."""
    return "Norway -> Oslo\nJapan -> Tokyo\nChile -> Santiago\nKenya ->"


def solution_2():
    """The first number of examples whose interval lies above one third."""
    rates = curves["category"][middle_size]
    for shots, rate in zip(SHOTS, rates, strict=True):
        if rate.low > 1 / 3:
            return shots
    return "never"


def wrong_2():
    """The first number whose *rate* is above one third: the band may still reach below it."""
    return -1 if solution_2() == SHOTS[0] else SHOTS[0]


def solution_3():
    """Brackets around both: no text of the world wrote a pair that way."""
    return "<{x}> [{y}]"


def wrong_3():
    """Another sign is no other kind of format."""
    return "{x} ~ {y}"


def solution_4():
    """The place of the largest share, as (layer, head)."""
    middle = models_by_size[middle_size]
    shares, _ = induction_shares(middle, *two_rounds(20, Random(3)))
    return divmod(shares.argmax().item(), shares.shape[1])


def wrong_4():
    """The other layer's first head: it tells each token what came before it."""
    layer, head = solution_4()
    return 1 - layer, head
