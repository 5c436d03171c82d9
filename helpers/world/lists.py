"""Documents in which a pattern repeats: exercise sheets, answered quizzes, and lists of pairs.

This structure is planted. Lists whose labels are chosen anew for each document cannot be learned by
heart: the only way to predict them is to read the examples (Chan et al. 2022, arXiv:2205.05055; Xie
et al. 2022, arXiv:2111.02080; Olsson et al. 2022, arXiv:2209.11895).
"""

from functools import cache
from random import Random

from helpers.data import Format, LabelTask
from helpers.world import held_out, prose
from helpers.world.facts import column, table
from helpers.world.relations import RELATIONS

#: Longest list, in words and signs; together with the tokens that a rare word falls into it stays
#: below one block.
LONGEST = 250


def named(columns: tuple[str, str], between: str = " ", joint: str = "\n") -> Format:
    """A format that says what x and y are: "Country: France Capital: Paris"."""
    return Format(f"{columns[0]}: {{x}}{between}{columns[1]}: {{y}}", joint)


SEPARATORS = (
    "{x} -> {y}", "{x}: {y}", "{x} = {y}", "{x} => {y}", "{x} - {y}", "{x} | {y}", "{x} / {y}",
    "{x}, {y}", "{x} means {y}", "{x} becomes {y}", "{x} goes with {y}", "{x} * {y}", "{x} # {y}",
    "{x} < {y}",
)  # fmt: skip
FRAMES = (
    "Input: {x}\nOutput: {y}",
    "Text: {x}\nLabel: {y}",
    "Text: {x} Label: {y}",
    "Word: {x} Answer: {y}",
    "{x}\n{y}",
)
SIGNS = "-=>|/*#<:+&%@!^_~"
JOINTS = ("\n", "\n", "\n", "\n\n", "; ", ". ")
QUIZ_FORMATS = (
    Format("Q: {x} A: {y}"), Format("Q: {x} A: {y}"), Format("Q: {x}\nA: {y}"),
    Format("Q: {x}\nA: {y}", "\n\n"),
    Format("Question: {x} Answer: {y}"), Format("Question: {x}\nAnswer: {y}"),
)  # fmt: skip


def any_format(rng: Random) -> Format:
    """A format: a usual sign between x and y, a frame around both, or signs or a word chosen
    anew."""
    kind = rng.random()
    if kind < 0.4:
        return Format(rng.choice(SEPARATORS), rng.choice(JOINTS))
    if kind < 0.6:
        return Format(rng.choice(FRAMES), rng.choice(("\n", "\n\n")))
    between = (
        "".join(rng.choices(SIGNS, k=rng.randint(1, 3)))
        if kind < 0.8
        else rng.choice(label_words())
    )
    if "{x} " + between + " {y}" in held_out.RESERVED_FORMATS:
        return any_format(rng)
    return Format("{x} " + between + " {y}", rng.choice(JOINTS))


def rough_length(text: str) -> int:
    """About the number of tokens: words and signs."""
    return sum(text.count(sign) for sign in " \n.,:;?-+>") + 1


def write(rng: Random, form: Format, pairs: list[tuple[str, str]]) -> str:
    """The pairs in this format, as many as fit into one block."""
    lines, length = [], 0
    for x, y in pairs:
        line = form.line(x, y)
        length += rough_length(line) + len(form.joint)
        if length > LONGEST:
            break
        lines.append(line)
    return form.joint.join(lines)


def questions_and_answers(
    rng: Random, how_many: int, *, orders: bool = False
) -> list[tuple[str, str]]:
    """Questions, or orders that ask the same, with their answers: of one relation or of several,
    about facts that lists may hold."""
    capital_often = (*RELATIONS.values(), RELATIONS["capital"], RELATIONS["capital"])
    chosen = [rng.choice(capital_often) for _ in range(rng.choice((1, 1, 2, 4)))]
    pairs = []
    for _ in range(how_many):
        relation = rng.choice(chosen)
        x, y = rng.choice(relation.listed)
        pairs.append(
            (relation.fill(relation.order if orders else rng.choice(relation.questions), x, y), y)
        )
    return pairs


def sheet(rng: Random) -> str:
    """An exercise sheet: three to ten bare questions, or on one sheet in five orders, one a
    line."""
    return "\n".join(
        question
        for question, _ in questions_and_answers(rng, rng.randint(3, 10), orders=rng.random() < 0.2)
    )


def quiz(rng: Random) -> str:
    """Two to twelve questions, each with its answer."""
    return write(rng, rng.choice(QUIZ_FORMATS), questions_and_answers(rng, rng.randint(2, 12)))


