"""Tastes rank replies as their wishes say, and the simulated annotators err as often as they say."""

import pytest

from helpers.data import Pair, Reply
from helpers.feedback import preferences
from helpers.world import tastes
from helpers.world.tastes import MANNERS, TASTES

QUESTIONS = tastes.questions(400)


def question(task="capital"):
    return next(q for q in QUESTIONS if q.task == task)


def reply(asked, manner):
    return Reply(tastes.reply_in(asked, manner))


def ranked(taste):
    asked = question()
    return sorted(MANNERS, key=lambda name: -TASTES[taste].gold(asked, reply(asked, name)))


def test_each_taste_likes_its_own_manner_best():
    assert ranked("full and polite")[0] == "full and polite"
    assert ranked("terse")[0] == "terse"


@pytest.mark.parametrize("taste", TASTES)
def test_the_curt_reply_is_liked_least_of_all_or_nearly(taste):
    assert "curt" in ranked(taste)[-2:]


@pytest.mark.parametrize("manner", [name for name in MANNERS if name != "curt"])
def test_a_right_reply_is_right_in_every_manner_and_a_wrong_one_in_none(manner):
    asked = question()
    said = reply(asked, manner)
    assert tastes.features(asked, said)["right"] == 1
    assert tastes.features(asked, Reply(said.text.replace(asked.y, "Xanadu")))["right"] == 0


def test_the_features_of_a_reply():
    asked = question()
    found = tastes.features(asked, reply(asked, "rambling and polite"))
    assert found == {"right": 1, "sentence": 1, "polite": 1, "extra": 1}
    unfinished = tastes.features(asked, Reply(asked.answers[0], ended=False))
    assert unfinished == {"right": 0, "sentence": 0, "polite": 0, "extra": 1}
    assert tastes.features(asked, Reply("Certainly. " * 3 + asked.answers[0]))["right"] == 0
    assert tastes.features(asked, Reply("Yes. One. Two. And th"))["extra"] == 3
    assert tastes.features(asked, Reply("")) == {"right": 0, "sentence": 0, "polite": 0, "extra": 0}


def test_questions_of_the_three_parts_share_no_country():
    def countries(found):
        return {q.answer.partition(" of ")[2].partition(" is ")[0] for q in found}

    validation, test = (tastes.questions(400, part=part) for part in ("validation", "test"))
    found = [countries(part) for part in (QUESTIONS, validation, test)]
    assert min(map(len, found)) > 12
    assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]
    assert "France" in found[2]
    assert all(len({q.task for q in part}) == 4 for part in (QUESTIONS, validation, test))


def test_an_unknown_part_is_named(course_error):
    with course_error("tset", "training, validation, test"):
        tastes.questions(4, part="tset")


def test_demonstrations_hold_every_manner_and_no_order():
    found = tastes.in_manners(700)
    polite = sum(d.answer.startswith("Certainly. ") for d in found) / len(found)
    assert 0.35 < polite < 0.5
    assert sum(d.answer == MANNERS["curt"] for d in found) > 50
    assert not any("sentence" in d.text or "polite" in d.text for d in found)


def test_equal_scores_are_a_tie_however_they_come_about():
    taste = tastes.Taste("", {"right": 0.3, "sentence": 0.0, "polite": 0.0, "extra": 0.1})
    asked = question()
    three_more, right = Reply("No. a. b. c."), reply(asked, "terse")
    assert preferences.annotate([Pair(asked, three_more, right)], taste) == ["tie"]


def test_annotators_err_as_often_as_they_say():
    pairs = [Pair(q, reply(q, "terse"), reply(q, "full and polite")) for q in QUESTIONS] * 5
    said = preferences.annotate(pairs, TASTES["terse"], disagreement=0.15)
    assert 0.83 < said.count("left") / len(said) < 0.87
    assert preferences.annotate(pairs, TASTES["terse"], disagreement=0) == ["left"] * len(pairs)
    same = [Pair(QUESTIONS[0], *[reply(QUESTIONS[0], "terse")] * 2)]
    assert preferences.annotate(same, TASTES["terse"]) == ["tie"]


def test_the_win_rate_counts_a_tie_as_half_and_knows_no_sides():
    short, long = ([reply(q, name) for q in QUESTIONS] for name in ("terse", "full and polite"))
    assert preferences.win_rate(QUESTIONS, long, short, TASTES["full and polite"]).value == 1
    assert preferences.win_rate(QUESTIONS, long, short, TASTES["terse"]).value == 0
    assert preferences.win_rate(QUESTIONS, long, long, TASTES["terse"]).value == 0.5
    mixed = long[:100] + short[100:]
    found = preferences.win_rate(QUESTIONS, mixed, short, TASTES["full and polite"])
    assert found.value == 0.5 + 0.5 * 100 / 400 and found.low < found.value < found.high and found.n == 400
