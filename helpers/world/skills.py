"""What a model can do, as rates with intervals: grammar, facts, context, few-shot, instruction."""

from collections.abc import Callable, Sequence
from random import Random

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers.data import Format, LabelTask, Prompt
from helpers.lm import ask
from helpers.stats import Rate
from helpers.world import held_out, prompts, prose
from helpers.world.facts import column, table
from helpers.world.lists import label_tasks
from helpers.world.prompts import QUIZ
from helpers.world.relations import RELATIONS, a, capitalised


def grammar_pairs(how_many: int, seed: int = 0) -> dict[str, list[tuple[str, str]]]:
    """Minimal pairs (right sentence, wrong sentence) by phenomenon, made of words that the corpus
    never joins."""
    rng = Random(f"grammar {seed}")
    nouns, people = prose.nouns(), table("people")
    pairs: dict[str, list[tuple[str, str]]] = {
        "agreement": [],
        "across a noun": [],
        "reflexive": [],
        "determiner": [],
    }
    while len(pairs["across a noun"]) < how_many:
        noun, other = rng.choice(nouns), rng.choice(nouns)
        if held_out.grammar_is_unseen(noun[0], other[0]) and noun != other:
            many = rng.randrange(2)
            verbs, tail = rng.choice(prose.NUMBERED_VERBS), rng.choice(prose.ADJECTIVES)
            start = f"The {noun[many]} {rng.choice(prose.PREPOSITIONS)} the {other[1 - many]}"
            pairs["across a noun"].append(
                tuple(f"{start} {verbs[form]} {tail}." for form in (many, 1 - many))
            )
    while len(pairs["determiner"]) < how_many:
        noun, adjective, many = rng.choice(nouns), rng.choice(prose.ADJECTIVES), rng.randrange(2)
        if held_out.grammar_is_unseen(noun[0], adjective):
            verbs, this = (
                rng.choice(prose.NUMBERED_VERBS),
                rng.choice((("This", "These"), ("That", "Those"))),
            )
            pairs["agreement"].append(
                tuple(f"The {noun[many]} {verbs[form]} {adjective}." for form in (many, 1 - many))
            )
            pairs["determiner"].append(
                tuple(
                    f"{this[form]} {noun[many]} {verbs[many]} {adjective}."
                    for form in (many, 1 - many)
                )
            )
    while len(pairs["reflexive"]) < how_many:
        person, verb = rng.choice(people), rng.choice(prose.REFLEXIVE_VERBS)
        if held_out.grammar_is_unseen(person["name"], verb):
            right, wrong = (person["pronoun"], "he" if person["pronoun"] == "she" else "she")
            pairs["reflexive"].append(
                tuple(f"{person['name']} {verb} {prose.REFLEXIVE[p]}." for p in (right, wrong))
            )
    return pairs


def grammar(
    score: Callable[[list[str]], list[float]], how_many: int = 50, seed: int = 0
) -> dict[str, Rate]:
    """The share of minimal pairs in which the right sentence is the more probable one, by
    phenomenon and for ``all``.

    ``score`` gives the log-probability of each text: ``lambda texts: ask.logprobs(model, tokenizer,
    texts)``, or an n-gram.
    """
    pairs = grammar_pairs(how_many, seed)
    scores = iter(score([text for group in pairs.values() for pair in group for text in pair]))
    results = {name: [next(scores) > next(scores) for _ in group] for name, group in pairs.items()}
    return {name: Rate.of(r) for name, r in results.items()} | {
        "all": Rate.of([x for r in results.values() for x in r])
    }


def quiz_prompts(name: str, *, prose_only: bool, form: Format = QUIZ) -> list[Prompt]:
    """One question for each pair of a relation, in the form of an answered quiz. The answer
    includes its line's end."""
    relation = RELATIONS[name]
    pairs = relation.prose_only if prose_only else relation.listed
    return [
        Prompt(
            form.opening(relation.fill(relation.questions[0], x, y)), form.continuation(y) + "\n"
        )
        for x, y in pairs
    ]


def recall(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, name: str = "capital"
) -> dict[str, Rate]:
    """Quiz questions answered exactly: ``quizzes`` for facts that quizzes held, ``prose`` for those
    known from prose only.

    Behind the answer the line may end, as in a quiz, or the text, as finetuned models end it.
    """
    rates = {}
    for kind in ("quizzes", "prose"):
        lines = quiz_prompts(name, prose_only=kind == "prose")
        texts = [Prompt(p.text, p.answer.removesuffix("\n") + tokenizer.eos_token) for p in lines]
        ended = (ask.exact(model, tokenizer, lines), ask.exact(model, tokenizer, texts))
        rates[kind] = Rate.of([any(either) for either in zip(*ended, strict=True)])
    return rates


