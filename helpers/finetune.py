"""Supervised finetuning (SFT) through trl's SFTTrainer: of all parameters, or of LoRA adapters through peft."""

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
        return {"prompt": tokenizer.bos_token + demonstration.text, "completion": demonstration.answer}
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
    """
    data = Dataset.from_list([row(p, tokenizer) for p in demonstrations])
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


def common(batch: int, learning_rate: float, seed: int) -> dict[str, object]:
    """Settings that every trainer of the course shares."""
    return {
        "per_device_train_batch_size": batch,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.05,
        "weight_decay": 0.0,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": not torch.cuda.is_available(),
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
