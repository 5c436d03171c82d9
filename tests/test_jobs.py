"""Job files are what their launchers take, and their command runs: here with two processes and a tiny model."""

import ast
import os
import re
import shlex
import subprocess
import sys
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import pytest
from huggingface_hub import JobHardware
from safetensors.torch import load_file

from helpers import publish, setup
from helpers.training import tokens
from helpers.world import corpus

ROOT = Path(__file__).parent.parent
JOBS = ROOT / "notebooks" / "jobs"
HF, SKY = sorted(JOBS.glob("*.sh")), sorted(JOBS.glob("*.yaml"))
#: A Python that has SkyPilot, which pins old packages and so wants an environment of its own.
SKY_PYTHON = os.environ.get("COURSE_SKY")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the files are for a shell")


def words_of(text: str) -> list[str]:
    """The words of a job's one command, from the launcher on."""
    lines = text.partition("run: |")[2] or text
    joined = " ".join(line for line in lines.replace("\\\n", " ").splitlines() if not line.startswith("#"))
    return shlex.split(joined)


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


@cache
def known_to_hf() -> set[str]:
    """The options of ``hf jobs uv run``."""
    command = [sys.executable, "-m", "huggingface_hub.cli.hf", "jobs", "uv", "run", "--help"]
    return set(re.findall(r"(?<!\S)--?[\w-]+", subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def refused_by_hf(text: str, folder: Path) -> str:
    """Why HF Jobs would not take a file, "" if it would. Its dry run lets every flavour and time limit pass, options that it
    does not know, and volumes that are nowhere."""
    (folder / "helpers").mkdir(exist_ok=True)
    words = words_of(text)
    command = [sys.executable, "-m", "huggingface_hub.cli.hf", *words[1:4], "--dry-run", *words[4:]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "0"})
    if done.returncode:
        return done.stderr
    own = words[4 : words.index("--")]
    if unknown := {word for word in own if word.startswith("-")} - known_to_hf():
        return f"no such option {min(unknown)}"
    for before, volume in pairwise(own):
        place = volume.rpartition(":")[0]
        if before == "-v" and not (ROOT / place).is_dir() and not re.fullmatch(r"hf://buckets/[\w-]+/[\w-]+", place):
            return f"no such volume {place}"
    if value(words, "--flavor") not in [hardware.value for hardware in JobHardware]:
        return f"no such flavour {value(words, '--flavor')}"
    if not re.fullmatch(r"\d+(\.\d+)?[smhd]?", value(words, "--timeout")):
        return f"no such time limit {value(words, '--timeout')}"
    cards = re.search(r"x(\d+)$", value(words, "--flavor"))
    if int(cards[1] if cards else 1) != int(value(words, "--nproc-per-node")):
        return "another number of processes than of GPUs"
    return ""


@pytest.mark.parametrize("path", HF, ids=lambda path: path.stem)
def test_hf_jobs_takes_it(path, tmp_path):
    assert refused_by_hf(path.read_text(encoding="utf-8"), tmp_path) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("--flavor a100x4", "--flavor a100x16"), ("--flavor a100x4", "--flavor a100x8"), ("--timeout 6h", "--timeout '6 hours'"),
     ("--attempts 3", "--attempt_s 3"), ("-v ./helpers", "-v ./helper"), ("hf://buckets/OWNER", "hf://bucketz/a/OWNER")],
)  # fmt: skip
def test_a_typo_in_it_is_found(tmp_path, right, wrong):
    text = re.sub("hf://buckets/[^/]+", "hf://buckets/OWNER", (JOBS / "hf_one_node.sh").read_text(encoding="utf-8"))
    assert right in text and refused_by_hf(text, tmp_path) == "" != refused_by_hf(text.replace(right, wrong), tmp_path)


def refused_by_sky(file: Path) -> str:
    code = "import sys, sky; sky.Task.from_yaml(sys.argv[1])"
    done = subprocess.run([SKY_PYTHON, "-c", code, file], capture_output=True, text=True)
    return done.stderr if done.returncode else ""


