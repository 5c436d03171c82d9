"""The teacher's check is right about what is missing, and says what to do."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from helpers import check, lab, setup
from helpers.errors import CourseError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def said(monkeypatch, capsys):
    """Runs the check with a speed that is not measured; gives its lines by name, and its exit status."""

    def run():
        monkeypatch.setattr(check, "speed", lambda: check.REFERENCE / 2)
        monkeypatch.setattr(lab, "browser", lambda: None)
        try:
            status = check.main([])
        except SystemExit as stop:
            status = stop.code
        lines = capsys.readouterr().out.splitlines()
        found = [re.fullmatch(r"(ok|MISSING) +(.+?): (.+)", line).groups() for line in lines if line != "ready"]
        return {name: (state, text) for state, name, text in found}, status

    return run


def test_on_a_machine_that_is_ready_everything_is_ok(said):
    lines, status = said()
    assert status is None and {state for state, _ in lines.values()} == {"ok"}, lines
    assert {"Python", "torch", "trl", "memory", "disk", "processors", "GPU", "shipped models", "labelling widget"} <= set(lines)
    assert torch.__version__.partition("+")[0] in lines["torch"][1]
    assert re.search(r"01 \d+, 02 \d+, 03 \d+, 04 \d+, 05 \d+, 06 \d+, 07 \d+ minutes", lines["notebooks"][1])


def test_a_missing_package_and_one_of_another_version_are_named(said, monkeypatch):
    version = importlib.metadata.version

    def faked(name):
        if name == "trl":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0.0" if name == "torch" else version(name)

    monkeypatch.setattr(importlib.metadata, "version", faked)
    lines, status = said()
    assert status == "not ready: torch, trl"
    assert lines["trl"] == ("MISSING", "not installed; pip install -r requirements.txt")
    assert lines["torch"][0] == "MISSING" and "1.0.0 is not >=2.9" in lines["torch"][1]


def test_a_full_disk_is_named(said, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10, 9, 1))
    lines, status = said()
    assert status == "not ready: disk" and "COURSE_ARTIFACTS" in lines["disk"][1]


def test_a_folder_that_cannot_be_written_is_named(said, monkeypatch):
    def refused(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(check.tempfile, "TemporaryFile", refused)
    lines, status = said()
    assert status == "not ready: disk" and "Permission denied" in lines["disk"][1]


def test_too_little_memory_is_named(said, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 10**8, "total": 10**9}))
    lines, status = said()
    assert status == "not ready: memory" and "0.1 GB free" in lines["memory"][1]


@pytest.mark.parametrize("there", [True, False])
def test_a_gpu_is_named_and_none_is_no_fault(said, monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "A card")
    assert check.gpu() == ("A card" if there else "none, and none is needed")


def test_without_any_package_it_says_so_and_does_not_fail_itself():
    code = "import sys\nsys.path.insert(0, '.')\nfrom helpers import check\ncheck.main([])"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("not ready: torch, "), done.stderr
    assert "MISSING  torch: not installed" in done.stdout and "Traceback" not in done.stdout + done.stderr


def test_the_command_is_quick_and_clicks_in_a_browser_where_there_is_one(capsys):
    begun = time.perf_counter()
    assert check.main([]) is None
    said = capsys.readouterr().out
    assert time.perf_counter() - begun < 60 and said.endswith("ready\n")
    assert "browser: a click in JupyterLab reaches the kernel" in said or not lab.browser()


def test_without_a_browser_none_is_tried_and_one_that_hears_nothing_is_named(monkeypatch):
    monkeypatch.setattr(check.importlib.util, "find_spec", lambda name: None)
    assert check.browser() == "no Chromium with playwright, not tried"
    monkeypatch.undo()
    if not lab.browser():
        return

    def nobody_hears(address):
        raise TimeoutError("Timeout 30000ms exceeded.\nCall log:")

    monkeypatch.setattr(check, "click_in", nobody_hears)
    with pytest.raises(CourseError, match=r"reach the kernel \(Timeout 30000ms exceeded\.\); try by hand: jupyter lab"):
        check.browser()


def test_wheels_are_downloaded_for_a_class_without_network(tmp_path, monkeypatch, capsys):
    asked = []

    def pip(command, **options):
        asked.append([str(word) for word in command])
        return subprocess.CompletedProcess(command, 0 if len(asked) == 1 else 1)

    monkeypatch.setattr(setup.subprocess, "run", pip)
    check.main(["--wheels", str(tmp_path / "stick")])
    assert asked[0][1:] == ["-m", "pip", "download", "-d", str(tmp_path / "stick"), "-r", str(ROOT / "requirements.txt")]
    assert f"pip install --no-index --find-links {tmp_path / 'stick'}" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="network"):
        check.main(["--wheels", str(tmp_path / "stick")])
