"""Several processes are one training: the same losses, and nothing lost when they are stopped or killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file

from helpers import runtime
from helpers.training import checkpoints, tokens

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(os.name == "nt", reason="gloo between processes is tried on Linux and macOS")
SETTINGS = ("--size", "small", "--tokens", "300000", "--batch", "8", "--save-steps", "10")


def launched(processes: int, *words, **options) -> subprocess.Popen:
    """These words started by torchrun, in a process group of their own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True, **options,
    )  # fmt: skip
    LAUNCHED.append(process)
    return process


LAUNCHED = []


@pytest.fixture(autouse=True)
def nothing_goes_on():
    """What a failed test has started would take the cores of the tests after it."""
    yield
    while LAUNCHED:
        process = LAUNCHED.pop()
        for number in [*children(process), process.pid] if process.poll() is None else ():
            os.kill(number, signal.SIGKILL)


def result(processes: int, kind: str, folder: Path) -> dict:
    """What ``two_processes.py`` measures."""
    file = folder / f"{kind}{processes}.json"
    process = launched(processes, ROOT / "tests" / "two_processes.py", kind, file)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said[-3000:]
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def alone(folder):
    return {kind: result(1, kind, folder) for kind in ("ddp", "bare")}


@pytest.mark.parametrize("kind, share", [("ddp", 1), ("accumulated", 1), ("sharded", 1 / 2), ("fast", 1 / 2)])
def test_two_processes_train_as_one(alone, folder, kind, share):
    """The last is sharded, in bfloat16 and compiled, against one process in float32."""
    if kind == "fast" and runtime.fastest_dtype() == torch.float32:
        pytest.skip("bfloat16 takes minutes on this processor")
    one, two = alone["ddp"], result(2, kind, folder)
    assert two["held"] == pytest.approx(share * one["held"], rel=0.01)
    assert len(two["losses"]) == 5 and two["losses"] == pytest.approx(one["losses"], abs=1e-3)
    assert two["weights"] == pytest.approx(one["weights"], rel=1e-3 if kind == "fast" else 1e-4)
    assert two["losses"][-1] < two["losses"][0] - 1


def test_sharded_parameters_train_as_whole_ones_and_each_process_holds_half(alone, folder):
    one, two = alone["bare"], result(2, "fsdp", folder)
    assert len(two["losses"]) == 50 and two["losses"] == pytest.approx(one["losses"], abs=1e-3)
    assert two["held"] == pytest.approx(one["held"] / 2, rel=0.01)


def pretrained(processes: int, out: Path, *words, by: tuple = ("-m", "helpers.pretrain")) -> subprocess.Popen:
    return launched(processes, *by, *SETTINGS, "--out", out, "--resume-or-begin", *words)


def sharded(processes: int, out: Path, *words) -> subprocess.Popen:
    return pretrained(processes, out, *words, "--sharded", by=(ROOT / "tests" / "two_processes.py", "command"))


def finished(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said[-3000:]
    return said


@pytest.fixture(scope="module")
def undisturbed(folder):
    """Validation loss in bits per byte, as the model card says it."""
    finished(pretrained(1, folder / "whole"))
    return validation(folder / "whole")


def validation(out: Path) -> float:
    row = next(line for line in (out / "README.md").read_text().splitlines() if line.startswith("| validation |"))
    return float(row.split()[3])


def children(process: subprocess.Popen) -> list[int]:
    """The processes that torchrun has started."""
    import psutil

    return [child.pid for child in psutil.Process(process.pid).children()]


def saved(run: Path) -> int:
    """The step of the newest checkpoint, 0 if there is none."""
    return max((int(path.name.rpartition("-")[2]) for path in checkpoints.saved(run)), default=0)


def wait_for_more(process: subprocess.Popen, run: Path, before: int = 0) -> None:
    """Until there is a newer checkpoint than that of this step: only then it is training."""
    deadline = time.monotonic() + 300
    while process.poll() is None and saved(run) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sigterm(process: subprocess.Popen, run: Path) -> None:
    """To torchrun, which hands it on: what a cloud does before it takes a machine away."""
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=120)
    assert process.returncode and said.count("as asked, and saved") == 1 and "Traceback" not in said.partition("error:")[0]


