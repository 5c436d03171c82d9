"""Intervals hold what they promise, and the measures ask about what was never told."""

import re
from random import Random

import leaks
import numpy as np
import pytest

from helpers.data import Prompt
from helpers.lm import ask
from helpers.lm.ngram import NGram
from helpers.stats import Mean, Rate
from helpers.world import held_out, skills
from helpers.world.corpus import Document
from helpers.world.facts import column
from helpers.world.relations import RELATIONS


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (50, 100, 0.4038, 0.5962),
        (1, 50, 0.0035, 0.1050),
    ],
)
def test_a_rate_has_wilsons_interval(successes, n, low, high):
    rate = Rate.of([True] * successes + [False] * (n - successes))
    assert (rate.value, rate.n) == (successes / n, n)
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=1e-4)


def test_a_rate_reads_as_percent():
    assert str(Rate(0.5, 0.404, 0.596, 100)) == "50% [40%, 60%]"


def test_the_interval_of_draws_covers_the_true_rate():
    rng, covered, widths = np.random.default_rng(0), 0, []
    true = np.mean(1 / (1 + np.exp(-rng.normal(0.5, 0.8, 100_000))))
    for trial in range(100):  # some draws of the examples are better than others
        rates = 1 / (1 + np.exp(-rng.normal(0.5, 0.8, (20, 1))))
        rate = Rate.of_draws(rng.random((20, 10)) < rates, seed=trial)
        assert rate.low <= rate.value <= rate.high and rate.n == 200
        covered += rate.low <= true <= rate.high
        widths.append(rate.high - rate.low)
    assert covered >= 89  # 95 expected, with a standard deviation of 2.2
    assert np.mean(widths) < 0.25


def test_the_interval_of_draws_is_wider_than_that_of_independent_trials():
    results = np.repeat([[True], [False]] * 5, 20, axis=1)  # each draw is right or wrong as a whole
    draws, independent = Rate.of_draws(results), Rate.of(results.ravel().tolist())
    assert draws.value == independent.value == 0.5
    assert draws.high - draws.low > 2 * (independent.high - independent.low)


def test_the_interval_of_groups_does_not_shrink_when_each_trial_is_told_twice():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40).astype(str), 5)
    results = rng.random(200) < np.repeat(rng.random(40), 5)  # a chance of its own for each group
    once, twice = Rate.of_groups(results, groups), Rate.of_groups(np.tile(results, 2), np.tile(groups, 2))
    assert once.value == twice.value == results.mean() and (once.low, once.high) == (twice.low, twice.high)
    assert once.high - once.low > Rate.of(results).high - Rate.of(results).low


def test_the_interval_of_groups_of_one_is_that_of_independent_trials():
    results = np.random.default_rng(1).random(400) < 0.8
    found, wilson = Rate.of_groups(results, [str(i) for i in range(400)]), Rate.of(results)
    assert found.low == pytest.approx(wilson.low, abs=0.01) and found.high == pytest.approx(wilson.high, abs=0.01)


def test_grammar_pairs_are_made_of_words_never_joined():
    pairs = skills.grammar_pairs(60)
    assert {name: len(group) for name, group in pairs.items()} == dict.fromkeys(pairs, 60)
    for group in pairs.values():
        assert all(leaks.unseen_joins(Document("", right)) for right, _ in group)


def test_grammar_pairs_differ_in_one_word_and_the_first_is_right():
    pairs = skills.grammar_pairs(60)
    plural = dict(RELATIONS["plural"].pairs)
    many_verbs = {"are", "were", "have", "look", "seem"}
    for name, group in pairs.items():
        for right, wrong in group:
            (place,) = [i for i, (a, b) in enumerate(zip(right.split(), wrong.split(), strict=True)) if a != b]
            words = right.split()
            noun = words[1]
            if name == "reflexive":
                assert {words[place], wrong.split()[place]} == {"herself.", "himself."}
            elif name == "determiner":
                assert place == 0 and (words[0] in ("These", "Those")) == (noun in plural.values())
            else:
                assert (words[place] in many_verbs) == (noun in plural.values()) != (noun in plural)


