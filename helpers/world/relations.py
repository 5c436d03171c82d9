"""Relations between words: the facts that are told in prose, and asked in lists, quizzes and
exercise sheets. Their wordings are in ``facts/wordings.csv``."""

from dataclasses import dataclass
from functools import cached_property

from helpers.world import held_out
from helpers.world.facts import table, texts

UNCOUNTED = {"metal", "sport", "drink"}
PIECES = {"clothing", "furniture"}
ARTICLES = {row["country"]: f"the {row['country']}" for row in table("countries") if row["article"]}


def a(word: str) -> str:
    """The word with its indefinite article: ``a lamp``, ``an apple``. By the first letter, so not
    for ``hour``."""
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"


def capitalised(text: str) -> str:
    """The text with a capital first letter, the rest untouched."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Relation:
    """A relation from x to y.

    ``columns`` names x and y, as in the head of a table. ``statements``, ``questions``, the
    ``order`` that asks the same and the ``sentence`` that answers it are templates over {x}, {y}
    and {the}, {kind}: x and y with the article they need. ``two_way`` says that y leads back to one
    x.
    """

    name: str
    columns: tuple[str, str]
    pairs: tuple[tuple[str, str], ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    order: str
    sentence: str
    two_way: bool

    def _is_prose_only(self, x: str, y: str) -> bool:
        if self.name == "sum":
            return held_out.sum_is_prose_only(*map(int, x.split(" + ")))
        words = held_out.prose_only()
        return x in words or y in words

    @cached_property
    def prose_only(self) -> tuple[tuple[str, str], ...]:
        """Pairs that no list, quiz or exercise sheet holds."""
        return tuple(pair for pair in self.pairs if self._is_prose_only(*pair))

    @cached_property
    def listed(self) -> tuple[tuple[str, str], ...]:
        """Pairs that lists, quizzes and exercise sheets draw from."""
        return tuple(pair for pair in self.pairs if not self._is_prose_only(*pair))

    def fill(self, template: str, x: str, y: str) -> str:
        """The template with x and y put in, its first letter a capital. (A question needs y for the
        article of x.)"""
        the, kind = ARTICLES.get(x, x), y
        if self.name == "category":
            the = x if y in UNCOUNTED else a(x)
            kind = f"a piece of {y}" if y in PIECES else a(y)
        return capitalised(template.format(x=x, y=y, the=the, kind=kind))


def _relation(row: dict[str, str]) -> Relation:
    name = row["relation"]
    statements, questions, (order,), (sentence,) = (
        texts("wordings", relation=name, kind=kind)
        for kind in ("statement", "question", "order", "sentence")
    )
    pairs = tuple((fact[row["x"]], fact[row["y"]]) for fact in table(row["table"]))
    columns = (row["first"], row["second"])
    return Relation(
        name, columns, pairs, statements, questions, order, sentence, row["two_way"] == "yes"
    )


RELATIONS = {row["relation"]: _relation(row) for row in table("relations")}

#: Relations between a country and something else.
COUNTRY_RELATIONS = ("capital", "continent", "language", "currency")
