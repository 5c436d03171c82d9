"""The corpus: documents of every kind, mixed."""

from collections.abc import Callable, Iterator
from itertools import islice
from random import Random
from typing import NamedTuple

from helpers.world import lists, prose


class Document(NamedTuple):
    """A document and the kind it is of, a key of ``KINDS``."""

    kind: str
    text: str


#: Kind of document: its writer, and how often it is drawn.
KINDS: dict[str, tuple[Callable[[Random], str], float]] = {
    "geography": (prose.geography, 20),
    "everyday": (prose.everyday, 25),
    "story": (prose.tale, 28),
    "letter": (prose.letter, 6),
    "news": (prose.news, 40),
    "review": (prose.review, 4),
    "medicine": (prose.medicine, 6),
    "sheet": (lists.sheet, 5),
    "quiz": (lists.quiz, 6),
    "relation list": (lists.relation_list, 12),
    "labelled list": (lists.labelled_list, 18),
    "codebook": (lists.codebook, 4),
}

#: Kinds in which a pattern repeats: what is held out as "prose only" stands in none of them.
LISTED_KINDS = ("sheet", "quiz", "relation list", "labelled list", "codebook")


#: Of the documents that no training run may use.
VALIDATION_SEED = 1_000_003


def documents(seed: int) -> Iterator[Document]:
    """Documents without end, the same for the same seed."""
    rng = Random(f"corpus {seed}")
    kinds, weights = list(KINDS), [weight for _, weight in KINDS.values()]
    while True:
        for kind in rng.choices(kinds, weights, k=1000):
            yield Document(kind, KINDS[kind][0](rng))


def world_texts(seed: int) -> Iterator[str]:
    """Texts of the world's documents, without end."""
    return (document.text for document in documents(seed))


def validation_texts(how_many: int = 2000) -> list[str]:
    """Documents of the world of a seed that no training run uses."""
    return list(islice(world_texts(VALIDATION_SEED), how_many))
