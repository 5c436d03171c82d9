"""What is kept for the measurements of the public data, in one place; ``world.held_out`` is the
same for the planted world. ``tests/test_public.py`` reads that nothing leaks."""

import re
from hashlib import sha256


def words_of(text: str) -> str:
    """A text for comparison: its letters and digits in lower case, without links. Two tweets that
    differ in a shortened link only are one."""
    return re.sub(r"\W+", " ", without_links(text).lower()).strip()


def without_links(text: str) -> str:
    """A text in one line, without its links."""
    return " ".join(re.sub(r"https?://\S+", "", text, flags=re.IGNORECASE).split())


def share(name: str) -> float:
    """A number from 0 to 1 that depends on nothing but the name."""
    return int.from_bytes(sha256(name.encode()).digest()[:6], "big") / 2**48


def tweet_is_for_validation(text: str) -> bool:
    """Whether settings may be chosen on this tweet of the training file; no demonstration holds it.
    One in ten."""
    return share(f"tweet {words_of(text)}") < 0.1


def part_of_abstract(pubid: int | str) -> str:
    """PubMedQA's labelled thousand have no split: half is the test, a tenth is for validation."""
    number = share(f"abstract {pubid}")
    return "test" if number < 0.5 else "validation" if number < 0.6 else "training"
