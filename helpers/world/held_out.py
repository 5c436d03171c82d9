"""Everything that is kept out of the corpus, or out of a part of it, for later measurements. It
lives here only.

A choice is made by a checksum of the words themselves (CRC-32), never by their place in a file:
adding a row to a CSV moves no other row in or out. ``tests/test_leakage.py`` proves on a generated
corpus that nothing leaked.
"""

from collections.abc import Sequence
from functools import cache
from zlib import crc32

from helpers.world.facts import column, table

#: Ordinary words of the stories that stand in no list, quiz or exercise: labels for prompts that
#: the model cannot know.
RESERVED_LABELS = (
    "garden", "kitchen", "market", "cup", "spoon", "ring", "forest", "farm", "basket", "ribbon",
    "candle", "comb", "rope", "stone", "shell", "feather", "needle", "button", "letter", "map",
    "ticket", "coin", "doll", "library",
)  # fmt: skip

#: Ways to write a pair that no document uses. Each sign is known from others, such as "=~".
RESERVED_FORMATS = ("{x} ~ {y}", "{x} ~> {y}", "{x} := {y}")

#: Countries of the lesson's own examples, in any case known from prose only.
PROSE_ONLY_COUNTRIES = ("France", "New Zealand", "Argentina")


def _chosen(kind: str, *words: str, one_in: int) -> bool:
    return crc32("/".join((kind, *words)).encode()) % one_in == 0


@cache
def prose_only() -> frozenset[str]:
    """Words whose facts are told in prose only: they are never asked, never listed, never a label.

    A common one may still stand in the running words of a question, a headline or a review ("fell",
    "coat"). About one country in five (its capital with it), one row in seven of each everyday
    table, and the reserved labels.
    """
    words = set(RESERVED_LABELS)
    for row in table("countries"):
        if row["country"] in PROSE_ONLY_COUNTRIES or _chosen("country", row["country"], one_in=5):
            words |= {row["country"], row["capital"]}
    for name, key in (
        ("opposites", "word"),
        ("plurals", "singular"),
        ("pasts", "verb"),
        ("french", "english"),
    ):
        for row in table(name):
            if _chosen(name, row[key], one_in=7):
                words |= set(row.values())
    for name, key in (("categories", "item"), ("colours", "thing"), ("numbers", "word")):
        words |= {word for word in column(name, key) if _chosen(name, word, one_in=7)}
    return frozenset(words)


def sum_is_prose_only(a: int, b: int) -> bool:
    """Whether the sum a + b is told in prose only: one in seven."""
    return _chosen("sum", str(a), str(b), one_in=7)


def news_is_unseen(measure: str, verb: str, frame: str) -> bool:
    """Whether this way to say that a measure moved is never written at all: one in five. ``verb``
    is the base form."""
    return _chosen("news", measure, verb, frame, one_in=5)


def news_is_undemonstrated(measure: str, verb: str, frame: str) -> bool:
    """Whether no demonstration says that a measure moved in this way, though the corpus does: one
    in ten, for validation."""
    return _chosen("validation", measure, verb, frame, one_in=10)


def grammar_is_unseen(first: str, second: str) -> bool:
    """Whether two words are never joined by agreement (a noun and its distractor, a noun and its
    adjective, a name and its verb): one in five."""
    return _chosen("grammar", first, second, one_in=5)


def story_is_unseen(name: str, thing: str) -> bool:
    """Whether this person never holds this thing in any story: one in five."""
    return _chosen("story", name, thing, one_in=5)


def illness_is_unasked(illness: str) -> bool:
    """Whether no training and no choice of settings asks about this illness: one in three.
    (Pretraining asks about none.)"""
    return _chosen("illness", illness, one_in=3)


def illness_is_for_validation(illness: str) -> bool:
    """Whether questions about this illness choose the settings of a finetuning: one in five of
    those not kept for the test."""
    return not illness_is_unasked(illness) and _chosen("validation", illness, one_in=5)


#: Tasks that no demonstration of an instruction holds. Quizzes of the corpus ask for opposites; the
#: other is asked nowhere.
UNDEMONSTRATED_TASKS = ("opposite", "sentence in the plural")


def is_undemonstrated(word: str) -> bool:
    """Whether no demonstration of an instruction is about this word or phrase: one in three, and
    the lesson's own countries."""
    return word in PROSE_ONLY_COUNTRIES or _chosen("demonstration", word, one_in=3)


def country_is_for_validation(country: str) -> bool:
    """Whether questions about this country choose the settings of an alignment: one in three of
    those that no demonstration is about, but none of the lesson's own."""
    return (
        country not in PROSE_ONLY_COUNTRIES
        and is_undemonstrated(country)
        and _chosen("preference", country, one_in=3)
    )


def undemonstrated_forms(task: str, forms: Sequence[str]) -> tuple[str, ...]:
    """The two forms of answer in which no demonstration gives this task. The first of its forms is
    always shown."""
    return tuple(sorted(forms[1:], key=lambda form: crc32(f"form/{task}/{form}".encode()))[:2])
