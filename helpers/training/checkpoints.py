"""Checkpoints: whole or not there at all, the newest whole one taken, and the Trainer that saves
them."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer

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
    ``or_none`` none."""
    every = saved(folder)
    for checkpoint in reversed(every):
        damage = files.damage(checkpoint)
        if damage is None:
            return checkpoint
        aside = folder.with_name(f"{folder.name}.damaged-{checkpoint.name}")
        while aside.exists():  # it was damaged before, and made anew
            aside = aside.with_name(f"{aside.name}-again")
        if checkpoint == every[0] and not or_none:
            raise CourseError(
                f"{checkpoint}: a damaged checkpoint ({damage}); run the command without --resume"
            )
        try:
            checkpoint.rename(aside)
        except OSError as error:
            raise files.cannot_write(aside, error) from None
        print(f"{checkpoint}: a damaged checkpoint ({damage}) is passed over, and lies in {aside}")
    return None


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
            rates = {"last_lr": self.lr_scheduler.get_last_lr()}
            (beside / "scheduler.json").write_text(json.dumps(rates), encoding="utf-8")
            self.state.save_to_json(str(beside / "trainer_state.json"))
        for old in earlier[:-1]:  # one is kept, should the new one be damaged
            files.remove(old, "checkpoint")

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
        self.lr_scheduler.last_epoch = self.lr_scheduler._step_count = self.state.global_step
        rates = json.loads((folder / "scheduler.json").read_text(encoding="utf-8"))["last_lr"]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def _load_rng_state(self, checkpoint) -> None:
        """Nothing to load: the models have no dropout, and the order of the blocks follows from the
        seed."""
