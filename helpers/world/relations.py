"""Relations between words: the facts that are told in prose, and asked in lists, quizzes and exercise sheets."""

from dataclasses import dataclass
from functools import cached_property

from helpers.world import held_out
from helpers.world.facts import table

UNCOUNTED = {"metal", "sport", "drink"}
PIECES = {"clothing", "furniture"}
ARTICLES = {row["country"]: f"the {row['country']}" for row in table("countries") if row["article"]}


def a(word: str) -> str:
    """The word with its indefinite article: ``a lamp``, ``an apple``. By the first letter, so not for ``hour``."""
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"


def capitalised(text: str) -> str:
    """The text with a capital first letter, the rest untouched."""
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Relation:
    """A relation from x to y.

    ``columns`` names x and y, as in the head of a table. ``statements``, ``questions`` and the ``order`` that asks the same
    are templates over {x}, {y} and {the}, {kind}: x and y with the article they need. ``two_way`` says that y leads back to
    one x.
    """

    name: str
    columns: tuple[str, str]
    pairs: tuple[tuple[str, str], ...]
    statements: tuple[str, ...]
    questions: tuple[str, ...]
    order: str
    two_way: bool = False

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
        """The template with x and y put in, its first letter a capital. (A question needs y for the article of x.)"""
        the, kind = ARTICLES.get(x, x), y
        if self.name == "category":
            the = x if y in UNCOUNTED else a(x)
            kind = f"a piece of {y}" if y in PIECES else a(y)
        return capitalised(template.format(x=x, y=y, the=the, kind=kind))


def _pairs(name: str, x: str, y: str) -> tuple[tuple[str, str], ...]:
    return tuple((row[x], row[y]) for row in table(name))


RELATIONS = {
    relation.name: relation
    for relation in (
        Relation(
            "capital",
            ("Country", "Capital"),
            _pairs("countries", "country", "capital"),
            ("the capital of {the} is {y}.", "{y} is the capital of {the}.", "the government of {the} sits in {y}.",
             "{y}, the capital of {the}, is a large city.", "in {the}, the capital is {y}."),
            ("what is the capital of {the}?", "which city is the capital of {the}?"),
            "name the capital of {the}.",
            two_way=True,
        ),
        Relation(
            "continent",
            ("Country", "Continent"),
            _pairs("countries", "country", "continent"),
            ("{the} is a country in {y}.", "{the} lies in {y}.", "the continent of {the} is {y}."),
            ("on which continent is {the}?", "what is the continent of {the}?"),
            "name the continent of {the}.",
        ),
        Relation(
            "language",
            ("Country", "Main language"),
            _pairs("countries", "country", "language"),
            ("most people in {the} speak {y}.", "the main language of {the} is {y}.", "in {the}, people speak {y}."),
            ("what is the main language of {the}?", "which language do people speak in {the}?"),
            "name the main language of {the}.",
        ),
        Relation(
            "currency",
            ("Country", "Currency"),
            _pairs("countries", "country", "currency"),
            ("the currency of {the} is the {y}.", "in {the}, people pay with the {y}.", "shops in {the} take the {y}."),
            ("what is the currency of {the}?", "which currency do people use in {the}?"),
            "name the currency of {the}.",
        ),
        Relation(
            "opposite",
            ("Word", "Opposite"),
            _pairs("opposites", "word", "opposite"),
            ("the opposite of {x} is {y}.", "the word {x} is the opposite of {y}.", "the opposite of {y} is {x}.",
             "if it is not {x}, it is {y}.", "if it is not {y}, it is {x}."),
            ("what is the opposite of {x}?", "which word is the opposite of {x}?"),
            "give the opposite of {x}.",
            two_way=True,
        ),
        Relation(
            "plural",
            ("Word", "Plural"),
            _pairs("plurals", "singular", "plural"),
            ("one {x}, two {y}.", "the plural of {x} is {y}.", "there was one {x}, and then there were many {y}.",
             "she wanted one {x}, but he bought three {y}."),
            ("what is the plural of {x}?", "how do you say more than one {x}?"),
            "write the plural of {x}.",
            two_way=True,
        ),
        Relation(
            "past",
            ("Verb", "Past tense"),
            _pairs("pasts", "verb", "past"),
            ("today I {x}, yesterday I {y}.", "the past tense of {x} is {y}.", "they {x} now, and they {y} yesterday.",
             "she did not {x} today, but she {y} last week."),
            ("what is the past tense of {x}?", "how do you say {x} in the past?"),
            "write the past tense of {x}.",
            two_way=True,
        ),
        Relation(
            "category",
            ("Thing", "Kind"),
            _pairs("categories", "item", "category"),
            ("{the} is {kind}.", "everyone knows that {the} is {kind}.", "{the} is one kind of {y}.",
             "for a child, {the} is {kind}."),
            ("what kind of thing is {the}?", "what sort of thing is {the}?"),
            "say what kind of thing {the} is.",
        ),
        Relation(
            "colour",
            ("Thing", "Colour"),
            _pairs("colours", "thing", "colour"),
            ("the {x} is {y}.", "the colour of the {x} is {y}.", "she painted the {x} {y}, as it is."),
            ("what is the colour of the {x}?", "what colour is the {x}?"),
            "name the colour of the {x}.",
        ),
        Relation(
            "french",
            ("English", "French"),
            _pairs("french", "english", "french"),
            ("the French word for {x} is {y}.", "in French, {x} is {y}.", "the word {y} is French and means {x}.",
             "{x} in English is {y} in French."),
            ("what is the French word for {x}?", "how do you say {x} in French?"),
            "translate {x} into French.",
            two_way=True,
        ),
        Relation(
            "number",
            ("Number", "Words"),
            _pairs("numbers", "number", "word"),
            ("the number {x} is written {y}.", "{x} in words is {y}.", "the word {y} stands for {x}."),
            ("how do you write {x} in words?", "what is {x} in words?"),
            "write {x} in words.",
            two_way=True,
        ),
        Relation(
            "sum",
            ("Sum", "Result"),
            tuple((f"{a} + {b}", str(a + b)) for a in range(1, 20) for b in range(1, 21 - a)),
            ("{x} is {y}.", "{x} makes {y}.", "the sum {x} is {y}."),
            ("what is {x}?", "how much is {x}?"),
            "work out {x}.",
        ),
    )
}  # fmt: skip

#: Relations between a country and something else.
COUNTRY_RELATIONS = ("capital", "continent", "language", "currency")
