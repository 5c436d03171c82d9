"""Several processes as one training, as torchrun starts them: who is who, and what all agree on.

torchrun puts RANK and WORLD_SIZE into the environment; the Trainer finds them there by itself and
trains by DDP. Without torchrun there is one process, and nothing here does anything.
"""

import json
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import torch
from torch import distributed
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import TrainerCallback

import helpers
from helpers.errors import CourseError

Value = TypeVar("Value")
#: What a launcher of several processes leaves in the environment, and what launchers by MPI do.
LAUNCHERS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "LOCAL_WORLD_SIZE")
BY_MPI = ("OMPI_COMM_WORLD_", "MV2_COMM_WORLD_", "PMI_", "MPI_LOCAL")


class AgreedError(CourseError):
    """An error that concerns all processes, and that most of them raise: the first says it for all.
    ``patience``: for how many seconds the others leave it time for that, and to clear away, before
    they speak too; with 0 they say nothing."""

    patience = 60


def stand_alone() -> None:
    """Makes a process that no launcher has started one of its own: what a launcher left in its
    environment goes, or transformers would wait for the others; and it takes one GPU of several."""
    helpers.one_gpu()
    for variable in [name for name in os.environ if name in LAUNCHERS or name.startswith(BY_MPI)]:
        del os.environ[variable]


def by_torchrun() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def count() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1")) if by_torchrun() else 1


def is_first() -> bool:
    """Whether this is the one that writes files and speaks."""
    return os.environ.get("RANK", "0") == "0"


def is_first_here() -> bool:
    """Whether this is the first of its machine."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


@contextmanager
def together(device: str = "cpu") -> Iterator[None]:
    """Within, the processes can hear each other: by gloo between processors, NCCL between GPUs.

    A process that fails says why and ends at once: an end in good order would wait for the others,
    and they are waiting for this one.
    """
    if count() == 1:
        yield
        return
    # torchrun 2.13 keeps one store through all restarts: without a name of its own each attempt
    # would find the addresses of processes that are dead.
    store, number, every = next(rendezvous("env://"))
    store = distributed.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    backend = "gloo" if device == "cpu" else "cpu:gloo,cuda:nccl"
    distributed.init_process_group(backend, store=store, rank=number, world_size=every)
    try:
        yield
    except CourseError as error:
        if isinstance(error, AgreedError) and not is_first():
            if not error.patience:
                _end(1)
            time.sleep(error.patience)  # torchrun ends all when one ends
        print(f"error: {error}", file=sys.stderr)
        _end(1)
    except BaseException:  # whatever it is, the others must not wait for it
        traceback.print_exc()
        _end(1)
    distributed.destroy_process_group()


def leave() -> NoReturn:
    """Ends this process well, and at once, when all have come here: torch 2.13 may abort when it
    takes a sharded model apart, and torchrun would call the whole run failed."""
    any_of(False)
    _end(0)


def _end(status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def all_said(what: object) -> list:
    """What each process says (anything that JSON can hold), in the order of their ranks. (In
    tensors: torch's own way to send objects is pickle.)"""
    if count() == 1:
        return [what]
    said = json.dumps(what).encode()
    lengths = [torch.zeros(1, dtype=torch.long) for _ in range(count())]
    distributed.all_gather(lengths, torch.tensor([len(said)]))
    longest = int(max(lengths))
    texts = [torch.zeros(longest, dtype=torch.uint8) for _ in lengths]
    distributed.all_gather(texts, torch.tensor(list(said.ljust(longest)), dtype=torch.uint8))
    return [json.loads(bytes(text.tolist())) for text in texts]


def by_first(action: Callable[[], str | None]) -> str | None:
    """What the first process does, and what comes of it in all of them: its text, or its
    CourseError, as AgreedError if there are several."""
    if count() == 1:
        return action()
    text = error = None
    if is_first():
        try:
            text = action()
        except CourseError as raised:
            error = str(raised)
    text, error = all_said((text, error))[0]
    if error is not None:
        raise AgreedError(error)
    return text


def agreed(action: Callable[[], Value]) -> Value:
    """What an action gives that all processes do, each on its machine. The CourseError of one, the
    first of several, is raised by all, as AgreedError."""
    if count() == 1:
        return action()
    value = error = None
    try:
        value = action()
    except AgreedError:
        raise
    except CourseError as raised:
        error = str(raised) if is_first() else f"{raised} (on {platform.node()})"
    if errors := [said for said in all_said(error) if said]:
        raise AgreedError(errors[0])
    return value


def any_of(flag: bool) -> bool:
    """Whether the flag is up in any of the processes; all get the same answer."""
    if count() == 1:
        return flag
    raised = torch.tensor([int(flag)])
    distributed.all_reduce(raised, distributed.ReduceOp.MAX)
    return bool(raised)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that is cut into shares (FSDP2), gathered from all processes; any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def share(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Of a tensor that every process has whole, the share of this one, cut as ``like`` is."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    tensor = tensor.to(like.device)
    return distribute_tensor(tensor, like.device_mesh, like.placements, src_data_rank=None)


def gathered(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Tensors by name, whole and in the memory of the processor, for the first process. All have to
    call it; the others get nothing, so that none needs room for more than one at a time."""
    kept = {}
    for name, tensor in tensors:
        all_of_it = whole(tensor.detach())
        if is_first():
            kept[name] = all_of_it.cpu()
    return kept


@torch.no_grad()
def load_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Into each parameter the tensor of its name, or the share of this process. KeyError for a name
    that is not there."""
    for name, parameter in model.named_parameters():
        parameter.copy_(share(weights[name], parameter))


class StopOnSignal(TrainerCallback):
    """On SIGTERM, which a cloud sends before it takes a machine away, saves a checkpoint and stops
    after the step that is being made. The processes agree on it, since a signal reaches them at
    different steps, and who stops alone leaves the others waiting."""

    stopped = came = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, the signal is heard (in the main thread; no other can hear one)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self.note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def note(self, number: int, frame: object) -> None:
        """Remembers that the signal came."""
        self.came = True

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if any_of(self.came) and state.global_step < state.max_steps:
            self.stopped = True
            control.should_save = control.should_training_stop = True
