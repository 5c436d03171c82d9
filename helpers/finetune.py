"""Supervised finetuning (SFT) through trl's SFTTrainer: of all parameters, or of LoRA adapters through peft."""

import math
import tempfile
from collections.abc import Sequence

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AttentionInterface,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from trl import SFTConfig, SFTTrainer
from trl.trainer import utils as trl_utils

from helpers import chat, profiles
from helpers.errors import CourseError, require_number, require_some
from helpers.pretrain import ProgressBar, fastest_dtype, keep_memory
from helpers.prompts import Prompt

# Where there is no Triton trl scores every token, those without a label too, and throws their scores away. Leaving them out,
# as it does on GPUs, gives the same loss and takes a fifth less time on a processor. (Without this name trl goes its own way.)
trl_utils._use_triton = lambda device: True


def _attention(module, query, key, value, mask, **options):
    """transformers' own; on a processor in float32, also where the rest is in bfloat16. On texts as short as the course's
    that is two to three times as quick as its fused kernel in bfloat16, and takes a fifth off a training step."""
    if query.device.type != "cpu":
        return sdpa_attention_forward(module, query, key, value, mask, **options)
    with torch.autocast("cpu", enabled=False):
        found, weights = sdpa_attention_forward(module, query.float(), key.float(), value.float(), mask, **options)
    return found.to(query.dtype), weights


AttentionInterface.register("sdpa", _attention)


def row(demonstration: Prompt, tokenizer: PreTrainedTokenizerFast) -> dict:
    """A demonstration in trl's prompt-completion format: as a conversation where the tokenizer has a chat template."""
    if tokenizer.chat_template is None:
        return {"prompt": demonstration.text, "completion": demonstration.answer}
    return {
        "prompt": [{"role": "user", "content": demonstration.text}],
        "completion": [{"role": "assistant", "content": demonstration.answer}],
    }


def lora(r: int = 8, **options) -> LoraConfig:
    """LoRA of rank r on every matrix inside the layers, scaled by alpha / r = 2, unless ``options`` say otherwise."""
    return LoraConfig(**{"r": r, "lora_alpha": 2 * r, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | options)


def sft(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    demonstrations: Sequence[Prompt],
    *,
    learning_rate: float,
    epochs: float = 3,
    batch: int = 32,
    lora: LoraConfig | None = None,
    seed: int = 0,
    callbacks: Sequence[TrainerCallback] = (),
    progress: bool = True,
) -> SFTTrainer:
    """Trains the model on ``text + answer + end of text`` of each demonstration, or where the tokenizer has a chat template on
    the conversation of the two; only the answer and its end are in the loss.

    Without ``lora`` the model itself is changed. With it, ``trainer.model`` is a ``PeftModel`` around it and only the adapter
    is. Returns the trainer; losses are in ``trainer.state.log_history``.

    Raises CourseError for no demonstrations, one that holds a control token or is longer than the model's context, and
    numbers out of range.
    """
    require_some(demonstrations, "demonstrations")
    require_number("epochs", epochs, 1e-6)
    chat.check_plain(tokenizer, [p.text + p.answer for p in demonstrations], "demonstration")
    rows = [row(p, tokenizer) for p in demonstrations]
    check_fits(model, tokenizer, [each["prompt"] + each["completion"] for each in rows])
    data = Dataset.from_list(rows)
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(folder, num_train_epochs=epochs, **common(batch, learning_rate, seed)),
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=lora,
            callbacks=list(callbacks),
        )
        return fit(trainer, progress)


def check_fits(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str | list[dict]]) -> None:
    """Raises CourseError, with the count, for texts or conversations longer than the model's context: trl would cut them off
    or leave them out, and not say so."""

    def written(text: str | list[dict]) -> str:
        return text if isinstance(text, str) else tokenizer.apply_chat_template(text, tokenize=False)

    def contents(text: str | list[dict]) -> int:
        return sum(len(part.encode()) for part in ([text] if isinstance(text, str) else [turn["content"] for turn in text]))

    limit = getattr(model.config, "max_position_embeddings", None) or math.inf
    template = len(written(texts[0]).encode()) - contents(texts[0])
    # A token is a byte at least, so most texts need not be counted. One is for the end of the text.
    long = [written(text) for text in texts if contents(text) + template >= limit - 1]
    too_long = [n for ids in tokenizer(long)["input_ids"] if (n := len(ids) + 1) > limit] if long else []
    if too_long:
        raise CourseError(
            f"{len(too_long)} of {len(texts)} texts are too long (up to {max(too_long):,} tokens; the model takes {limit:,}); "
            "shorten them or leave them out"
        )


def common(batch: int, learning_rate: float, seed: int) -> dict[str, object]:
    """Settings that every trainer of the course shares. Raises CourseError for numbers out of range."""
    require_number("batch", batch, 1)
    require_number("learning_rate", learning_rate, 1e-12)
    require_number("seed", seed, 0, 2**32 - 1)
    return {
        "per_device_train_batch_size": batch,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.05,
        "weight_decay": 0.0,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": profiles.current().device == "cpu",  # of this profile also beside a GPU
        "bf16": fastest_dtype() == torch.bfloat16,
        "activation_checkpointing": False,
        "dataloader_pin_memory": False,
        "logging_steps": 5,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def fit(trainer: Trainer, progress: bool = True) -> Trainer:
    """Trains, and gives the trainer back, its model in evaluation mode and computing in float32."""
    keep_memory()
    trainer.remove_callback(PrinterCallback)
    # Nobody here reads how many operations a step takes, and counting them takes a twentieth of it.
    trainer.floating_point_ops = lambda inputs: 0
    if progress:
        trainer.add_callback(ProgressBar)
    trainer.train()
    # The trainer leaves its mixed precision and its own forward on the model, where a copy of it would go on with them.
    trainer.model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False).eval()
    for module in trainer.model.modules():
        module.__dict__.pop("forward", None)
    return trainer
