"""The machine that a notebook runs on: its processors, its memory, and how fast it multiplies."""

import contextlib
import ctypes
import functools
import math
import os
import platform
import sys
import time
from pathlib import Path

import psutil
import torch


def quota(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> float:
    """How many processors' time this process may use by the quota of its container (Linux control
    groups, version 1 or 2); infinite where there is none."""
    # A container sees its own group as the root; elsewhere it and those around it are named.
    names = [""]
    with contextlib.suppress(OSError):
        for line in groups.read_text(encoding="utf-8").splitlines():
            number, controllers, name = line.split(":", 2)
            if number == "0" or "cpu" in controllers.split(","):
                parts = name.strip("/").split("/")
                names += ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    smallest = math.inf
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            limit, period = (root / name / "cpu.max").read_text(encoding="utf-8").split()
            smallest = min(smallest, math.inf if limit == "max" else int(limit) / int(period))
        for folder in (root / "cpu" / name, root / "cpu,cpuacct" / name):
            with contextlib.suppress(OSError, ValueError):
                limit = int((folder / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
                period = int((folder / "cpu.cfs_period_us").read_text(encoding="utf-8"))
                smallest = min(smallest, limit / period if limit > 0 else math.inf)
    return smallest


def processors() -> int:
    """Processors that this process may use: those it may run on, or fewer where its container has a
    quota; at least one."""
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return max(1, min(allowed, math.ceil(limit) if (limit := quota()) < math.inf else allowed))


def follow_quota() -> None:
    """Lets torch use no more threads than there are processors for them. torch starts one for each
    core of the host, and with a quota of two cores sixty-four of them wait for one another.
    OMP_NUM_THREADS, where it is set, has the last word."""
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > processors():
        torch.set_num_threads(processors())


def keep_memory() -> None:
    """Tells glibc to keep freed memory for the next step instead of handing it to the kernel and
    asking again.

    Page faults cost a quarter of a training step on a CPU otherwise. Does nothing where the C
    library is another.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap too
        # M_TRIM_THRESHOLD in bytes: the heap shrinks only beyond 2 GiB of free space
        mallopt(-1, 2**31 - 1)
        mallopt(-2, 2**28)  # M_TOP_PAD in bytes: it grows by 256 MiB at a time


@functools.cache
def fastest_dtype(device: str = "cpu") -> torch.dtype:
    """In what a model's matrices are best multiplied there: on a processor bfloat16 where it is
    faster than float32, measured once; on a GPU bfloat16 from compute capability 8 on, float16
    below (a T4); elsewhere float32."""
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability()[0] >= 8 else torch.float16
    if device != "cpu":
        return torch.float32
    best = {torch.float32: 0.0, torch.bfloat16: 0.0}
    for _ in range(5):  # by turns: whatever else the machine does slows one for a moment
        for dtype in best:
            best[dtype] = max(best[dtype], matmul_flops(512, 512, 512, dtype, seconds=0.01))
    return max(best, key=best.get)


def matmul_flops(
    rows: int,
    inner: int,
    columns: int,
    dtype: torch.dtype,
    seconds: float = 0.2,
    device: str = "cpu",
) -> float:
    """FLOP/s of this machine in (rows, inner) @ (inner, columns), measured for about
    ``seconds``."""
    a = torch.ones(rows, inner, dtype=dtype, device=device)
    b = torch.ones(inner, columns, dtype=dtype, device=device)
    for _ in range(3):
        a @ b
    wait_for_gpu()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        a @ b
        count += 1
    wait_for_gpu()
    return 2 * rows * inner * columns * count / (time.perf_counter() - start)


def wait_for_gpu() -> None:
    """Until a GPU has done what it was told: it is told ahead, so a clock would stop too early."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def no_compiler(device: str = "cpu") -> str | None:
    """Why torch.compile does not work here, tried on two numbers; None if it does."""
    try:
        torch.compile(lambda numbers: 2 * numbers)(torch.ones(2, device=device))
    except Exception as error:  # whatever a compiler is missing
        return str(error).strip().partition("\n")[0]
    return None


def machine() -> str:
    """This machine in words: processor, cores, memory, versions."""
    name = platform.processor()
    with contextlib.suppress(OSError):
        cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        name = next(
            line.split(":")[1].strip() for line in cpu.splitlines() if line.startswith("model name")
        )
    memory = psutil.virtual_memory().total / 2**30
    return f"{name}, {torch.get_num_threads()} threads, {memory:.0f} GiB, torch {torch.__version__}"


def resource_peak() -> int:
    """Largest resident memory of this process so far, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