def test_grammar_measures_the_share_of_right_sentences_preferred():
    right = {pair[0] for group in skills.grammar_pairs(20).values() for pair in group}
    perfect = skills.grammar(lambda texts: [float(text in right) for text in texts], 20)
    contrary = skills.grammar(lambda texts: [-float(text in right) for text in texts], 20)
    assert {rate.value for rate in perfect.values()} == {1.0} and {rate.value for rate in contrary.values()} == {0.0}
    assert perfect["all"].n == 80


def holder(text: str) -> str:
    """Who has the thing after all that the text tells."""
    takes = (
        r"gave the \w+ to (\w+)\.",
        r"gave (\w+) the \w+\.",
        r"handed \w+ \w+ to (\w+)\.",
        r"(\w+) bought the \w+ from",
        r"Then (\w+) took the \w+ from",
        r"^(\w+) found an? \w+ in",
    )
    found = [(match.start(), match[1]) for take in takes for match in re.finditer(take, text)]
    assert len(found) == 3
    return max(found)[1]


def test_the_answer_of_a_story_is_who_holds_the_thing():
    prompts = skills.context_prompts(100)
    assert len({prompt.text for prompt in prompts}) > 95
    for prompt in prompts:
        assert prompt.answer == f" {holder(prompt.text)}"
        assert prompt.answer in prompt.choices and len(set(prompt.choices)) == 3
        assert leaks.unseen_holders(Document("story", prompt.text)) >= {
            (choice.strip(), re.search(r"Now the (\w+) belongs", prompt.text)[1]) for choice in prompt.choices
        }


def test_the_first_and_the_last_to_have_the_thing_are_often_different():
    prompts = skills.context_prompts(200)
    assert sum(prompt.answer == prompt.choices[0] for prompt in prompts) < 0.6 * len(prompts)


def test_quiz_prompts_ask_each_pair_once():
    for prose_only in (True, False):
        prompts = skills.quiz_prompts("capital", prose_only=prose_only)
        pairs = RELATIONS["capital"].prose_only if prose_only else RELATIONS["capital"].listed
        assert [prompt.answer for prompt in prompts] == [f" {y}\n" for _, y in pairs]
    assert "Q: What is the capital of France? A:" in [p.text for p in skills.quiz_prompts("capital", prose_only=True)]


def test_logprobs_are_of_the_beginning_of_a_document(large):
    one, two = ask.logprobs(*large, ["Anna had a book.", "book a had Anna."])
    assert two < one < 0


@pytest.fixture(scope="module")
def trigram(tokenizer, documents):
    return NGram(3, tokenizer).fit([text for _, text in documents[:3000]])


def test_the_probabilities_of_an_ngram_add_up_to_1(trigram, tokenizer):
    end = tokenizer.eos_token_id
    contexts = ["The capital", "Anna", "-> garden", "xyz qq"]
    for context in [(end,), *(tuple(tokenizer(text)["input_ids"][-2:]) for text in contexts)]:
        for length in range(len(context) + 1):
            given = context[len(context) - length :]
            total = sum(trigram.probability((*given, token)) for token in range(len(tokenizer)))
            assert total == pytest.approx(1, abs=1e-9)


def test_an_ngram_counts_as_by_hand(tokenizer):
    bigram = NGram(2, tokenizer, discount=0.5).fit(["hot cold", "hot hot"])
    hot, cold = (tokenizer(word, add_special_tokens=False)["input_ids"] for word in ("hot", "cold"))
    assert len(hot) == len(cold) == 1
    unigram = (1 - 0.5) / 8 + 0.5 * 3 / 8 / len(tokenizer)  # "cold" is one of 8 tokens, four of them ends, of 3 kinds
    after_hot = (1 - 0.5) / 3 + 0.5 * 3 / 3 * unigram  # after three times "hot": "cold", "hot" and the end, once each
    assert bigram.probability((*hot, *cold)) == pytest.approx(after_hot)


