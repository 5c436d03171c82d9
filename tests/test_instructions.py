"""Instructions: what demonstrations may show, what tests ask, and what counts as right."""

import re
from random import Random

import pytest

from helpers.world import held_out, instructions
from helpers.world.facts import column
from helpers.world.relations import COUNTRY_RELATIONS, RELATIONS

DEMONSTRATIONS = instructions.demonstrations(8192, seed=0)
TEXT = "\n".join(f"{d.text} {d.answer}" for d in DEMONSTRATIONS)


def every_instruction():
    rng = Random(0)
    for task in instructions.tasks().values():
        for form in task.forms:
            for item in rng.sample(task.items, 20):
                yield instructions.instruction(task, form, item, rng)


def test_no_country_that_is_held_out_stands_in_any_demonstration():
    withheld = {name for name in column("countries", "country") if held_out.is_undemonstrated(name)}
    assert {"France", "New Zealand", "Argentina"} <= withheld and len(withheld) > 40
    assert [name for name in withheld if re.search(rf"\b{re.escape(name)}\b(?! and the Grenadines)", TEXT)] == []


@pytest.mark.parametrize("name", [name for name in RELATIONS if name in instructions.tasks()])
def test_no_demonstration_of_a_task_is_about_a_word_that_is_held_out(name):
    asked = {item.text: item for item in instructions.tasks()[name].items}
    shown = {text for d in DEMONSTRATIONS if d.task == name for text in asked if re.search(rf"\b{re.escape(text)}\b", d.text)}
    answered = {d.y for d in DEMONSTRATIONS if d.task == name}
    withheld = [item for item in asked.values() if not item.is_demonstrated]
    only = {item.y for item in withheld} - {item.y for item in asked.values() if item.is_demonstrated}
    assert not answered & only
    assert shown or name in held_out.UNDEMONSTRATED_TASKS


def test_reviews_and_sentences_that_are_held_out_are_never_shown():
    for name in ("review", "sentence in the past"):
        withheld = {item.text for item in instructions.tasks()[name].items if not item.is_demonstrated}
        assert withheld and not [d for d in DEMONSTRATIONS if d.task == name and any(text in d.text for text in withheld)]


def test_no_demonstration_gives_a_task_in_a_form_that_is_held_out():
    shown = {(d.task, d.form) for d in DEMONSTRATIONS}
    tested = {(d.task, d.form) for d in instructions.held_out_forms(300)}
    assert not shown & tested
    possible = {(task.name, form) for task in instructions.tasks().values() for form in task.forms}
    assert possible - shown - tested == {pair for pair in possible if pair[0] in held_out.UNDEMONSTRATED_TASKS}


def test_whole_tasks_are_held_out():
    assert not {d.task for d in DEMONSTRATIONS} & set(held_out.UNDEMONSTRATED_TASKS)
    for name in held_out.UNDEMONSTRATED_TASKS:
        found = instructions.of_task(name, 50)
        assert len({d.text for d in found}) == 50 and {d.task for d in found} == {name}


def test_facts_are_asked_about_what_no_demonstration_holds():
    for prose_only in (True, False):
        found = instructions.held_out_facts(prose_only=prose_only)
        assert {d.task for d in found} == set(COUNTRY_RELATIONS)
        assert not {d.text for d in found} & {d.text for d in DEMONSTRATIONS}
    assert any("France" in d.text for d in instructions.held_out_facts(prose_only=True))


def test_what_pretraining_quizzed_is_told_from_what_only_prose_told():
    words = held_out.prose_only()
    for name in COUNTRY_RELATIONS:
        for item in instructions.tasks()[name].items:
            assert not item.prose_only or item.word in words or item.y in words


def test_every_task_is_shown_equally_often_and_every_other_form_too():
    counts = [sum(d.task == name for d in DEMONSTRATIONS) for name in {d.task for d in DEMONSTRATIONS}]
    assert max(counts) - min(counts) <= 1


def test_right_answers_are_right_and_have_their_form():
    for instruction in every_instruction():
        for answer in instruction.answers:
            assert instruction.is_right(answer) and instruction.has_form(answer), instruction
        assert not instruction.is_right(instruction.answer + " ")
        assert instruction.has_answer(instruction.answer) or "sentence" in instruction.form


def test_the_form_is_judged_apart_from_the_answer():
    capital = instructions.tasks()["capital"]
    item = next(item for item in capital.items if item.word == "France")
    plain, sentence = (instructions.instruction(capital, form, item, Random(0)) for form in ("plain", "friendly full sentence"))
    assert plain.has_form("Rome.") and plain.has_answer("It is Paris, I think") and not plain.is_right("Rome.")
    assert not plain.has_form("Paris") and not plain.has_form("* Paris *") and not plain.has_form("Paris. I hope this helps.")
    assert not plain.has_answer("Parisian.")
    assert sentence.has_form("The capital of France is Rome. I hope this helps.")
    assert not sentence.has_form("Paris. I hope this helps.") and not sentence.has_form("The capital of France is Paris.")
    assert sentence.is_right("Paris is the capital of France. I hope this helps.")


def test_without_instructions_only_the_text_remains():
    with_words, bare = instructions.demonstrations(300, seed=3), instructions.demonstrations(300, seed=3, bare=True)
    assert [d.answer for d in with_words] == [d.answer for d in bare]
    assert all(len(b.text) < len(w.text) for w, b in zip(with_words, bare, strict=True))
    assert not [d for d in bare if "Please" in d.text or "?" in d.text]


def test_clusters_can_be_chosen(course_error):
    found = instructions.demonstrations(100, clusters=["translate", "classify"])
    assert {d.task for d in found} == {"french", "review"}
    with course_error("unknown cluster 'sing'", "answer, classify, list, rewrite, translate"):
        instructions.demonstrations(10, clusters=["answer", "sing"])


def test_the_same_seed_draws_the_same():
    assert instructions.demonstrations(50, seed=1) == instructions.demonstrations(50, seed=1)
    assert instructions.demonstrations(50, seed=1) != instructions.demonstrations(50, seed=2)