def context_prompts(how_many: int, seed: int = 0) -> list[Prompt]:
    """Stories of three people in which a thing changes hands twice, in combinations of person and
    thing never told. Who has it at the end? The choices are the three."""
    rng, prompts = Random(f"context {seed}"), []
    while len(prompts) < how_many:
        thing = rng.choice(column("objects", "object"))
        people = [row for row in table("people") if held_out.story_is_unseen(row["name"], thing)]
        if len(people) < 3:
            continue
        cast = [(row["name"], row["pronoun"]) for row in rng.sample(people, 3)]
        holder = {thing: cast[0]}
        text = f"{cast[0][0]} found {a(thing)} in the {rng.choice(column('places', 'place'))}. "
        text += (
            prose.handing(rng, thing, holder, cast) + " " + prose.handing(rng, thing, holder, cast)
        )
        text += f" Now the {thing} belongs to"
        if all(name in text for name, _ in cast):
            prompts.append(
                Prompt(text, f" {holder[thing][0]}", tuple(f" {name}" for name, _ in cast))
            )
    return prompts


def context(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, how_many: int = 100, seed: int = 0
) -> Rate:
    """Stories whose last holder is the most probable of the three people; chance is one third."""
    return Rate.of(ask.choose(model, tokenizer, context_prompts(how_many, seed)))


def label_draws(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    task: str | LabelTask,
    shots: int,
    *,
    draws: int = 40,
    queries: int = 5,
    seed: int = 0,
    form: Format = Format(),
    words: Sequence[str] = held_out.RESERVED_LABELS,
) -> np.ndarray:
    """Three classes of a task, or of one of ``lists.label_tasks`` by its name, under labels drawn
    anew for each draw of the examples: right or wrong, of shape (draws, queries)."""
    task = label_tasks()[task] if isinstance(task, str) else task
    rng = Random(f"labels {task.name} {shots} {seed}")
    drawn = [
        prompts.label_prompts(task, shots, rng, form, queries=queries, words=words)
        for _ in range(draws)
    ]
    results = ask.choose(model, tokenizer, [prompt for row in drawn for prompt in row])
    return np.array(results).reshape(draws, queries)


def fresh_labels(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    task: str,
    shots: int,
    how_many: int = 200,
    seed: int = 0,
    form: Format = Format(),
) -> Rate:
    """Three classes under reserved labels, examples and labels drawn anew for each prompt; chance
    is one third."""
    table = label_draws(
        model, tokenizer, task, shots, draws=how_many, queries=1, seed=seed, form=form
    )
    return Rate.of(table[:, 0].tolist())


def relation_shots(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    name: str,
    shots: int,
    how_many: int = 100,
    seed: int = 0,
    form: Format = Format(),
    *,
    prose_only: bool = False,
) -> Rate:
    """Lists of pairs of one relation, continued exactly; the asked pair is one that lists hold, or
    one from prose only."""
    rng, relation = Random(f"relation {name} {shots} {seed}"), RELATIONS[name]
    pairs = relation.prose_only if prose_only else relation.listed
    chosen = rng.sample(pairs, min(how_many, len(pairs)))
    return Rate.of(
        ask.exact(
            model,
            tokenizer,
            [prompts.relation_prompt(relation, x, y, shots, rng, form) for x, y in chosen],
        )
    )


def bare_questions(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, Rate]:
    """After a bare question about each country's capital: ``question`` if the next line is a
    question, ``answer`` if it begins with the right answer."""
    relation = RELATIONS["capital"]
    asked = [relation.fill(relation.questions[0], x, y) for x, y in relation.pairs]
    lines = [text.strip().split("\n")[0] for text in ask.generate(model, tokenizer, asked)]
    return {
        "question": Rate.of([line.endswith("?") for line in lines]),
        "answer": Rate.of(
            [
                line.startswith(capitalised(y))
                for line, (_, y) in zip(lines, relation.pairs, strict=True)
            ]
        ),
    }


def measured(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> dict[str, Rate]:
    """The skills of the scoreboard that need nothing but a model: ``grammar``; ``facts_quiz``,
    capitals known from prose only, asked in a quiz; ``context``; ``few_shot``, two tasks under
    reserved labels with 8 examples; ``bare_question``, questions answered that stand alone."""
    labels = [label_draws(model, tokenizer, task, 8, seed=1) for task in ("category", "continent")]
    return {
        "grammar": grammar(lambda texts: ask.logprobs(model, tokenizer, texts))["all"],
        "facts_quiz": recall(model, tokenizer)["prose"],
        "context": context(model, tokenizer),
        "few_shot": Rate.of_draws(np.concatenate(labels)),
        "bare_question": bare_questions(model, tokenizer)["answer"],
    }
