"""Threads follow the quota of a container."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import runtime

ROOT = Path(__file__).parent.parent


def groups(tmp_path, files, lines="0::/\n"):
    """A tree of control groups, and the file that names the group of a process."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "groups").write_text(lines)
    return tmp_path, tmp_path / "groups"


@pytest.mark.parametrize(
    ("files", "lines", "expected"),
    [
        ({"cpu.max": "200000 100000\n"}, "0::/\n", 2),
        ({"cpu.max": "max 100000\n"}, "0::/\n", math.inf),
        ({"cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n", "a/b/cpu.max": "400000 100000\n"}, "0::/a/b\n", 1.5),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu,cpuacct:/docker/1\n", 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, "4:cpu:/\n", math.inf),
        ({"cpu.max": "nonsense\n"}, "nonsense\n" * 0, math.inf),
        ({}, "0::/\n", math.inf),
    ],
)
def test_the_quota_of_a_container(tmp_path, files, lines, expected):
    assert runtime.quota(*groups(tmp_path, files, lines)) == expected


def test_where_there_are_no_groups_there_is_no_quota(tmp_path):
    assert runtime.quota(tmp_path / "no", tmp_path / "none") == math.inf


@pytest.mark.parametrize(("quota", "expected"), [(0.5, 1), (1.0, 1), (math.inf, runtime.processors())])
def test_at_least_one_processor_and_no_more_than_there_are(monkeypatch, quota, expected):
    monkeypatch.setattr(runtime, "quota", lambda: quota)
    assert runtime.processors() == expected


@pytest.mark.parametrize(("environment", "expected"), [({}, "1"), ({"OMP_NUM_THREADS": "2"}, "2")])
def test_threads_follow_the_quota_as_soon_as_a_notebook_asks_for_its_profile(environment, expected):
    code = "from helpers import runtime; runtime.quota = lambda: 1.0\nfrom helpers import profiles; import torch\n"
    code += "profiles.current(); print(torch.get_num_threads())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
