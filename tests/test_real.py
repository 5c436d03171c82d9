"""Every helper on a real model: SmolLM2-135M-Instruct, in the folder that ``COURSE_REAL_MODEL`` names.

``python tests/smollm2.py FOLDER`` makes it.

What its makers taught it is theirs; shown is that the helpers ask it, tune it and align it as they do the course's own models.
"""

import copy
import math
import os

import numpy as np
import pytest
import torch

from helpers import lm, scoreboard, stages
from helpers.data import Prompt, Reply
from helpers.feedback import labels, preferences
from helpers.lm import ask, chat, cost, models
from helpers.lm.ngram import NGram
from helpers.stats import Rate
from helpers.training import alignment, finetune, packing
from helpers.world import instructions, news, skills, tastes
from helpers.world.relations import RELATIONS

FOLDER = os.environ.get("COURSE_REAL_MODEL")
if not FOLDER:
    pytest.skip("COURSE_REAL_MODEL names no folder with a real model", allow_module_level=True)

#: LoRA at ten times the usual rate of full finetuning (Schulman et al. 2025, "LoRA without regret").
QUICK = {"learning_rate": 1e-3, "batch": 16, "progress": False}


@pytest.fixture(scope="module")
def real():
    return lm.load(FOLDER)


@pytest.fixture(scope="module")
def weights(real):
    """A checksum of the model as it was loaded."""
    return stages.fingerprint(real[0])


def moved(trained, base):
    """Kinds of weights of a PEFT model that the base has not, or that are not the base's any more."""
    before, kinds = dict(base.named_parameters()), ("lora_A", "lora_B", "score")
    after = {name.removeprefix("base_model.model.").replace(".base_layer", ""): p for name, p in trained.named_parameters()}
    changed = [name for name, p in after.items() if name not in before or not torch.equal(before[name], p)]
    assert all(p.abs().max() > 0 for name, p in after.items() if "lora_B" in name)  # they begin at zero
    return {next((kind for kind in kinds if kind in name), name) for name in changed}


def mean_loss(trainer):
    """The mean over all steps."""
    return trainer.state.log_history[-1]["train_loss"]


# Asked


def test_its_size_is_what_the_formula_says(real):
    model, _ = real
    assert sum(cost.parameters(model.config).values()) == model.num_parameters()
    assert cost.training_flops(model.config, 512) == 3 * cost.forward_flops(model.config, 512)


def test_scores_choices_and_texts_are_those_of_a_plain_loop(real):
    model, tokenizer = real
    pairs = [("The capital of France is", " Paris."), ("one -> 1\ntwo ->", " 2"), ("Two and two is ", "four"), ("", "Hello")]
    for (text, rest), found in zip(pairs, ask.score(model, tokenizer, pairs), strict=True):
        whole, start = tokenizer(text + rest)["input_ids"], tokenizer(text)["input_ids"]
        begin = next((i for i, (a, b) in enumerate(zip(start, whole, strict=False)) if a != b), len(start))
        if not begin:
            whole, begin = [tokenizer.bos_token_id, *whole], 1
        with torch.inference_mode():
            logprobs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
        expected = sum(logprobs[i - 1, whole[i]].item() for i in range(begin, len(whole)))
        assert found.logprob == pytest.approx(expected, abs=1e-2 + 1e-4 * abs(expected))
    prompt = Prompt("The capital of France is", " Paris", (" Berlin", " Paris", " a baguette"))
    assert ask.choose(model, tokenizer, [prompt]) == [True]
    written = ask.generate(model, tokenizer, [prompt.text, "One, two, three, four,"], max_new_tokens=3)
    assert written[0].startswith(" Paris") and written[1].startswith(" five")


def test_examples_in_the_prompt_help_with_relations(real):
    assert len(RELATIONS) == 12
    shares = {n: [skills.relation_shots(*real, name, n, 20).value for name in RELATIONS] for n in (0, 4)}
    print({n: round(float(np.mean(values)), 3) for n, values in shares.items()})
    assert np.mean(shares[4]) >= np.mean(shares[0]) + 0.20