def kill_one(process: subprocess.Popen, run: Path) -> None:
    os.kill(children(process)[-1], signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode


def kill_all(process: subprocess.Popen, run: Path) -> None:
    for number in (process.pid, *children(process)):
        os.kill(number, signal.SIGKILL)
    process.communicate(timeout=120)


def truncate(process: subprocess.Popen, run: Path) -> None:
    kill_all(process, run)
    file = checkpoints.saved(run)[-1] / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.parametrize("number", range(int(os.environ.get("COURSE_KILLS", "3"))))
def test_a_run_that_is_stopped_in_any_way_goes_on_with_another_number_of_processes(undisturbed, tmp_path, number):
    rng, out, run = Random(f"stop {number}"), tmp_path / "m", tmp_path / ".m.run"
    ways = [sigterm, kill_one, kill_all]
    first, second = ways[number % 3], truncate if number % 2 else ways[(number + 1) % 3]
    for processes, way in ((2, first), (1, second)):
        before, process = saved(run), pretrained(processes, out)
        wait_for_more(process, run, before)
        time.sleep(rng.uniform(0, 0.5))
        assert process.poll() is None, process.communicate()[0][-2000:]
        way(process, run)
    said = finished(pretrained(2, out))
    assert ("is passed over" in said) == (second is truncate)
    assert validation(out) == pytest.approx(undisturbed, abs=1e-3)
    assert load_file(out / "model.safetensors")


def test_a_sharded_run_goes_on_unsharded_and_the_other_way_round(undisturbed, tmp_path):
    out, run = tmp_path / "m", tmp_path / ".m.run"
    for processes, begin, way in ((2, sharded, sigterm), (1, pretrained, kill_all)):
        before, process = saved(run), begin(processes, out)
        wait_for_more(process, run, before)
        assert process.poll() is None, process.communicate()[0][-2000:]
        way(process, run)
    finished(sharded(2, out))
    assert validation(out) == pytest.approx(undisturbed, abs=1e-3)


def test_torchrun_starts_a_killed_process_again_and_the_run_goes_on(undisturbed, tmp_path):
    out, run = tmp_path / "m", tmp_path / ".m.run"
    process = launched(2, "--max-restarts", 1, "-m", "helpers.pretrain", *SETTINGS, "--out", out, "--resume-or-begin")
    wait_for_more(process, run)
    os.kill(children(process)[0], signal.SIGKILL)
    finished(process)
    assert validation(out) == pytest.approx(undisturbed, abs=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".m.run", "m"]
    assert "is there already" in finished(pretrained(2, out))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


UNLIKE = """
import os, sys, time
from pathlib import Path
from helpers.errors import CourseError
from helpers.training import processes, tokens

if "here" not in sys.argv:
    os.environ["LOCAL_RANK"] = "0"  # as if each were on a machine of its own, with a folder of its own
with processes.together():
    if sys.argv[1] == "tokens":
        tokens.Tokens(Path(sys.argv[2 + processes.is_first()]), 100)
    elif not processes.is_first():
        raise CourseError("no room here") if sys.argv[1] == "error" else ZeroDivisionError("a mistake")
    processes.any_of(False)
    time.sleep(100)
"""


@pytest.mark.parametrize("case", ["other tokens", "damaged", "damaged here", "error", "mistake"])
def test_what_fails_in_one_process_is_said_and_ends_all(case, world_tokenizer, tmp_path):
    for name, text in (("a", "One text. "), ("b", "Another. " if case == "other tokens" else "One text. ")):
        tokens.write_tokens(iter([(text * 500, True)]), world_tokenizer, tmp_path / name, 1000)
    if "damaged" in case:
        (tmp_path / "b" / "tokens-00000.bin").write_bytes(b"short")
    (tmp_path / "unlike.py").write_text(UNLIKE)
    kind, begun = case if case in ("error", "mistake") else "tokens", time.perf_counter()
    folders = [tmp_path / "b", tmp_path / "b", "here"] if case == "damaged here" else [tmp_path / "b", tmp_path / "a"]
    process = launched(2, tmp_path / "unlike.py", kind, *folders)
    said, _ = process.communicate(timeout=120)
    damaged = "holds no whole tokens"
    expected = {"other tokens": "not the same on all machines", "damaged": damaged, "damaged here": damaged,
                "error": "error: no room here", "mistake": "ZeroDivisionError: a mistake"}  # fmt: skip
    assert process.returncode and said.count(expected[case]) == 1, said
    assert time.perf_counter() - begun < 60  # and not when gloo gives up, after half an hour


def test_a_run_that_diverges_in_all_processes_says_it_once_and_leaves_a_note(tmp_path):
    words = [2, tmp_path / "m", "--save-steps", 2, "--learning-rate", "1e9"]
    said, _ = pretrained(*words).communicate(timeout=200)
    assert said.count("error: the run diverged") == 1 and "Traceback" not in said.partition("error:")[0]
    assert sorted(path.name for path in (tmp_path / ".m.run").iterdir()) == ["manifest.json", "settings.json"]
    again, _ = pretrained(*words).communicate(timeout=200)
    assert again.count("not begun again") == 1


@pytest.mark.parametrize("left", [
    {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"},
    {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"},
    {"PMI_SIZE": "2", "PMI_RANK": "1"},
], ids=["torchrun", "Open MPI", "MPICH"])  # fmt: skip
def test_what_another_launcher_left_does_no_harm(tmp_path, left):
    """WORLD_SIZE alone makes no second process, and nobody waits for it."""
    words = [sys.executable, "-m", "helpers.pretrain", "--tokens", "20000", "--out", tmp_path / "m"]
    done = subprocess.run(words, cwd=ROOT, env=os.environ | left, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "bits per byte" in done.stdout, done.stderr


def test_a_batch_that_cannot_be_shared_is_refused_in_one_line(tmp_path):
    process = pretrained(2, tmp_path / "m", "--batch", 7)
    said, _ = process.communicate(timeout=120)
    assert process.returncode and said.count("error: --batch 7: 2 processes") == 1
    assert list(tmp_path.iterdir()) == []
