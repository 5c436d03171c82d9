"""Checkpoints: whole or not there at all, the newest whole one taken, and the Trainer that saves
them."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer, TrainerCallback

from helpers import files
from helpers.errors import CourseError
from helpers.training import processes


def saved(folder: Path) -> list[Path]:
    """Checkpoints in a folder, the latest last."""
    numbered = [
        path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal()
    ]
    return sorted(numbered, key=lambda path: int(path.name.rpartition("-")[2]))


def latest(folder: Path, or_none: bool = False) -> Path | None:
    """The latest whole checkpoint in a folder, None if there is none at all. A damaged one is named
    and passed over: it is put beside the folder. If all are damaged, CourseError, or with
    ``or_none`` none.

    A bucket moves a folder file by file. What such a move has left half done is put aside too.
    """
    every = saved(folder)
    damage = {checkpoint: files.damage(checkpoint) for checkpoint in every}
    whole = [checkpoint for checkpoint in every if damage[checkpoint] is None]
    if every and not whole and not or_none:
        raise CourseError(
            f"{every[0]}: a damaged checkpoint ({damage[every[0]]}); run the command without "
            "--resume"
        )
    halves = {path: files.foreign(path) for path in folder.glob(".checkpoint-*") if path.is_dir()}
    for path, reason in (damage | halves).items():
        if reason:
            _put_aside(path, reason)
    return whole[-1] if whole else None


def _put_aside(checkpoint: Path, reason: str) -> None:
    folder = checkpoint.parent
    aside = folder.with_name(f"{folder.name}.damaged-{checkpoint.name}")
    while aside.exists():  # it was damaged before, and made anew
        aside = aside.with_name(f"{aside.name}-again")
    try:
        checkpoint.rename(aside)
    except OSError as error:
        raise files.cannot_write(aside, error) from None
    print(f"{checkpoint}: a damaged checkpoint ({reason}) is passed over, and lies in {aside}")


class SaveAsAsked(TrainerCallback):
    """Saves as often as this command was told to, and not as the one that it goes on with: that is
    what the state in a checkpoint says."""

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        state.save_steps = args.save_steps


def state_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The state of an optimizer, or of each of its ``parts``, as named tensors, gathered for the
    first process: all have to call it."""
    return processes.gathered(
        (f"{part}.{parameter}.{name}", tensor)
        for part, one in enumerate(getattr(optimizer, "parts", [optimizer]))
        for parameter, state in one.state_dict()["state"].items()
        for name, tensor in state.items()
    )


def load_state_tensors(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """The inverse of ``state_tensors``: all processes have the tensors, and each keeps copies of
    its share."""
    whole = optimizer.state_dict()
    parameters = [
        [parameter for group in one.param_groups for parameter in group["params"]]
        for one in getattr(optimizer, "parts", [optimizer])
    ]
    for key, tensor in tensors.items():
        part, parameter, name = key.split(".")
        state = whole.get("parts", [whole])[int(part)]["state"].setdefault(int(parameter), {})
        # A copy: a file stays mapped as long as its own tensors live, and what is mapped cannot be
        # removed on Windows.
        state[name] = processes.share(tensor.clone(), parameters[int(part)][int(parameter)])
    optimizer.load_state_dict(whole)


class SafeTrainer(Trainer):
    """transformers 5.24's Trainer saves the optimizer and the state of the dice by pickle, and file
    by file. These checkpoints appear whole or not at all, hold safetensors and JSON only, and are
    the same for any number of processes, sharded or not."""

    def __init__(self, *args, make_optimizer: Callable[[], torch.optim.Optimizer], **options):
        super().__init__(*args, **options)
        self.make_optimizer = make_optimizer

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = self.make_optimizer()
        return self.optimizer

    def bare_model(self) -> torch.nn.Module:
        """The model by its own names, also when it is compiled."""
        return self.accelerator.unwrap_model(self.model, keep_torch_compile=False)

    def _save_checkpoint(self, model, trial) -> None:
        weights = processes.gathered(self.bare_model().named_parameters())
        state = state_tensors(self.optimizer.optimizer)
        if not self.args.should_save:  # one of several processes does it for all
            return
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        earlier = saved(folder.parent)
        with files.atomic_folder(folder, "checkpoint") as beside:
            self.bare_model().save_pretrained(beside, state_dict=weights)
            save_file(state, beside / "optimizer.safetensors")
            scaler = self.accelerator.scaler  # of float16
            rates = {
                "last_lr": self.lr_scheduler.get_last_lr(),
                "last_epoch": self.lr_scheduler.last_epoch,
                "scaler": scaler.state_dict() if scaler else None,
            }
            (beside / "scheduler.json").write_text(json.dumps(rates), encoding="utf-8")
            self.state.save_to_json(str(beside / "trainer_state.json"))
        for old in earlier[:-1]:  # one is kept, should the new one be damaged
            try:
                files.remove(old, "checkpoint")
            except CourseError as error:  # no reason to stop
                print(error)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None) -> None:
        if not self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        weights = load_file(Path(resume_from_checkpoint) / "model.safetensors")
        processes.load_weights(self.bare_model(), weights)

    def _load_optimizer_and_scheduler(self, checkpoint) -> None:
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        load_state_tensors(self.optimizer.optimizer, load_file(folder / "optimizer.safetensors"))
        saved_rates = json.loads((folder / "scheduler.json").read_text(encoding="utf-8"))
        # With float16 a step may have been left out, of which the schedule knows nothing.
        steps = saved_rates.get("last_epoch", self.state.global_step)
        self.lr_scheduler.last_epoch = self.lr_scheduler._step_count = steps
        for group, rate in zip(self.optimizer.param_groups, saved_rates["last_lr"], strict=True):
            group["lr"] = rate
        if self.accelerator.scaler and saved_rates.get("scaler"):
            self.accelerator.scaler.load_state_dict(saved_rates["scaler"])

    def _load_rng_state(self, checkpoint) -> None:
        """Nothing to load: the models have no dropout, and the order of the blocks follows from the
        seed."""