def test_every_skill_can_be_measured(real):
    model, tokenizer = real
    grammar = skills.grammar(lambda texts: ask.logprobs(model, tokenizer, texts), 10)
    assert grammar["all"].value > 0.6  # chance is a half
    assert skills.context(model, tokenizer, 20).n == 20
    assert skills.label_draws(model, tokenizer, "category", 4, draws=5, queries=2).shape == (5, 2)
    assert skills.recall(model, tokenizer)["prose"].n == len(RELATIONS["capital"].prose_only)


def test_its_texts_cost_fewer_bits_than_those_of_an_n_gram(real):
    model, tokenizer = real
    texts = [text.text for text in news.reactions(40)]
    counts = NGram(2, tokenizer).fit(texts[:30])
    assert packing.bits_per_byte(model, tokenizer, texts[30:]) < counts.bits_per_byte(texts[30:])
    assert packing.token_count(packing.pack(texts, tokenizer, 1000)) == sum(len(tokenizer(t)["input_ids"]) + 1 for t in texts)


def test_it_answers_and_ends_its_turn(real):
    replies = chat.replies(*real, ["What is the capital of France?", "Say hello."], max_new_tokens=40)
    assert "Paris" in replies[0].text
    turn = [{"role": "user", "content": "What is the capital of France?"}]
    written = real[1].apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    assert chat.as_chat(real[1], turn[0]["content"]) == written
    assert instructions.followed(*real, instructions.of_task("capital", 4))["ends"].n == 4


# Taught


def test_lora_learns_headlines_and_a_stage_keeps_it(real, weights, tmp_path, capsys):
    model, tokenizer = real[0], copy.deepcopy(real[1])
    tokenizer.chat_template = None  # headlines are texts to go on with, and no conversations
    held_out = news.sentiment(200, part="test")
    before = ask.accuracy_by_choice(model, tokenizer, held_out)

    def train():
        shown, untouched = news.sentiment(512), copy.deepcopy(model)
        return finetune.sft(untouched, tokenizer, shown, epochs=1, peft_config=finetune.lora(8), **QUICK).model

    options = {"seconds": 40, "settings": {"examples": 512}, "folder": tmp_path}
    tuned = stages.load_or_train("lora", model, tokenizer, train, **options)
    after = ask.accuracy_by_choice(tuned, tokenizer, held_out)
    assert "training it now" in capsys.readouterr().out
    print(f"headlines: {before} -> {after}")
    assert after.value >= before.value + 0.15
    assert moved(tuned, model) == {"lora_A", "lora_B"}
    again = stages.load_or_train("lora", model, tokenizer, None, **options)
    assert ask.choose(again, tokenizer, held_out[:8]) == ask.choose(tuned, tokenizer, held_out[:8])
    assert scoreboard.record("real", tmp_path / "board.json", sentiment=after)["real"]["sentiment"] == after
    assert stages.fingerprint(model) == weights


def test_full_finetuning_moves_every_matrix_and_what_is_saved_is_read_again(real, weights, tmp_path):
    model, tokenizer = copy.deepcopy(real[0]), real[1]
    shown = instructions.demonstrations(96)
    trainer = finetune.sft(model, tokenizer, shown, epochs=1, **QUICK | {"learning_rate": 5e-5})
    left = [n for (n, a), b in zip(model.named_parameters(), real[0].parameters(), strict=True) if torch.equal(a, b)]
    assert not [name for name in left if "norm" not in name] and math.isfinite(mean_loss(trainer))
    assert stages.fingerprint(real[0]) == weights
    models.save(model, tokenizer, tmp_path / "model", "A card.\n")
    again, question = lm.load(tmp_path / "model"), ["What is the capital of France?"]
    assert chat.replies(*again, question) == chat.replies(model, tokenizer, question)


# Aligned: terse replies are liked, polite ones not

