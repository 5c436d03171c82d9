"""Instructions, as a user would give them: a task, a word or a text that it is about, and a form
for the answer.

Tasks fall into clusters: answer, translate, classify, rewrite, list (after the instruction mixture
of FLAN, Wei et al. 2022, arXiv:2109.01652). Which words, forms and tasks no demonstration holds is
said in ``world.held_out``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations
from random import Random

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers.data import Question
from helpers.errors import CourseError
from helpers.lm import chat
from helpers.stats import Rate
from helpers.world import held_out, prose
from helpers.world.facts import column, table
from helpers.world.relations import ARTICLES, COUNTRY_RELATIONS, RELATIONS


@dataclass(frozen=True)
class Form:
    """How an answer is to be written: the words that ask for it, and its text over {y}, the bare
    answer, and {sentence}."""

    order: str
    text: str


SHAPES = {
    "plain": Form("", "{y}."),
    "full sentence": Form("Answer in a full sentence.", "{sentence}"),
    "stars": Form("Put it between two stars.", "* {y} *"),
}
TONES = {
    "": Form("", "{}"),
    "polite": Form("Please be polite.", "Certainly. {}"),
    "friendly": Form("Please be friendly.", "{} I hope this helps."),
}
#: Every shape in every manner.
FORMS = {
    f"{manner} {name}".strip(): Form(
        f"{shape.order} {way.order}".strip(), way.text.format(shape.text)
    )
    for name, shape in SHAPES.items()
    for manner, way in TONES.items()
}
#: What {y} and {sentence} may look like, whether right or not: up to five words, or at least three
#: with a full stop.
SLOTS = {"{y}": r"[^\s.*]+(?: [^\s.*]+){0,4}", "{sentence}": r"[^\s.*]+(?: [^\s.*]+){2,}\."}
#: Tasks whose answer is a text are not asked for a sentence about it.
TEXT_FORMS = tuple(name for name in FORMS if "sentence" not in name)


@dataclass(frozen=True)
class Item:
    """What a task can be asked about: the bare ``text``, ways to ask, the bare answer, and right
    sentences.

    ``word`` decides whether demonstrations may hold it; ``prose_only`` says that pretraining never
    asked about it.
    """

    word: str
    text: str
    asks: tuple[str, ...]
    y: str
    sentences: tuple[str, ...] = ()
    prose_only: bool = False

    @property
    def is_demonstrated(self) -> bool:
        return not held_out.is_undemonstrated(self.word)


@dataclass(frozen=True)
class Task:
    """A task of a cluster, its items, and the forms in which it can be answered."""

    name: str
    cluster: str
    items: tuple[Item, ...]
    forms: tuple[str, ...] = tuple(FORMS)

    @property
    def demonstrated_forms(self) -> list[str]:
        return [
            form
            for form in self.forms
            if form not in held_out.undemonstrated_forms(self.name, self.forms)
        ]


@dataclass(frozen=True)
class Instruction(Question):
    """A question with its task, its form, the bare answer y and the word it is about. Right is what
    is right in this form."""

    task: str = ""
    form: str = ""
    y: str = ""
    word: str = ""

    def has_form(self, reply: str) -> bool:
        """Whether the reply has the form that was asked for, whatever it says."""
        pattern = re.escape(FORMS[self.form].text)
        for slot, shape in SLOTS.items():
            pattern = pattern.replace(re.escape(slot), shape)
        return re.fullmatch(pattern, reply) is not None

    def has_answer(self, reply: str) -> bool:
        """Whether the bare answer stands in the reply, whatever its form."""
        return re.search(rf"(?<!\w){re.escape(self.y)}(?!\w)", reply) is not None


def instruction(task: Task, form: str, item: Item, rng: Random) -> Instruction:
    """One of the ways to ask for this item in this form, with the right answers."""
    text = f"{rng.choice(item.asks)} {FORMS[form].order}".strip()
    answers = tuple(
        FORMS[form].text.format(y=item.y, sentence=sentence) for sentence in item.sentences or ("",)
    )
    about = {"task": task.name, "form": form, "y": item.y, "word": item.word}
    return Instruction(text, answers[0], answers=answers, **about)


def demonstrations(
    how_many: int, seed: int = 0, *, clusters: Sequence[str] | None = None, bare: bool = False
) -> list[Instruction]:
    """Instructions with their answers, every task of these clusters (of all, by default) equally
    often.

    With ``bare`` the words of the instruction are left out, of task and form: only what it is about
    remains, the control of FLAN's ablation. Raises CourseError for an unknown cluster.
    """
    known = {task.cluster for task in tasks().values()}
    if unknown := set(clusters or ()) - known:
        raise CourseError(
            f"unknown cluster {min(unknown)!r}; the clusters are {', '.join(sorted(known))}"
        )
    chosen = [
        task
        for task in tasks().values()
        if task.cluster in (clusters or known) and task.name not in held_out.UNDEMONSTRATED_TASKS
    ]
    items = {task.name: [item for item in task.items if item.is_demonstrated] for task in chosen}
    rng, drawn = Random(f"instructions {seed}"), []
    for number in range(how_many):
        task = chosen[number % len(chosen)]
        item, form = rng.choice(items[task.name]), rng.choice(task.demonstrated_forms)
        put = instruction(task, form, item, rng)
        drawn.append(replace(put, text=item.text) if bare else put)
    rng.shuffle(drawn)
    return drawn


def held_out_facts(
    names: Sequence[str] = COUNTRY_RELATIONS, *, prose_only: bool
) -> list[Instruction]:
    """Plain questions about everything that no demonstration holds: what pretraining quizzed, or
    what only its prose told."""
    rng = Random("held-out facts")
    return [
        instruction(tasks()[name], "plain", item, rng)
        for name in names
        for item in tasks()[name].items
        if not item.is_demonstrated and item.prose_only == prose_only
    ]


def held_out_forms(how_many: int, seed: int = 0, *, demonstrated: bool = True) -> list[Instruction]:
    """Tasks in the forms in which no demonstration gives them, every such combination equally
    often, about words that demonstrations hold, or with ``demonstrated=False`` about others. (What
    only prose told is left out.)"""
    rng, drawn = Random(f"held-out forms {seed}"), []
    pairs = [
        (task, form)
        for task in tasks().values()
        if task.name not in held_out.UNDEMONSTRATED_TASKS
        for form in held_out.undemonstrated_forms(task.name, task.forms)
    ]
    for number in range(how_many):
        task, form = pairs[number % len(pairs)]
        items = [
            item
            for item in task.items
            if item.is_demonstrated == demonstrated and not item.prose_only
        ]
        drawn.append(instruction(task, form, rng.choice(items), rng))
    return drawn


def of_task(name: str, how_many: int, seed: int = 0) -> list[Instruction]:
    """Plain instructions of one task, about different things that pretraining held in lists or
    quizzes."""
    rng, task = Random(f"task {name} {seed}"), tasks()[name]
    items = [item for item in task.items if not item.prose_only]
    return [
        instruction(task, "plain", item, rng)
        for item in rng.sample(items, min(how_many, len(items)))
    ]


@cache
def tasks() -> dict[str, Task]:
    """All tasks by name."""
    every = [
        *(
            _relation(name, "answer")
            for name in (*COUNTRY_RELATIONS, "colour", "category", "number")
        ),
        _relation("french", "translate"),
        *(_relation(name, "rewrite") for name in ("opposite", "plural", "past")),
        *(_sentence(name) for name in ("sentence in the plural", "sentence in the past")),
        _review(),
        _list(),
    ]
    return {task.name: task for task in every}


def _relation(name: str, cluster: str) -> Task:
    relation, items = RELATIONS[name], []
    for x, y in relation.pairs:
        asks = tuple(relation.fill(way, x, y) for way in (*relation.questions, relation.order))
        sentences = tuple(
            relation.fill(way, x, y) for way in (relation.sentence, *relation.statements)
        )
        items.append(Item(x, x, asks, y, sentences, (x, y) in relation.prose_only))
    return Task(name, cluster, tuple(items))


def _sentence(name: str) -> Task:
    """Sentences to be rewritten, in the past or in the plural."""
    (one, many), (was, were) = prose.NUMBERED_VERBS[:2]
    items = []
    for noun, nouns in RELATIONS["plural"].pairs:
        for adjective in prose.ADJECTIVES:
            if name == "sentence in the plural":
                pairs = [(f"The {noun} {one} {adjective}.", f"The {nouns} {many} {adjective}")]
            else:
                pairs = [(f"The {noun} {one} {adjective}.", f"The {noun} {was} {adjective}"),
                         (f"The {nouns} {many} {adjective}.", f"The {nouns} {were} "
        f"{adjective}")]  # fmt: skip
            for before, after in pairs:
                order = name.replace("sentence", "Rewrite this sentence")
                items.append(Item(noun, before, (f"{order}: {before}",), after))
    return Task(name, "rewrite", tuple(items), TEXT_FORMS)


def _review() -> Task:
    items = []
    for product in column("products", "product"):
        for row in table("opinions"):
            if row["rating"] != "3":
                text, y = (
                    f"The {product} {row['phrase']}.",
                    "positive" if row["rating"] in "45" else "negative",
                )
                orders = ("Analyze the sentiment of this text and tell us if it's positive.",
                          "Is this review positive or negative?")  # fmt: skip
                asks = tuple(f"{text} {order}" for order in orders)
                items.append(Item(row["phrase"], text, asks, y, (f"This review is {y}.",)))
    return Task("review", "classify", tuple(items))


def _list() -> Task:
    """Two facts about a country at once."""
    items, names = (
        [],
        {name: RELATIONS[name].sentence.partition(" of ")[0] for name in COUNTRY_RELATIONS},
    )
    for row in table("countries"):
        country = row["country"]
        for first, second in permutations(COUNTRY_RELATIONS, 2):
            order = f"List {names[first]} and {names[second]} of {ARTICLES.get(country, country)}."
            y = f"{row[first]}, {row[second]}"
            items.append(
                Item(country, country, (order,), y, prose_only=country in held_out.prose_only())
            )
    return Task("list", "list", tuple(items), TEXT_FORMS)


def trials(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, instructions: Sequence[Instruction]
) -> dict[str, list[bool]]:
    """How each instruction was followed: ``exact``, a right answer in the right form and nothing
    else; ``form`` and ``answer``, each alone; ``ends``, the turn was ended."""
    said = chat.replies(model, tokenizer, [instruction.text for instruction in instructions])
    pairs = list(zip(instructions, said, strict=True))
    return {
        "exact": [i.is_right(reply.text) and reply.ended for i, reply in pairs],
        "form": [i.has_form(reply.text) for i, reply in pairs],
        "answer": [i.has_answer(reply.text) for i, reply in pairs],
        "ends": [reply.ended for reply in said],
    }


def rates(results: dict[str, list[bool]]) -> dict[str, Rate]:
    """The rates of what ``trials`` gives."""
    return {measure: Rate.of(result) for measure, result in results.items()}


def followed(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, instructions: Sequence[Instruction]
) -> dict[str, Rate]:
    """How these instructions were followed, as the rates of ``trials``."""
    return rates(trials(model, tokenizer, instructions))