@pytest.mark.skipif(not SKY_PYTHON, reason="COURSE_SKY names no Python that has SkyPilot")
@pytest.mark.parametrize("path", SKY, ids=lambda path: path.stem)
def test_skypilot_takes_it_and_finds_a_typo(path, tmp_path):
    assert refused_by_sky(path) == ""
    text = path.read_text(encoding="utf-8")
    for right, wrong in (
        ("accelerators", "acelerators"),
        ("MOUNT_CACHED", "MOUNT_CACHE"),
        ("disk_size: 256", "disk_size: big"),
    ):
        (tmp_path / "job.yaml").write_text(text.replace(right, wrong))
        assert right in text and refused_by_sky(tmp_path / "job.yaml")


@pytest.mark.parametrize("path", HF, ids=lambda path: path.stem)
def test_what_it_installs_is_what_the_command_loads_in_the_course_s_ranges(path):
    ranges = {name.replace("-", "_").lower(): wanted for name, wanted in setup.requirements()}
    given = re.findall(r'--with "([\w.-]+?)(>=[^"]+)"', path.read_text(encoding="utf-8"))
    assert {name: ranges[name] for name, _ in given} == dict(given)
    code = "import sys, helpers.pretrain; print(sorted({name.partition('.')[0].lower() for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # Those that the others bring anyhow may be missing.
    brought = {"pandas", "huggingface_hub", "pillow", "scikit_learn", "matplotlib", "ipython", "traitlets", "nbformat"}
    assert set(ranges) & set(ast.literal_eval(loaded)) - brought <= {name for name, _ in given}


COMMANDS = {path.name: words_of(path.read_text(encoding="utf-8")) for path in [*HF, *SKY]}
PRETRAINS = {name: tuple(words[words.index("helpers.pretrain") + 1 :]) for name, words in COMMANDS.items()}


def test_every_file_starts_the_same_command_by_torchrun():
    for words in COMMANDS.values():
        launcher = words[words.index("torchrun") : words.index("helpers.pretrain")]
        assert launcher[-1] == "-m" and any(word.startswith("--nproc-per-node") for word in launcher)
    assert all(words[-1] == "--resume-or-begin" and "--save-steps" in words for words in PRETRAINS.values())


@pytest.fixture(scope="module")
def given(tmp_path_factory, world_tokenizer):
    """What is in the bucket: tokens for two steps."""
    folder = tmp_path_factory.mktemp("out")
    texts = ((document.text, True) for document in islice(corpus.documents(1), 20_000))
    tokens.write_tokens(texts, world_tokenizer, folder / "tokens", 2 * 512 * 319, ["A text to validate on."] * 20)
    return folder


@pytest.mark.parametrize("words", sorted({re.sub(r"/out/[\w$]+", "/out/model", " ".join(w)) for w in PRETRAINS.values()}))
def test_the_command_runs_word_for_word_with_two_processes(words, given):
    """But for the size, the device and the folder; and a run without ``--data`` is cut short."""
    small = re.sub(
        r"--size \w+", "--size small", words.replace("--device cuda", "--device cpu").replace("/out/tokens", "/out/model")
    )
    small = re.sub(r"--tokens \d+", "--tokens 60000", small).replace("--data /out/model", f"--data {given}/tokens")
    out = given / f"model{len(words)}"
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "helpers.pretrain"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", *command, *small.replace("/out/model", str(out)).split()],
                          cwd=given, env=environment, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert load_file(out / "model.safetensors")


def test_publishing_writes_the_owner_into_each(tmp_path):
    for path in [*HF, *SKY]:
        text = path.read_text(encoding="utf-8")
        once = publish.of_owner(text, "Ada/course", "v1.0")
        assert publish.of_owner(once, "bob/other", "v2.0") == publish.of_owner(text, "bob/other", "v2.0")
        assert "Ada/course, ref: v1.0}" in once or path in HF
        assert "hf://buckets/Ada/" in once or "name: ada-pretraining" in once
        assert words_of(once)[-6:] == words_of(text)[-6:]
