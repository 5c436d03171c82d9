"""The machine that a notebook runs on: how many processors it may use."""

import contextlib
import math
import os
from pathlib import Path

import torch


def quota(root: Path = Path("/sys/fs/cgroup"), groups: Path = Path("/proc/self/cgroup")) -> float:
    """How many processors' time this process may use by the quota of its container (Linux control groups, version 1 or 2);
    infinite where there is none."""
    names = [""]  # what a container sees as the root is its own group; elsewhere the group and those around it are named
    with contextlib.suppress(OSError):
        for line in groups.read_text(encoding="utf-8").splitlines():
            number, controllers, name = line.split(":", 2)
            if number == "0" or "cpu" in controllers.split(","):
                parts = name.strip("/").split("/")
                names += ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    found = math.inf
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            limit, period = (root / name / "cpu.max").read_text(encoding="utf-8").split()
            found = min(found, math.inf if limit == "max" else int(limit) / int(period))
        for folder in (root / "cpu" / name, root / "cpu,cpuacct" / name):
            with contextlib.suppress(OSError, ValueError):
                limit = int((folder / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
                period = int((folder / "cpu.cfs_period_us").read_text(encoding="utf-8"))
                found = min(found, limit / period if limit > 0 else math.inf)
    return found


def processors() -> int:
    """Processors that this process may use: those it may run on, or fewer where its container has a quota; at least one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, math.ceil(limit) if (limit := quota()) < math.inf else allowed))


def follow_quota() -> None:
    """Lets torch use no more threads than there are processors for them. torch starts one for each core of the host, and with
    a quota of two cores sixty-four of them wait for one another. OMP_NUM_THREADS, where it is set, has the last word."""
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > processors():
        torch.set_num_threads(processors())
