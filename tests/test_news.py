"""Demonstrations show what finetuning may see, and the tests hold what it must not."""

import leaks
import pytest

from helpers import data
from helpers.world import held_out, medicine, news
from helpers.world.facts import column


def headlines(prompts):
    return {found for prompt in prompts for found in leaks.headlines(prompt.text)}


def of_part(combination):
    """The part that a combination belongs to."""
    if held_out.news_is_unseen(*combination):
        return "test"
    return "validation" if held_out.news_is_undemonstrated(*combination) else "training"


@pytest.mark.parametrize("part", data.PARTS)
def test_every_headline_of_a_part_belongs_to_it(part):
    for seed in (0, 1):
        found = headlines(news.sentiment(1500, seed=seed, part=part))
        found |= headlines(news.reactions(300, seed=seed, part=part))
        assert {of_part(combination) for combination in found} == {part}


@pytest.mark.parametrize("part", data.PARTS)
def test_the_three_sentiments_are_equally_frequent(part):
    answers = [prompt.answer for prompt in news.sentiment(300, part=part)]
    assert {answers.count(f" {label}") for label in ("good", "bad", "flat")} == {100}


def test_examples_before_a_tested_headline_are_those_of_training():
    for prompt in news.sentiment(30, part="test", shots=8):
        *examples, asked = prompt.text.split("\n")
        assert len(examples) == 8
        assert {of_part(found) for line in examples for found in leaks.headlines(line)} == {"training"}
        assert of_part(leaks.headlines(asked)[0]) == "test"


def test_a_part_that_is_not_there_is_said(course_error):
    for draw in (lambda: news.sentiment(3, part="testing"), lambda: medicine.questions("testing")):
        with course_error("unknown part 'testing'", "training, validation, test"):
            draw()


def test_the_label_is_the_polarity_of_the_headline():
    lines = {prompt.text: prompt.answer for prompt in news.sentiment(3000)}
    assert {answer for text, answer in lines.items() if "costs fell ->" in text.lower()} <= {" good"}
    assert {answer for text, answer in lines.items() if "did not rise ->" in text and "ales" in text} <= {" bad"}


def test_each_illness_is_asked_about_in_one_part_only():
    illnesses, asked = column("illnesses", "illness"), []
    for part in data.PARTS:
        found = medicine.questions(part)
        asked += (named := [name for name in illnesses if any(name in p.text for p in found)])
        assert named and len(found) == 6 * len(named)
        assert all(held_out.illness_is_unasked(name) == (part == "test") for name in named)
    assert sorted(asked) == sorted(illnesses)


def test_another_seed_draws_other_headlines():
    assert news.sentiment(50, seed=0) == news.sentiment(50, seed=0)
    assert news.sentiment(50, seed=0) != news.sentiment(50, seed=1)
