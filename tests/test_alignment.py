"""A reward model learns what annotators want, and a policy follows it, away from a reference that stays where it was."""

import copy

import numpy as np
import pytest
import torch

from helpers.data import Reply
from helpers.feedback import labels, preferences
from helpers.feedback.labels import Label
from helpers.lm import chat
from helpers.training import alignment, finetune
from helpers.world import tastes
from helpers.world.tastes import TASTES

QUESTIONS = tastes.questions(160)


@pytest.fixture(scope="module")
def polyglot(medium):
    """A model that answers in several manners."""
    model, tokenizer = chat.for_chat(*medium)
    shown = tastes.in_manners(1600)
    tuned = finetune.sft(
        model, tokenizer, shown, learning_rate=3e-3, epochs=1, batch=16, peft_config=finetune.lora(16), progress=False
    )
    return tuned.model.merge_and_unload(), tokenizer


def polite_first(asked):
    """Preferences for the full and polite over the terse manner."""
    return labels.preferences(
        Label(q.text, tastes.reply_in(q, "full and polite"), tastes.reply_in(q, "terse"), "left") for q in asked
    )


@pytest.fixture(scope="module")
def judge(polyglot):
    return alignment.reward_model(*polyglot, polite_first(QUESTIONS), progress=False)


def test_the_reward_model_ranks_replies_to_other_questions(judge, polyglot):
    asked = tastes.questions(60, part="test")
    good, bad = (
        alignment.rewards(judge, polyglot[1], asked, [Reply(tastes.reply_in(q, manner)) for q in asked])
        for manner in ("full and polite", "terse")
    )
    assert good.shape == (60,) and (good > bad).mean() > 0.95


def test_a_reply_is_scored_the_same_alone_and_in_a_batch(judge, polyglot):
    replies = [Reply(f"{q.y}.") for q in QUESTIONS[:9]]
    together = alignment.rewards(judge, polyglot[1], QUESTIONS[:9], replies)
    alone = [alignment.rewards(judge, polyglot[1], [q], [r])[0] for q, r in zip(QUESTIONS, replies, strict=False)]
    assert np.allclose(together, alone, atol=1e-3)


def test_the_score_head_is_trained(judge, polyglot):
    assert not torch.allclose(judge.score.weight, alignment.reward_network(*polyglot).score.weight)


def test_the_reward_model_has_the_weights_of_the_model_and_no_copy_of_them(judge, polyglot):
    shared = {weights.data_ptr() for weights in polyglot[0].parameters()}
    own = [name for name, weights in judge.named_parameters() if weights.data_ptr() not in shared]
    assert own and all("lora_" in name or "score" in name for name in own)


def words(question, reply):
    return len(reply.text.split())


@pytest.fixture(scope="module")
def trainer(judge, polyglot):
    watch = {"ended": lambda q, reply: reply.ended, "words": words}
    return alignment.rloo(
        copy.deepcopy(polyglot[0]), polyglot[1], QUESTIONS, judge, steps=12, learning_rate=1e-3, watch=watch, progress=False
    )


def test_a_policy_follows_the_reward_from_a_reference_that_stays(judge, polyglot, trainer):
    model, tokenizer = polyglot
    kl = alignment.history(trainer)["kl"]
    assert abs(kl[0]) < 1e-2 < kl[-1]
    asked = tastes.questions(100, part="test")
    before, after = (preferences.sampled_replies(m, tokenizer, asked) for m in (model, trainer.model))
    scores = [alignment.rewards(judge, tokenizer, asked, replies) for replies in (before, after)]
    assert scores[1].mean() > scores[0].mean() + scores[0].std() / 2
    with trainer.model.disable_adapter():
        assert preferences.sampled_replies(trainer.model, tokenizer, asked) == before


def test_the_history_has_a_value_of_everything_at_each_step(trainer):
    found = alignment.history(trainer)
    assert set(found) == {"reward", "kl", "entropy", "length", "ended", "words"}
    assert {len(values) for values in found.values()} == {12}
    assert all(0.9 < share <= 1 for share in found["ended"])


def test_without_a_penalty_there_is_a_history_and_no_kl(judge, polyglot):
    free = alignment.rloo(copy.deepcopy(polyglot[0]), polyglot[1], QUESTIONS, judge, beta=0.0, steps=1, progress=False)
    found = alignment.history(free)
    assert np.isnan(found["kl"]).all() and np.isfinite(found["reward"]).all()


def test_what_is_watched_is_measured_of_the_replies_and_not_rewarded(trainer):
    logs = trainer._logs
    said = [turn[0]["content"] for turn in logs["completion"]]
    assert logs["rewards"]["words"][-1] == len(said[-1].split())
    assert np.isclose(alignment.history(trainer)["words"][-1], np.mean([len(text.split()) for text in said[-64:]]), atol=0.5)
    scores = torch.tensor(list(logs["rewards"][trainer.reward_func_names[0]])[-64:])
    assert np.isclose(alignment.history(trainer)["reward"][-1], scores.mean().item(), atol=1e-3)


def test_the_kl_divergence_of_a_policy_from_its_reference(polyglot, trainer):
    model, tokenizer = polyglot
    asked = tastes.questions(200)
    moved = alignment.kl(trainer.model, model, tokenizer, asked, preferences.sampled_replies(trainer.model, tokenizer, asked))
    assert np.isclose(moved, np.mean(alignment.history(trainer)["kl"][-2:]), rtol=0.5)
    same = alignment.kl(model, model, tokenizer, asked, preferences.sampled_replies(model, tokenizer, asked))
    assert same == 0 < moved


def test_dpo_follows_the_same_preferences_without_a_reward_model(polyglot):
    model, tokenizer = polyglot
    policy = alignment.dpo(copy.deepcopy(model), tokenizer, polite_first(QUESTIONS), learning_rate=1e-3, progress=False).model
    asked = tastes.questions(100, part="test")
    before, after = (preferences.sampled_replies(m, tokenizer, asked) for m in (model, policy))
    assert _polite(after) > _polite(before) + 0.2


def _polite(replies):
    return sum(reply.text.startswith(tastes.POLITE) for reply in replies) / len(replies)


def test_a_pair_is_two_different_replies(polyglot):
    found = preferences.pairs(*polyglot, QUESTIONS[:60])
    assert 20 < len(found) <= 60
    assert all(pair.left != pair.right for pair in found)
    assert "left" in preferences.annotate(found, TASTES["terse"])


def test_three_replies_make_up_to_three_pairs(polyglot):
    found = preferences.pairs(*polyglot, QUESTIONS[:20], replies=3)
    assert 20 < len(found) <= 60
    asked = [pair.question for pair in found]
    assert max(asked.count(question) for question in asked) >= 2 and asked != sorted(asked, key=QUESTIONS.index)
    assert all(pair.left != pair.right for pair in found)
