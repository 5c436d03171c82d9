"""What all trainings of the course share: the settings, the progress bar, the time of each step."""

import math
import statistics
import time
from collections.abc import Sequence
from itertools import pairwise

import torch
from tqdm import tqdm
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
)

from helpers import compat, runtime
from helpers.errors import CourseError, require_number


class ProgressBar(ProgressCallback):
    """The Trainer's progress bar with the time that is left; the loss stands in the bar instead of
    on a line of its own.

    It is text everywhere. A widget would be gone when the notebook is opened again, or read and not
    run.
    """

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.training_bar, self.current_step = tqdm(total=state.max_steps, dynamic_ncols=True), 0

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if self.training_bar is not None and "loss" in (logs or {}):
            self.training_bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)


class StepTimes(TrainerCallback):
    """Seconds of each training step, in ``self.seconds``."""

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.begun = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        runtime.wait_for_gpu()
        self.seconds.append(time.perf_counter() - self.begun)


class Speed(TrainerCallback):
    """How many steps a second are made: the median of the stretches between two logs (a log waits
    for the GPU), so that neither the first steps nor a checkpoint count."""

    def __init__(self) -> None:
        self.logs: list[tuple[int, float]] = []

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if "loss" in (logs or {}):
            self.logs.append((state.global_step, time.perf_counter()))

    @property
    def steps_per_second(self) -> float | None:
        """None before there are two logs."""
        rates = [(n - m) / (end - begin) for (m, begin), (n, end) in pairwise(self.logs)]
        return statistics.median(rates) if rates else None


def check_fits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str | list[dict]]
) -> None:
    """Raises CourseError, with the count, for texts or conversations longer than the model's
    context: trl would cut them off or leave them out, and not say so."""

    def written(text: str | list[dict]) -> str:
        return (
            text if isinstance(text, str) else tokenizer.apply_chat_template(text, tokenize=False)
        )

    def contents(text: str | list[dict]) -> int:
        return sum(
            len(part.encode())
            for part in ([text] if isinstance(text, str) else [turn["content"] for turn in text])
        )

    limit = getattr(model.config, "max_position_embeddings", None) or math.inf
    template = len(written(texts[0]).encode()) - contents(texts[0])
    # A token is a byte at least, so most texts need not be counted. One is for the end of the text.
    long = [written(text) for text in texts if contents(text) + template >= limit - 1]
    too_long = (
        [n for ids in tokenizer(long)["input_ids"] if (n := len(ids) + 1) > limit] if long else []
    )
    if too_long:
        raise CourseError(
            f"{len(too_long)} of {len(texts)} texts are too long (up to {max(too_long):,} tokens; "
            f"the model takes {limit:,}); shorten them or leave them out"
        )


def settings(
    model: PreTrainedModel,
    batch: int,
    learning_rate: float,
    seed: int,
    dtype: torch.dtype | None = None,
) -> dict[str, object]:
    """What every trainer of the course is set to, on the device of the model. Raises CourseError
    for numbers out of range."""
    require_number("batch", batch, 1)
    require_number("learning_rate", learning_rate, 1e-12)
    require_number("seed", seed, 0, 2**32 - 1)
    dtype = dtype or runtime.fastest_dtype(model.device.type)
    return {
        "per_device_train_batch_size": batch,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0.05,  # below 1: a share of all steps
        "weight_decay": 0.0,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": model.device.type == "cpu",  # also beside a GPU
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "activation_checkpointing": False,
        "dataloader_pin_memory": False,
        "logging_steps": 5,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def logged(trainer: Trainer) -> list[dict[str, float]]:
    """What a trainer has logged of its loss, in the order of the steps."""
    return [row for row in trainer.state.log_history if "loss" in row]


def losses(trainer: Trainer) -> list[float]:
    """The losses that a trainer has logged, in their order."""
    return [row["loss"] for row in logged(trainer)]


def fit(trainer: Trainer, progress: bool = True) -> Trainer:
    """Trains, and gives the trainer back, its model in evaluation mode and computing in float32."""
    runtime.keep_memory()
    trainer.remove_callback(PrinterCallback)
    compat.count_no_operations(trainer)
    if progress:
        trainer.add_callback(ProgressBar)
    judges = [
        judge
        for judge in getattr(trainer, "reward_funcs", ())
        if isinstance(judge, torch.nn.Module)
    ]
    with compat.labels_scored_only(), compat.attention_in_float32(trainer.model, *judges):
        trainer.train()
    trainer.model = compat.as_it_was(trainer).eval()
    return trainer
