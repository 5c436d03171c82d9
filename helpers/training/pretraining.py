"""A training from random weights through the Trainer, with checkpoints that can be gone on from."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from datasets import Dataset
from safetensors import SafetensorError, safe_open
from transformers import (
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from helpers import compat, runtime
from helpers.compat import checkpoints
from helpers.errors import CourseError, require_number, require_some
from helpers.lm import models
from helpers.training import common
from helpers.training.muon import MuonAdamW
from helpers.training.packing import Collator

#: What the shipped models were trained with, unless the command says otherwise.
RECIPE = {
    "tokens": 14_000_000,
    "batch": 16,
    "learning_rate": 6e-3,
    "warmup": 0.02,
    "weight_decay": 0.05,
}


class DivergedError(CourseError):
    """A training whose loss is no number any more, or far above that of a model that knows
    nothing."""


class StopAtDivergence(TrainerCallback):
    """Raises DivergedError as soon as it is seen."""

    def __init__(self, vocabulary: int):
        self.limit = 2 * math.log(vocabulary)

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        loss = float((logs or {}).get("loss", (logs or {}).get("train_loss", 0.0)))
        if not loss <= self.limit:
            raise DivergedError(
                f"the run diverged: its loss is {loss:.4g} at step {state.global_step}, where "
                f"knowing nothing costs {self.limit / 2:.1f}; nothing was saved, try a lower "
                f"--learning-rate than {args.learning_rate:g}"
            )


def latest_checkpoint(folder: Path) -> Path | None:
    """The latest checkpoint in a folder, None if there is none. Raises CourseError, naming the
    file, for a damaged one."""
    saved = checkpoints(folder)
    for name in (
        ("model.safetensors", "optimizer.safetensors", "scheduler.json", "trainer_state.json")
        if saved
        else ()
    ):
        file = saved[-1] / name
        try:
            if file.suffix == ".json":
                json.loads(file.read_text(encoding="utf-8"))
            else:
                with safe_open(file, "pt"):  # compares the length of the file with its head
                    pass
        except (OSError, ValueError, SafetensorError) as error:
            raise CourseError(
                f"{file}: a damaged checkpoint ({error}); run the command without --resume"
            ) from None
    return saved[-1] if saved else None


def settings_of(folder: Path) -> dict:
    """What the run in this folder was started with. Raises CourseError, naming the file, where it
    cannot be read."""
    file = folder / "settings.json"
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(
            f"{file}: damaged or missing ({error}); run the command without --resume"
        ) from None


def pretrain(
    size: str,
    blocks: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    seed: int = 0,
    batch: int = RECIPE["batch"],
    learning_rate: float = RECIPE["learning_rate"],
    optimizer: str = "muon",
    epochs: float = 1,
    resume: bool = False,
    save_steps: int | None = None,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    progress: bool = True,
) -> Trainer:
    """Trains a model of this size from random weights, ``epochs`` times over ``blocks``, and
    returns its Trainer.

    ``folder`` takes the checkpoints, one every ``save_steps`` steps (none if None). ``dtype`` is
    what matrices are multiplied in, by default the faster; weights and optimizer stay in float32.
    The model is ``trainer.model``, the losses ``trainer.state.log_history``. Raises CourseError for
    no blocks, numbers out of range, an unknown optimizer, and a run that diverges.
    """
    require_some(blocks, "blocks to train on")
    require_number("epochs", epochs, 1e-12)
    runtime.keep_memory()
    latest = latest_checkpoint(folder) if resume else None
    torch.manual_seed(seed)
    model = LlamaForCausalLM(models.config_for(size, tokenizer)).to(device)
    if device == "cpu":
        # With short blocks a third faster there than the fused kernel.
        model.set_attn_implementation("eager")
    dtype = dtype or runtime.fastest_dtype(device)
    settings = common.settings(model, batch, learning_rate, seed, dtype) | {
        "num_train_epochs": epochs,
        "warmup_steps": RECIPE["warmup"],
        "logging_steps": 10,
        "logging_nan_inf_filter": False,  # a loss that is no number is to be seen
    }
    if save_steps:
        settings |= {"save_strategy": "steps", "save_steps": save_steps}
    optimizers = {
        "muon": lambda: MuonAdamW(model, learning_rate, RECIPE["weight_decay"], dtype),
        "adamw": lambda: torch.optim.AdamW(
            model.parameters(), learning_rate, betas=(0.9, 0.98), fused=True
        ),
    }
    if optimizer not in optimizers:
        raise CourseError(
            f"unknown optimizer {optimizer!r}; the optimizers are {', '.join(optimizers)}"
        )
    trainer = compat.SafeTrainer(
        model=model,
        args=TrainingArguments(str(folder), **settings),
        train_dataset=blocks,
        data_collator=Collator(tokenizer),
        processing_class=tokenizer,
        optimizers=(optimizers[optimizer](), None),
        callbacks=[*callbacks, StopAtDivergence(len(tokenizer))],
    )
    trainer.remove_callback(PrinterCallback)
    if progress:
        trainer.add_callback(common.ProgressBar)
    trainer.train(resume_from_checkpoint=str(latest) if latest else None)
    trainer.model.eval()
    return trainer
