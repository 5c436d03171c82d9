"""Headlines of company news, and how good they are: demonstrations to finetune on, and held-out
ones to be tested on.

What a finetuning may see and what it is tested on never meet: the test takes what ``held_out``
keeps out of every text.
"""

from functools import cache
from random import Random

from helpers.data import Format, Prompt, check_part
from helpers.world import held_out, prose

#: How a headline is labelled. The words are those of ``world.prose``.
SENTIMENTS = (prose.GOOD, prose.BAD, prose.FLAT)

ARROW = Format()


def headline(rng: Random, label: str, part: str = "training") -> str:
    """A headline with this label, every combination of measure, verb and frame equally often.

    The combinations of the three parts are never the same. Those of ``test`` stand in no text at
    all, those of ``validation`` in the corpus but in no demonstration.
    """
    return prose.a_headline(rng, *rng.choice(combinations(part)[label]))


@cache
def combinations(part: str) -> dict[str, tuple[tuple, ...]]:
    """By label, the (measure, move, frame) of a part. Raises CourseError for an unknown part."""
    check_part(part)
    written = prose.news_combinations(unseen=part == "test")
    if part == "test":
        return written
    wanted = part == "validation"
    return {
        label: tuple(
            c for c in group if held_out.news_is_undemonstrated(c[0], c[1]["base"], c[2]) == wanted
        )
        for label, group in written.items()
    }


def sentiment(
    how_many: int, seed: int = 0, *, part: str = "training", shots: int = 0
) -> list[Prompt]:
    """Headlines of company news, each to be sorted into good, bad or flat; the three are equally
    frequent.

    ``shots`` examples from the training part stand before each.
    """
    rng, prompts = Random(f"sentiment {part} {seed}"), []
    choices = tuple(ARROW.continuation(label) for label in SENTIMENTS)
    for number in range(how_many):
        label = SENTIMENTS[number % 3]
        examples = [
            (headline(rng, example), example) for example in rng.choices(SENTIMENTS, k=shots)
        ]
        text = ARROW.few_shot(examples, headline(rng, label, part))
        prompts.append(Prompt(text, ARROW.continuation(label), choices))
    rng.shuffle(prompts)
    return prompts


def reactions(how_many: int, seed: int = 0, *, part: str = "training") -> list[Prompt]:
    """Headlines, each to be continued by how investors took it: the task of ``sentiment`` in the
    words of the corpus."""
    rng, prompts = Random(f"reactions {part} {seed}"), []
    choices = {label: f" {prose.REACTIONS[label][0]}" for label in SENTIMENTS}
    for number in range(how_many):
        label = SENTIMENTS[number % 3]
        prompts.append(
            Prompt(f"{headline(rng, label, part)}.", choices[label], tuple(choices.values()))
        )
    return prompts
