"""The shipped models can do what the course shows with them, by a clear margin."""

from statistics import mean

import pytest

from helpers.lm import ask
from helpers.lm.ngram import NGram
from helpers.world import skills
from helpers.world.lists import named
from helpers.world.relations import RELATIONS

LISTS = ("capital", "language", "continent", "category", "colour", "number", "plural", "past")


@pytest.fixture(scope="module", params=["category", "continent"])
def labels(request, small, large):
    """Rates of fresh labels by task: {(model, shots): rate}. A prompt without examples is short: there are more of them."""
    asked = [("large", large, 0, 1000), ("large", large, 8, 200), ("large", large, 16, 200), ("small", small, 8, 200)]
    return {(name, shots): skills.fresh_labels(*model, request.param, shots, many) for name, model, shots, many in asked}


def test_without_examples_fresh_labels_are_at_chance(labels):
    assert labels["large", 0].low < 1 / 3 < labels["large", 0].high


def test_eight_examples_teach_fresh_labels_and_sixteen_do_no_harm(labels):
    assert labels["large", 8].value >= 0.90
    assert labels["large", 16].value >= labels["large", 8].value - 0.05


def test_the_small_model_learns_much_less_from_eight_examples(labels):
    assert labels["small", 8].value <= labels["large", 8].value - 0.25
    assert labels["small", 8].high < labels["large", 8].low


@pytest.mark.parametrize("names", [LISTS, tuple(RELATIONS)], ids=["lists", "all"])
def test_four_examples_show_which_relation_is_meant(large, names):
    with_examples, without = (mean(skills.relation_shots(*large, name, shots, 60).value for name in names) for shots in (4, 0))
    assert with_examples >= 0.90
    assert without <= with_examples - 0.30


def test_four_examples_reach_what_only_prose_told(large):
    assert mean(skills.relation_shots(*large, name, 4, prose_only=True).value for name in LISTS) >= 0.70


def test_four_examples_that_name_the_task_reach_what_only_prose_told(large):
    rates = [
        skills.relation_shots(*large, name, 4, form=named(relation.columns), prose_only=True).value
        for name, relation in RELATIONS.items()
    ]
    assert mean(rates) >= 0.70


def test_a_bare_question_is_continued_with_a_question(large):
    assert skills.bare_questions(*large)["question"].value >= 0.95


def test_quizzes_are_answered(large):
    rates = skills.recall(*large)
    assert rates["quizzes"].value >= 0.95
    assert rates["prose"].value >= 0.70


def test_grammar_is_learned_beyond_what_a_trigram_counts(large, documents):
    trigram = NGram(3, large[1]).fit([text for _, text in documents])
    learned = skills.grammar(lambda texts: ask.logprobs(*large, texts))["all"]
    counted = skills.grammar(trigram.logprobs)["all"]
    assert learned.value >= 0.90
    assert learned.value >= counted.value + 0.10