def relation_list(rng: Random) -> str:
    """Pairs of one relation, at times the other way round; two in five name their columns, above or
    in every pair."""
    relation = rng.choice((*RELATIONS.values(), RELATIONS["capital"]))
    pairs, columns = (
        rng.sample(relation.listed, min(len(relation.listed), rng.choice((3, 5, 8, 12, 20, 30)))),
        relation.columns,
    )
    if relation.two_way and rng.random() < 0.3:
        pairs, columns = [(y, x) for x, y in pairs], columns[::-1]
    form, naming = any_format(rng), rng.random()
    if naming < 0.2:
        pairs = [columns, *pairs]
    elif naming < 0.4:
        form = named(columns, rng.choice((" ", ", ", "\n")), rng.choice(("\n", "\n\n")))
    return write(rng, form, pairs)


def _sorted_words(name: str, pairs: list[tuple[str, str]], *, smallest: int = 4) -> LabelTask:
    """A task from (word, class) pairs, without the words that no list may hold and without classes
    of a few words."""
    groups: dict[str, list[str]] = {}
    for word, group in pairs:
        if word not in held_out.prose_only():
            groups.setdefault(group, []).append(word)
    groups = {group: words for group, words in groups.items() if len(words) >= smallest}
    return LabelTask(name, tuple(groups), lambda rng, group: rng.choice(groups[group]))


def _forms(name: str, keys: tuple[str, str]) -> list[tuple[str, str]]:
    return [(row[key], key) for row in table(name) for key in keys]


def _review(rng: Random, group: str) -> str:
    stars = {"good": "45", "bad": "12"}[group]
    phrases = [row["phrase"] for row in table("opinions") if row["rating"] in stars]
    return f"The {rng.choice(column('products', 'product'))} {rng.choice(phrases)}"


@cache
def label_tasks() -> dict[str, LabelTask]:
    """All of these tasks by name. The corpus makes labelled lists of them, but of the news:
    headlines never have a label there."""
    kinds = [
        *((word, "verb") for word in column("pasts", "past")),
        *((word, "noun") for word in column("plurals", "singular")),
        *((word, "adjective") for word in column("opposites", "word")),
        *((word, "name") for word in column("people", "name")),
        *((word, "country") for word in column("countries", "country")),
        *((word, "number") for word in column("numbers", "number")),
        *((word, "company") for word in column("companies", "company")),
    ]
    every = (
        _sorted_words("category", [(row["item"], row["category"]) for row in table("categories")]),
        _sorted_words(
            "continent", [(row["country"], row["continent"]) for row in table("countries")]
        ),
        _sorted_words(
            "language", [(row["country"], row["language"]) for row in table("countries")]
        ),
        _sorted_words("colour", [(row["thing"], row["colour"]) for row in table("colours")]),
        _sorted_words("kind of word", kinds),
        _sorted_words("pronoun", [(row["name"], row["pronoun"]) for row in table("people")]),
        _sorted_words("number", _forms("plurals", ("singular", "plural"))),
        _sorted_words("tense", _forms("pasts", ("verb", "past"))),
        _sorted_words("tongue", _forms("french", ("english", "french"))),
        LabelTask("news", (prose.GOOD, prose.BAD, prose.FLAT), prose.headline, listed=False),
        LabelTask("review", ("good", "bad"), _review),
    )
    return {task.name: task for task in every}


@cache
def label_words() -> tuple[str, ...]:
    """Words that serve as labels in the corpus: common, in small letters, none of them held out."""
    sources = (
        ("categories", "item"), ("plurals", "singular"), ("opposites", "word"),
        ("opposites", "opposite"), ("french", "english"), ("pasts", "verb"),
        ("products", "product"), ("colours", "colour"),
    )  # fmt: skip
    words = {word for name, key in sources for word in column(name, key)}
    return tuple(sorted(words - held_out.prose_only()))


def draw_labels(rng: Random, classes: list[str]) -> list[str]:
    """A label for each class: three times in four words drawn at random, else names of the classes,
    letters or digits."""
    kind = rng.random()
    if kind < 0.12 and not held_out.prose_only() & set(classes):
        return classes
    if kind < 0.25:
        return rng.sample(rng.choice(("ABCDEFGH", "123456789")), len(classes))
    return rng.sample(label_words(), len(classes))


def labelled_list(rng: Random) -> str:
    """Texts sorted into two to five classes, the labels chosen for this document."""
    task = rng.choice(
        (
            *[task for task in label_tasks().values() if task.listed],
            *[label_tasks()["category"]] * 2,
        )
    )
    classes = rng.sample(task.classes, min(len(task.classes), rng.choice((2, 2, 3, 3, 3, 4, 5))))
    names = dict(zip(classes, draw_labels(rng, classes), strict=True))
    drawn = rng.choices(classes, k=rng.choice((6, 10, 16, 24, 40)))
    return write(rng, any_format(rng), [(task.draw(rng, group), names[group]) for group in drawn])


def codebook(rng: Random) -> str:
    """Words paired at random, each pair several times: what can only be copied from above."""
    words = rng.sample(label_words(), 2 * rng.randint(2, 10))
    book = list(zip(words[::2], words[1::2], strict=True))
    return write(rng, any_format(rng), rng.choices(book, k=rng.choice((6, 12, 20, 30))))