QUESTIONS = tastes.questions(96)


@pytest.fixture(scope="module")
def liked():
    chosen, rejected = ([tastes.reply_in(q, manner) for q in QUESTIONS] for manner in ("terse", "full and polite"))
    return [labels.preference(q.text, c, r) for q, c, r in zip(QUESTIONS, chosen, rejected, strict=True)]


@pytest.fixture(scope="module")
def judge(real, liked):
    return alignment.reward_model(*real, liked, learning_rate=1e-3, epochs=1, progress=False)


def test_a_reward_model_learns_what_is_liked_with_an_adapter_and_a_head(real, weights, judge):
    asked = tastes.questions(40, part="test")

    def margins(scores):
        good, bad = ([Reply(tastes.reply_in(q, manner)) for q in asked] for manner in ("terse", "full and polite"))
        return np.subtract(*(alignment.rewards(scores, real[1], asked, replies) for replies in (good, bad)))

    before, after = margins(alignment.reward_network(*real).eval()), margins(judge)
    losses_of_pairs = [float(np.log1p(np.exp(-each)).mean()) for each in (before, after)]  # Bradley and Terry's
    print(f"reward model: loss {losses_of_pairs}, right in {Rate.of((after > 0).tolist())}")
    assert losses_of_pairs[1] < losses_of_pairs[0] / 2 and (after > 0).mean() > 0.9
    assert moved(judge, real[0]) == {"lora_A", "lora_B", "score"} and stages.fingerprint(real[0]) == weights


def test_reinforcement_begins_at_its_reference_and_follows_the_reward(real, weights, judge):
    model, tokenizer, asked = copy.deepcopy(real[0]), real[1], QUESTIONS[:8]
    trainer = alignment.rloo(
        model, tokenizer, asked, judge, steps=6, batch=16, max_new_tokens=16, learning_rate=2e-3,
        watch={"ended": lambda question, reply: reply.ended}, progress=False,
    )  # fmt: skip
    history = alignment.history(trainer)
    print({name: np.round(values, 2).tolist() for name, values in history.items()})
    assert history["kl"][0] == pytest.approx(0, abs=1e-3)
    # Two steps ask all eight questions. (RLOO's loss is 0 by construction: the reward is what to look at.)
    assert np.mean(history["reward"][-2:]) > np.mean(history["reward"][:2]) + 0.5
    assert moved(trainer.model, real[0]) == {"lora_A", "lora_B"} and stages.fingerprint(real[0]) == weights
    replies = preferences.sampled_replies(trainer.model, tokenizer, asked)
    assert alignment.kl(trainer.model, real[0], tokenizer, asked, replies) > 1


def test_dpo_begins_at_the_logarithm_of_two_and_falls(real, weights, liked):
    idle = alignment.dpo(copy.deepcopy(real[0]), real[1], liked[:16], epochs=1, **QUICK | {"learning_rate": 1e-12})
    assert mean_loss(idle) == pytest.approx(math.log(2), abs=1e-3)
    trainer = alignment.dpo(copy.deepcopy(real[0]), real[1], liked, epochs=1, **QUICK)
    print(f"DPO: {mean_loss(idle):.4f} -> {mean_loss(trainer):.4f} on the way")
    assert mean_loss(trainer) < math.log(2) - 0.2
    assert moved(trainer.model, real[0]) == {"lora_A", "lora_B"} and stages.fingerprint(real[0]) == weights


def test_pairs_are_drawn_labelled_and_compared(real):
    pairs = preferences.pairs(*real, QUESTIONS[:8])
    assert pairs and set(preferences.annotate(pairs, tastes.TASTES["terse"])) <= {"left", "right", "tie"}
    replies = [[Reply(tastes.reply_in(q, manner)) for q in QUESTIONS[:8]] for manner in ("terse", "rambling")]
    assert preferences.win_rate(QUESTIONS[:8], *replies, tastes.TASTES["terse"]).value == 1
