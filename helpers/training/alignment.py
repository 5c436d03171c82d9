"""Alignment to preferences through trl, all with LoRA: a reward model, reinforcement learning
against it (RLOO), and DPO.

Bradley and Terry 1952; Christiano et al. 2017 (arXiv:1706.03741); Ouyang et al. 2022
(arXiv:2203.02155); RLOO: Ahmadian et al. 2024 (arXiv:2402.14740); DPO: Rafailov et al. 2023
(arXiv:2305.18290).
"""

import copy
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from datasets import Dataset
from peft import PeftModel
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    TrainerCallback,
)
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, RLOOConfig, RLOOTrainer

from helpers.data import TEMPERATURE, Prompt, Reply
from helpers.errors import CourseError, require_number, require_some
from helpers.lm import ask, chat, encoding
from helpers.training import common, finetune

#: What can be measured of a reply to a question.
Measure = Callable[[Prompt, Reply], float]


def reward_network(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, seed: int = 0
) -> PreTrainedModel:
    """A model that gives a text one score, shape (texts, 1), read where its last token stands: the
    layers of a language model under a score head of random weights. The weights of the layers are
    the model's own, and not copied."""
    config = copy.deepcopy(model.config)
    config.num_labels, config.pad_token_id = 1, tokenizer.pad_token_id
    torch.manual_seed(seed)
    judge = AutoModelForSequenceClassification.from_config(config, dtype=model.dtype).to(
        model.device
    )
    layers, own = (getattr(m, m.base_model_prefix) for m in (model, judge))
    own.load_state_dict(layers.state_dict(), assign=True)
    return judge


def reward_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    preferences: Sequence[dict],
    *,
    learning_rate: float | None = None,
    epochs: float | None = None,
    r: int = 16,
    seed: int = 0,
    progress: bool = True,
) -> PeftModel:
    """A reward model: a LoRA adapter and a score head on the layers of ``model``, trained on
    preferences in trl's conversational format (``prompt``, ``chosen``, ``rejected``). ``model`` is
    not changed, nor copied: whoever changes its weights later changes the scores.

    Unless ``epochs`` and ``learning_rate`` say otherwise, few preferences are passed more often, up
    to six times, and at a higher rate: what suits models of a few million parameters. Raises
    CourseError for no preferences (ties are none), and for replies longer than the model's context.
    """
    check_preferences(model, tokenizer, preferences)
    epochs = epochs or min(6, max(2, 1600 // len(preferences)))
    learning_rate = learning_rate or (5e-3 if len(preferences) < 400 else 3e-3)
    settings = common.settings(model, 16, learning_rate, seed) | {"warmup_steps": 0.2}
    with tempfile.TemporaryDirectory() as folder:
        trainer = RewardTrainer(
            model=reward_network(model, tokenizer, seed),
            args=RewardConfig(folder, num_train_epochs=epochs, **settings),
            train_dataset=Dataset.from_list(list(preferences)),
            processing_class=tokenizer,
            peft_config=finetune.lora(r, task_type="SEQ_CLS"),
        )
        return common.fit(trainer, progress).model


def check_preferences(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, preferences: Sequence[dict]
) -> None:
    """Raises CourseError for no preferences, a prompt that holds a control token, and a reply that
    with its prompt is longer than the model's context: trl would leave it out, or cut it off, and
    not say so."""
    require_some(preferences, "preferences (ties are left out)")
    chat.check_plain(
        tokenizer, [row["prompt"][-1]["content"] for row in preferences], "the prompt of preference"
    )
    whole = [row["prompt"] + row[side] for row in preferences for side in ("chosen", "rejected")]
    common.check_fits(model, tokenizer, whole)


@torch.no_grad()
def rewards(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[Prompt],
    replies: Sequence[Reply],
) -> np.ndarray:
    """The score of each reply by a reward model, shape (replies,). Each is read as a turn that ends
    with its last word."""
    require_some(replies, "replies")
    rows = chat.exchange_ids(
        tokenizer, [q.text for q in questions], [reply.text for reply in replies]
    )
    encoding.check_length(model, rows)
    scores = np.empty(len(rows), dtype=np.float32)
    for places in np.array_split(np.argsort([len(row) for row in rows]), math.ceil(len(rows) / 64)):
        # of similar length, so that little is padded
        ids, mask = encoding.padded([rows[i] for i in places], tokenizer.pad_token_id, "right")
        scores[places] = (
            model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device))
            .logits[:, 0]
            .float()
            .cpu()
        )
    return scores


