"""Few-shot prompts: examples of a task of the world, and the beginning of the next."""

from collections.abc import Container, Sequence
from random import Random

from helpers.data import Format, LabelTask, Prompt
from helpers.errors import CourseError, require_number
from helpers.world.held_out import RESERVED_LABELS
from helpers.world.relations import Relation

#: How pretraining wrote an answered question.
QUIZ = Format("Q: {x} A: {y}")


def relation_prompt(
    relation: Relation,
    x: str,
    y: str,
    shots: int,
    rng: Random,
    form: Format = Format(),
    *,
    closed: bool = True,
) -> Prompt:
    """A list of ``shots`` pairs that lists may hold, then x. With ``closed`` the answer includes
    the end of its line, so that "Guinea" is not taken for "Guinea-Bissau". Raises CourseError for
    more shots than there are pairs."""
    require_number("shots", shots, 0, len(relation.listed) - 1)
    examples = rng.sample([pair for pair in relation.listed if pair[0] != x], shots)
    end = form.joint[0] if closed else ""
    return Prompt(form.few_shot(examples, x), form.continuation(y) + end)


def label_prompts(
    task: LabelTask,
    shots: int,
    rng: Random,
    form: Format = Format(),
    *,
    queries: int = 1,
    classes: int = 3,
    words: Sequence[str] = RESERVED_LABELS,
) -> list[Prompt]:
    """One draw of ``shots`` examples, followed in each prompt by another text to sort: ``queries``
    prompts.

    The classes, and the labels they bear, are drawn from the task and from ``words``. Every class
    is among the examples as soon as there is room for all. The class of the last text is
    independent of the examples, and it is none of them. Raises CourseError if a class is too small
    for that, and for more classes than the task or the words have.
    """
    require_number("shots", shots, 0)
    require_number("queries", queries, 1)
    require_number("classes", classes, 1, min(len(task.classes), len(words)))
    chosen = rng.sample(task.classes, classes)
    labels = dict(zip(chosen, rng.sample(list(words), classes), strict=True))
    groups = rng.sample(chosen, min(shots, classes)) + rng.choices(
        chosen, k=max(0, shots - classes)
    )
    rng.shuffle(groups)
    examples = [(task.draw(rng, group), labels[group]) for group in groups]
    choices = tuple(form.continuation(label) for label in labels.values())
    prompts = []
    for _ in range(queries):
        group = rng.choice(chosen)
        x = draw_other(task, rng, group, {text for text, _ in examples})
        prompts.append(
            Prompt(form.few_shot(examples, x), form.continuation(labels[group]), choices)
        )
    return prompts


def draw_other(task: LabelTask, rng: Random, group: str, taken: Container[str]) -> str:
    """A text of this class that is not among ``taken``."""
    for _ in range(500):
        if (text := task.draw(rng, group)) not in taken:
            return text
    raise CourseError(
        f"task {task.name!r}: every text of class {group!r} is an example already; ask for fewer "
        "shots"
    )
