"""A training from random weights through the Trainer, with checkpoints that can be gone on from."""

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from datasets import Dataset
from torch.distributed.fsdp import MixedPrecisionPolicy
from transformers import (
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from helpers import runtime
from helpers.errors import CourseError, require_number, require_some
from helpers.lm import models
from helpers.training import checkpoints, common, processes
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


class DivergedError(processes.AgreedError):
    """A training whose loss is no number any more, or far above that of a model that knows
    nothing."""


class StoppedError(processes.AgreedError):
    """A training that was asked to stop, and has saved how far it came."""

    patience = 0  # torchrun waits for each of them


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


def share_of(batch: int, device_batch: int | None = None) -> int:
    """How many of the blocks of a step a process computes at once. CourseError if the processes
    cannot share them evenly, and for a number out of range."""
    require_number("batch", batch, 1)
    shared, at_once = processes.count(), device_batch or batch // processes.count()
    if at_once == 0 or batch % (at_once * shared):
        raise CourseError(
            f"--batch {batch}: {shared} processes with {at_once} blocks at once do not share it "
            "evenly; change it, their number, or --device-batch"
        )
    return at_once


def pretrain(
    size: str,
    blocks: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    seed: int = 0,
    batch: int = RECIPE["batch"],
    device_batch: int | None = None,
    learning_rate: float = RECIPE["learning_rate"],
    optimizer: str = "muon",
    epochs: float = 1,
    resume: bool = False,
    or_begin: bool = False,
    save_steps: int | None = None,
    device: str = "cpu",
    dtype: torch.dtype | None = None,
    sharded: bool = False,
    compiled: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
    progress: bool = True,
) -> Trainer:
    """Trains a model of this size from random weights, ``epochs`` times over ``blocks``, and
    returns its Trainer.

    ``batch`` blocks make a step, however many processes share them (torchrun, DDP); each computes
    ``device_batch`` of them at once (all of its own if None), and accumulates the gradients.

    ``folder`` takes the checkpoints, one every ``save_steps`` steps (none if None). ``resume`` goes
    on from the latest that is whole; if all are damaged, CourseError, or with ``or_begin`` from the
    start.

    ``dtype`` is what matrices are multiplied in, by default the faster; weights and optimizer stay
    in float32. ``sharded``: each process keeps its share of weights and optimizer (FSDP2, between
    GPUs) instead of all (DDP). ``compiled``: by torch.compile, half a minute for steps in bfloat16
    a quarter quicker.

    The model is ``trainer.model`` (if sharded, in the first process only), the losses
    ``trainer.state.log_history``. Raises CourseError for no blocks, numbers out of range, an
    unknown optimizer, and a run that diverges; StoppedError for one that was stopped by SIGTERM,
    after a checkpoint.
    """
    require_some(blocks, "blocks to train on")
    require_number("epochs", epochs, 1e-12)
    at_once = share_of(batch, device_batch)
    runtime.keep_memory()
    latest = None
    if resume:
        latest = processes.by_first(lambda: str(checkpoints.latest(folder, or_begin) or "")) or None
        processes.agreed(lambda: _check_seen(latest))
    torch.manual_seed(seed)
    model = LlamaForCausalLM(models.config_for(size, tokenizer)).to(device)
    if device == "cpu":
        # With short blocks a third faster there than the fused kernel.
        model.set_attn_implementation("eager")
    dtype = dtype or runtime.fastest_dtype(device)
    settings = common.settings(model, at_once, learning_rate, seed, dtype) | {
        "gradient_accumulation_steps": batch // (at_once * processes.count()),
        "ddp_find_unused_parameters": False,
        "num_train_epochs": epochs,
        "warmup_steps": RECIPE["warmup"],
        "logging_steps": 10,
        "logging_nan_inf_filter": False,  # a loss that is no number is to be seen
        "torch_compile": compiled,
    }
    if compiled:
        torch.compiler.reset()  # having met other shapes, it would write for any, and slower
    if sharded:
        settings |= {"fsdp": True, "fsdp_config": {"cpu_ram_efficient_loading": False}}
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
    trainer = checkpoints.SafeTrainer(
        model=model,
        args=TrainingArguments(str(folder), **settings),
        train_dataset=blocks,
        data_collator=Collator(tokenizer),
        processing_class=tokenizer,
        make_optimizer=optimizers[optimizer],
        callbacks=[*callbacks, StopAtDivergence(len(tokenizer))],
    )
    if sharded:
        # accelerate would round the sums of gradients, and the number of tokens that a loss is
        # divided by, to this dtype too: a loss a third of a percent off.
        policy = MixedPrecisionPolicy(dtype, torch.float32, cast_forward_inputs=False)
        trainer.accelerator.state.fsdp_plugin.mixed_precision_policy = policy
    stop, listening = processes.StopOnSignal(), nullcontext()
    if save_steps:
        trainer.add_callback(stop)
        trainer.add_callback(checkpoints.SaveAsAsked)
        listening = stop.listening()
    trainer.remove_callback(PrinterCallback)
    if progress and processes.is_first():
        trainer.add_callback(common.ProgressBar)
    with listening:
        trainer.train(resume_from_checkpoint=latest)
    if stop.stopped:
        raise StoppedError(
            f"{folder}: stopped at step {trainer.state.global_step} as asked, and saved; go on "
            "with --resume"
        )
    if sharded:
        weights = processes.gathered(trainer.bare_model().named_parameters())
    if sharded and processes.is_first():
        trainer.model = LlamaForCausalLM(models.config_for(size, tokenizer)).to(device)
        processes.load_weights(trainer.model, weights)
    trainer.model.eval()
    return trainer


def _check_seen(checkpoint: str | None) -> None:
    if checkpoint and not Path(checkpoint).is_dir():
        raise CourseError(
            f"{checkpoint}: not seen here; --out has to be in a place that all machines share"
        )