def test_a_trigram_needs_fewer_bits_than_a_unigram_and_more_than_none(trigram, tokenizer, documents):
    unseen = [text for _, text in documents[-300:]]
    unigram = NGram(1, tokenizer).fit([text for _, text in documents[:3000]])
    assert 0 < trigram.bits_per_byte(unseen) < unigram.bits_per_byte(unseen) - 0.3


def test_fresh_labels_at_chance_and_seeds(small):
    first, again, other = (skills.fresh_labels(*small, "category", 0, 60, seed) for seed in (1, 1, 2))
    assert first == again and first.n == other.n == 60
    assert first.low < 0.5


def test_a_table_of_draws_has_a_row_for_each(small):
    table = skills.label_draws(*small, "category", 4, draws=3, queries=5)
    assert table.shape == (3, 5) and set(np.unique(table)) <= {False, True}


def test_relation_lists_ask_listed_or_prose_only_pairs(large):
    rates = [skills.relation_shots(*large, "plural", 2, 20, prose_only=prose_only) for prose_only in (False, True)]
    assert [rate.n for rate in rates] == [20, min(20, len(RELATIONS["plural"].prose_only))]


def test_every_unasked_illness_is_told_by_the_corpus(documents):
    told = leaks.words_of(text for kind, text in documents if kind == "medicine")
    assert {row for row in column("illnesses", "illness") if held_out.illness_is_unasked(row)} <= told


def test_random_guesses_are_at_chance_in_stories():
    rng = Random(0)
    guesses = [rng.choice(prompt.choices) == prompt.answer for prompt in skills.context_prompts(300)]
    assert Rate.of(guesses).low < 1 / 3 < Rate.of(guesses).high


def test_a_fact_may_end_its_line_or_the_text(small, monkeypatch):
    right = {"a line": "\n", "a text": small[1].eos_token}
    for end in right.values():
        monkeypatch.setattr(ask, "exact", lambda model, tokenizer, given, end=end: [p.answer.endswith(end) for p in given])
        assert {rate.value for rate in skills.recall(*small).values()} == {1.0}
    monkeypatch.setattr(ask, "exact", lambda model, tokenizer, given: [False for _ in given])
    assert {rate.value for rate in skills.recall(*small).values()} == {0.0}


def test_an_answer_counts_only_with_its_end(small, monkeypatch):
    asked = []
    monkeypatch.setattr(ask, "exact", lambda model, tokenizer, given: asked.extend(given) or [True, False])
    rate = ask.accuracy_by_generation(*small, [Prompt("Q: Who? A:", " nobody"), Prompt("Q: Why? A:", " so")])
    assert [p.answer for p in asked] == [f" nobody{small[1].eos_token}", f" so{small[1].eos_token}"]
    assert (rate.value, rate.n) == (0.5, 2)


def test_the_chosen_answer_is_the_more_probable_one(large):
    question = "Q: What is the capital of Chad? A:"
    given = [Prompt(question, answer, (" N'Djamena", " banana")) for answer in (" N'Djamena", " banana")]
    assert ask.accuracy_by_choice(*large, given).value == 0.5


def test_the_interval_of_a_mean_covers_it_in_95_of_100_repetitions(course_error):
    rng = np.random.default_rng(0)
    means = [Mean.of(rng.normal(3, 2, size=8)) for _ in range(2000)]
    assert abs(np.mean([m.low <= 3 <= m.high for m in means]) - 0.95) < 0.02
    assert str(Mean.of([2.0])) == "2.00 [2.00, 2.00]" and Mean.of([1, 3]).n == 2
    with course_error("numbers to take a mean of"):
        Mean.of([])
