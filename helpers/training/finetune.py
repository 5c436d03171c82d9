"""Supervised finetuning (SFT) through trl's SFTTrainer: of all parameters, or of LoRA adapters
through peft."""

import tempfile
from collections.abc import Sequence

from datasets import Dataset
from peft import LoraConfig
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTConfig, SFTTrainer

from helpers.data import Prompt
from helpers.errors import require_number, require_some
from helpers.lm import chat
from helpers.training.common import check_fits, fit, settings


def trl_row(demonstration: Prompt, tokenizer: PreTrainedTokenizerFast) -> dict:
    """A demonstration in trl's prompt-completion format: as a conversation where the tokenizer has
    a chat template."""
    if tokenizer.chat_template is None:
        return {"prompt": demonstration.text, "completion": demonstration.answer}
    return {
        "prompt": [{"role": "user", "content": demonstration.text}],
        "completion": [{"role": "assistant", "content": demonstration.answer}],
    }


def lora(r: int = 8, **options) -> LoraConfig:
    """LoRA of rank r on every matrix inside the layers, scaled by alpha / r = 2, unless ``options``
    say otherwise."""
    return LoraConfig(
        **{"r": r, "lora_alpha": 2 * r, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
        | options
    )


def sft(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    demonstrations: Sequence[Prompt],
    *,
    learning_rate: float,
    epochs: float = 3,
    batch: int = 32,
    peft_config: LoraConfig | None = None,
    seed: int = 0,
    callbacks: Sequence[TrainerCallback] = (),
    progress: bool = True,
) -> SFTTrainer:
    """Trains the model on ``text + answer + end of text`` of each demonstration, or where the
    tokenizer has a chat template on the conversation of the two; only the answer and its end are in
    the loss.

    Without ``peft_config`` the model itself is changed, in float32: bfloat16 would round small
    steps away. With it, ``trainer.model`` is a ``PeftModel`` around it and only the adapter is.
    Returns the trainer; losses are in ``trainer.state.log_history``.

    Raises CourseError for no demonstrations, one that holds a control token or is longer than the
    model's context, and numbers out of range.
    """
    require_some(demonstrations, "demonstrations")
    require_number("epochs", epochs, 1e-6)
    chat.check_plain(tokenizer, [p.text + p.answer for p in demonstrations], "demonstration")
    rows = [trl_row(p, tokenizer) for p in demonstrations]
    check_fits(model, tokenizer, [each["prompt"] + each["completion"] for each in rows])
    data = Dataset.from_list(rows)
    if peft_config is None:
        model.float()
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                folder, num_train_epochs=epochs, **settings(model, batch, learning_rate, seed)
            ),
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=peft_config,
            callbacks=list(callbacks),
        )
        return fit(trainer, progress)