def rloo(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[Prompt],
    judge: PreTrainedModel,
    *,
    beta: float = 0.05,
    learning_rate: float = 1e-3,
    steps: int = 30,
    batch: int = 64,
    generations: int = 4,
    max_new_tokens: int = 32,
    r: int = 16,
    seed: int = 0,
    watch: Mapping[str, Measure] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    progress: bool = True,
) -> RLOOTrainer:
    """Reinforcement learning of a LoRA adapter against the scores of ``judge``, less ``beta`` times
    the KL divergence from the model with the adapter off. Each step takes ``batch`` replies,
    ``generations`` to each question.

    What ``watch`` measures of the replies on the way, name to measure, is logged beside the reward
    and changes nothing. Returns the trainer: ``trainer.model`` is the policy, a ``PeftModel``
    around ``model``; ``history(trainer)`` holds rewards, KL, entropy and lengths. Raises
    CourseError for fewer questions than a step takes, numbers out of range, and questions that hold
    a control token or leave no room for a reply in the model's context.
    """
    for name, value, low in (
        ("steps", steps, 1),
        ("generations", generations, 2),
        ("beta", beta, 0),
        ("r", r, 1),
    ):
        require_number(name, value, low)
    require_number("batch", batch, generations)
    if batch % generations:
        raise CourseError(
            f"a batch of {batch} replies is not divisible into groups of {generations}; give a "
            "multiple"
        )
    if len(questions) < batch // generations:
        raise CourseError(
            f"{len(questions)} questions are fewer than the {batch // generations} of one step "
            f"({batch} replies, {generations} to each); give more questions, or a smaller batch"
        )
    chat.check_plain(tokenizer, [q.text for q in questions], "question")
    encoding.check_length(
        model, chat.turn_ids(tokenizer, [q.text for q in questions]), max_new_tokens
    )
    rows = [
        {"prompt": [{"role": "user", "content": q.text}], "number": number}
        for number, q in enumerate(questions)
    ]
    end = tokenizer.eos_token_id
    watchers = [_watcher(name, measure, questions, end) for name, measure in (watch or {}).items()]
    with tempfile.TemporaryDirectory() as folder:
        arguments = RLOOConfig(
            folder,
            **common.settings(model, batch, learning_rate, seed) | {"logging_steps": 1},
            max_steps=steps,
            num_generations=generations,
            max_completion_length=max_new_tokens,
            beta=beta,
            temperature=TEMPERATURE,
            reward_weights=[1.0] + [0.0] * len(watchers),
        )
        trainer = RLOOTrainer(
            model=model,
            reward_funcs=[judge, *watchers],
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            reward_processing_classes=[tokenizer] + [None] * len(watchers),
            peft_config=finetune.lora(r),
            callbacks=list(callbacks),
        )
        return common.fit(trainer, progress)


def kl(
    policy: PreTrainedModel,
    reference: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[Prompt],
    replies: Sequence[Reply],
) -> float:
    """KL divergence of a policy from a reference in nats per reply: the mean log ratio over replies
    that the policy drew."""
    texts = [reply.text + tokenizer.eos_token * reply.ended for reply in replies]
    pairs = list(zip(chat.turn_ids(tokenizer, [q.text for q in questions]), texts, strict=True))
    ours, theirs = (
        ask.score(model, tokenizer, pairs, temperature=TEMPERATURE) for model in (policy, reference)
    )
    return float(np.mean([a.logprob - b.logprob for a, b in zip(ours, theirs, strict=True)]))


def _watcher(name: str, measure: Measure, questions: Sequence[Prompt], end: int) -> Callable:
    """The measure in the form of trl's reward functions."""

    def watcher(completions, completion_ids, number, **_) -> list[float]:
        texts = [turn[0]["content"] for turn in completions]
        ended = [len(ids) > 0 and ids[-1] == end for ids in completion_ids]
        return [
            float(measure(questions[i], Reply(text, whole)))
            for i, text, whole in zip(number, texts, ended, strict=True)
        ]

    watcher.__name__ = name
    return watcher


def history(trainer: RLOOTrainer) -> dict[str, list[float]]:
    """What happened at each step: ``reward``, ``kl`` (nats per reply, from the model with the
    adapter off), ``entropy`` (nats per token), ``length`` (tokens), and everything that was
    watched, each the mean over the replies of the step.

    trl logs KL per token, and with ``beta=0``, where it keeps no reference, none: then ``kl`` is
    not a number.
    """
    steps = [row for row in trainer.state.log_history if "reward" in row]
    means = {
        "reward": [row["reward"] for row in steps],
        "kl": [row.get("kl", math.nan) * row["completions/mean_length"] for row in steps],
        "entropy": [row["entropy"] for row in steps],
        "length": [row["completions/mean_length"] for row in steps],
    }
    for name in trainer.reward_func_names[1:]:
        means[name] = [row[f"rewards/{name}/mean"] for row in steps]
    return means


def dpo(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    preferences: Sequence[dict],
    *,
    beta: float = 0.1,
    learning_rate: float = 3e-4,
    epochs: float = 2,
    batch: int = 16,
    r: int = 16,
    seed: int = 0,
    progress: bool = True,
) -> DPOTrainer:
    """Direct preference optimisation of a LoRA adapter, without a reward model; the reference is
    the model with the adapter off. ``beta`` is reward per nat of log ratio. The trainer's
    ``state.log_history`` holds ``loss``, ln 2 before the first step, and ``rewards/accuracies``.
    Raises CourseError as ``reward_model`` does, and for numbers out of range."""
    check_preferences(model, tokenizer, preferences)
    require_number("beta", beta, 0)
    require_number("epochs", epochs, 1e-6)
    with tempfile.TemporaryDirectory() as folder:
        trainer = DPOTrainer(
            model=model,
            args=DPOConfig(
                folder,
                num_train_epochs=epochs,
                beta=beta,
                **common.settings(model, batch, learning_rate, seed),
            ),
            train_dataset=Dataset.from_list(list(preferences)),
            processing_class=tokenizer,
            peft_config=finetune.lora(r),
        )
        return common.fit(trainer, progress)
