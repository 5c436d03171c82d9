"""The set-up cell where notebooks are opened: in a checkout, alone, on Colab and on Kaggle. git works over file://.

Each situation is a process of its own without any package but the standard library (``python -S``). Installed packages are
folders of metadata, and ``pip`` is a module that writes down what it was asked and "installs" by changing these folders.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import course
import nbformat
import pytest

from helpers import publish, setup

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Colab and Kaggle are Linux")
OWNER, TAG = "ada/fork", "v1.0"
NOTEBOOK = course.NOTEBOOKS[0]
IMAGE = {"torch": "2.11.0+cu128", "torchvision": "0.26.0", "numpy": "2.1.3", "pillow": "11.3.0", "transformers": "5.15.0",
         "peft": "0.20.0", "datasets": "4.0.0", "pyarrow": "18.1.0", "torchao": "0.10.0", "pandas": "2.2.2",
         "matplotlib": "3.10.0", "anywidget": "0.9.21", "ipywidgets": "7.7.1", "scipy": "1.16.1", "safetensors": "0.8.0",
         "tokenizers": "0.22.2", "tqdm": "4.67.1", "psutil": "5.9.5", "huggingface_hub": "1.27.0",
         "scikit_learn": "1.6.1"}  # fmt: skip
HEAVY = ("torch", "numpy", "pyarrow", "datasets", "transformers", "pandas")
PIP = """
import json, os, pathlib, re, sys
site = pathlib.Path(__file__).parent.parent
words = sys.argv[1:]
kept = pathlib.Path(words[words.index("--constraint") + 1]).read_text() if "--constraint" in words else ""
with (site / "pip.jsonl").open("a") as out:
    print(json.dumps({"words": words, "kept": kept}), file=out)
if (site / "pip fails").exists():
    sys.exit("WARNING: retrying\\nERROR: No matching distribution found for trl>=1.16")
def change(name, version):
    for old in site.glob(f"{name}-*.dist-info"):
        (old / "METADATA").unlink(), (old / "top_level.txt").unlink(), old.rmdir()
    if version:
        new = site / f"{name}-{version}.dist-info"
        new.mkdir()
        (new / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        (new / "top_level.txt").write_text(name)
for word in words:
    if found := re.fullmatch(r"([a-z_]+)>=([\\d.]+),<.*", word):
        change(*found.groups())
        if found[1] == "datasets":
            change("pyarrow", "24.0.0")
if words[0] == "uninstall":
    change(words[-2] if words[-1].startswith("-") else words[-1], None)
"""
DRIVER = """
import json, os, sys, types
given = json.loads(sys.stdin.read())
for name in given["loaded"]:
    sys.modules[name] = types.ModuleType(name)
for _ in range(given["times"]):
    try:
        exec(compile(given["cell"], "cell", "exec"), {"__name__": "__main__"})
        state = "ready"
    except SystemExit as stop:
        state = str(stop)
    print("STATE", state)
heavy = [name for name in given["heavy"] if name in sys.modules and name not in given["loaded"]]
root, gpus = os.environ.get("COURSE_ROOT"), os.environ.get("CUDA_VISIBLE_DEVICES")
print("END", json.dumps({"root": root, "gpus": gpus, "heavy": heavy, "profile": os.environ.get("COURSE_PROFILE"),
                         "offline": os.environ.get("HF_HUB_OFFLINE")}))
"""


@pytest.fixture(scope="session")
def fork(tmp_path_factory):
    """A copy of the course, published by one command, committed and tagged: what ``git push`` would put online."""
    folder = tmp_path_factory.mktemp("online") / "fork"
    for path in course.tracked("**/*"):
        if path.is_file() and not {".git", ".venv", ".artifacts"} & set(path.relative_to(course.ROOT).parts):
            (folder / path.relative_to(course.ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / path.relative_to(course.ROOT))
    subprocess.run([sys.executable, "-m", "helpers.publish", OWNER, TAG], cwd=folder, check=True, capture_output=True)
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "publish"], ["tag", TAG]):
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)
    return folder


class Machine:
    """A folder to work in, packages that are installed, and a network that reaches the fork, or nothing."""

    def __init__(self, folder: Path, fork: Path, image: dict[str, str]):
        self.work, self.site, self.online = folder / "content", folder / "site", f"file://{fork}"
        self.work.mkdir()
        (self.site / "pip").mkdir(parents=True)
        (self.site / "pip" / "__init__.py").touch()
        (self.site / "pip" / "__main__.py").write_text(PIP)
        for name, version in image.items():
            place = self.site / f"{name}-{version}.dist-info"
            place.mkdir()
            (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            (place / "top_level.txt").write_text(name)

    def environment(self, more: dict[str, str]) -> dict[str, str]:
        network = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{self.online}.insteadOf",
                   "GIT_CONFIG_VALUE_0": f"https://github.com/{OWNER}"}  # fmt: skip
        signs = {"COURSE_ROOT", "JPY_SESSION_NAME", "COURSE_ARTIFACTS", "CUDA_VISIBLE_DEVICES", *setup.HOSTS}
        signs |= {"COURSE_PROFILE", "HF_HUB_OFFLINE"}
        return (
            {k: v for k, v in os.environ.items() if k not in signs}
            | network
            | {"PYTHONPATH": str(self.site), "PIP_DRY_RUN": "1"}
            | more
        )

    def run(self, cell, *, cwd=None, loaded=(), times=1, parent="", **more):
        """Runs a cell in a new process; gives what it said at the end of each time, all it printed, and how it left things."""
        given = json.dumps({"cell": cell, "loaded": list(loaded), "times": times, "heavy": HEAVY})
        command = ["sh", "-c", '"$0" -S -c "$1"; exit $?', sys.executable, DRIVER, *([parent] if parent else [])]
        done = subprocess.run(command, cwd=cwd or self.work, env=self.environment(more), input=given,
                              capture_output=True, text=True, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        states = [line.removeprefix("STATE ") for line in lines if line.startswith("STATE ")]
        assert not done.stderr and len(states) == times, done.stdout + done.stderr  # each message is one line
        end = json.loads(lines[-1].removeprefix("END "))
        assert end["heavy"] == []  # nothing heavy is loaded before pip has run
        return states, "\n".join(line for line in lines[:-1] if not line.startswith("STATE")), end

    def pip(self):
        """What pip was asked so far."""
        file = self.site / "pip.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def machine(tmp_path, fork):
    return Machine(tmp_path, fork, IMAGE)


ONLINE = publish.set_up("01", OWNER, TAG)
COLAB = {"loaded": ["google", "google.colab"]}
KAGGLE = {"KAGGLE_KERNEL_RUN_TYPE": "Interactive", "KAGGLE_URL_BASE": "https://www.kaggle.com"}


@pytest.mark.parametrize("cell", [publish.set_up("01"), ONLINE], ids=["unpublished", "published"])
@pytest.mark.parametrize("folder", [".", "notebooks", "helpers/world"])
def test_in_a_checkout_it_finds_the_course_and_does_nothing_else(machine, fork, cell, folder):
    states, said, end = machine.run(cell, cwd=fork / folder, times=2)
    assert states == ["ready", "ready"] and said == "" and end["gpus"] is None
    assert Path(end["root"]).resolve() == fork.resolve() and machine.pip() == []


def test_a_checkout_in_which_colab_works_is_not_fetched_again(machine, fork):
    states, _, end = machine.run(ONLINE, cwd=fork / "notebooks", **COLAB)
    assert states == ["ready"] and Path(end["root"]).resolve() == fork.resolve()
    assert not (fork / "notebooks" / "course").exists()


def test_papermill_in_another_folder_finds_it_by_the_notebooks_path(machine, fork):
    states, said, end = machine.run(publish.set_up("01"), parent=str(fork / "notebooks" / NOTEBOOK.name))
    assert (states, said) == (["ready"], "") and Path(end["root"]).resolve() == fork.resolve()


def test_jupyterlab_says_where_the_notebook_is(machine, fork):
    states, _, end = machine.run(publish.set_up("01"), JPY_SESSION_NAME=str(fork / "notebooks" / NOTEBOOK.name))
    assert states == ["ready"] and Path(end["root"]).resolve() == fork.resolve()


def test_run_again_from_another_folder_it_still_finds_the_course(machine, fork):
    cell = publish.set_up("01") + f"\nos.chdir({str(machine.work)!r})"
    assert machine.run(cell, cwd=fork / "notebooks", times=2)[0] == ["ready", "ready"]


def test_exported_as_a_script_it_runs_from_another_folder(machine, fork, tmp_path):
    script = fork / "notebooks" / "exported.py"
    script.write_text(publish.set_up("01") + "\nprint(setup.ROOT)")
    try:
        done = subprocess.run([sys.executable, "-S", script], cwd=machine.work, capture_output=True, text=True, check=True)
        assert Path(done.stdout.strip()).resolve() == fork.resolve() and not done.stderr
    finally:
        script.unlink()


def test_a_lone_notebook_says_in_one_line_what_to_do(machine):
    (unpublished,), _, _ = machine.run(publish.set_up("01"))
    assert unpublished.startswith("The course is not here. Open this notebook where it belongs")
    (published,), _, _ = machine.run(ONLINE)
    assert f"git clone -q --depth 1 --branch {TAG} https://github.com/{OWNER} course" in published
    assert list(machine.work.iterdir()) == [] and machine.pip() == []


def test_what_the_lone_notebook_says_works(machine):
    (published,), _, _ = machine.run(ONLINE)
    command = published[published.index("git clone") : published.index(" course (") + 7]
    subprocess.run(command, shell=True, cwd=machine.work, env=machine.environment({}), check=True, capture_output=True)
    assert machine.run(ONLINE)[0] == ["ready"]


def test_on_colab_the_first_run_fetches_and_installs_and_the_second_does_nothing(machine):
    states, said, end = machine.run(ONLINE, times=2, **COLAB)
    assert states == ["ready", "ready"], states
    assert Path(end["root"]) == machine.work.resolve() / "course" and end["gpus"] == "0"
    assert [path.name for path in machine.work.iterdir()] == ["course"]
    removed, installed = machine.pip()
    assert removed["words"][:3] == ["uninstall", "-y", "torchao"]
    asked = {word.partition(">")[0] for word in installed["words"] if ">=" in word}
    assert asked == {"transformers", "trl", "peft", "datasets", "huggingface_hub", "tokenizers"}
    assert installed["kept"].split() == ["torch==2.11.0+cu128", "torchvision==0.26.0", "numpy==2.1.3", "pillow==11.3.0"]
    assert said.count("installing") == 1 and said.count("setup.use_drive()") == 2


def test_after_a_restart_nothing_is_fetched_or_installed_again(machine):
    machine.run(ONLINE, **COLAB)
    machine.online = "file:///nowhere"
    states, said, _ = machine.run(ONLINE, **COLAB)
    assert states == ["ready"] and "installing" not in said and len(machine.pip()) == 2


def test_what_was_loaded_before_asks_for_a_restart_until_there_is_one(machine):
    loaded = [*COLAB["loaded"], "pyarrow"]
    states, _, _ = machine.run(ONLINE, loaded=loaded, times=2)
    assert all("pyarrow had been loaded before: restart (Runtime, Restart session)" in state for state in states), states
    assert machine.run(ONLINE, **COLAB)[0] == ["ready"] and len(machine.pip()) == 2


def test_pip_that_fails_is_named_and_can_be_tried_again(machine):
    (machine.site / "pip fails").touch()
    (state,), _, _ = machine.run(ONLINE, **COLAB)
    assert "pip could not remove torchao 0.10.0" in state and "check the network, then run this cell again" in state
    (machine.site / "pip fails").unlink()
    assert machine.run(ONLINE, **COLAB)[0] == ["ready"]


def test_pip_that_cannot_install_is_named(tmp_path, fork):
    machine = Machine(tmp_path, fork, {name: version for name, version in IMAGE.items() if name != "torchao"})
    (machine.site / "pip fails").touch()
    (state,), _, _ = machine.run(ONLINE, **KAGGLE)
    wanted = "transformers, trl, peft, datasets, huggingface_hub, tokenizers"
    assert f"pip could not install {wanted} (exit status 1; ERROR: No matching" in state
    assert "switch Internet on (Settings)" in state


def test_a_tag_that_does_not_exist_is_named(machine):
    (state,), _, _ = machine.run(publish.set_up("01", OWNER, "v9"), **COLAB)
    assert "Remote branch v9 not found" in state and "Is the tag there?" in state
    assert list(machine.work.iterdir()) == []


@pytest.mark.parametrize("host", [COLAB, KAGGLE], ids=["Colab", "Kaggle"])
def test_no_network_is_named(machine, host):
    machine.online = "https://nowhere.invalid/"
    (state,), _, _ = machine.run(ONLINE, **host)
    assert "The course is not here. fatal: unable to access" in state and "Kaggle: Settings, Internet" in state
    assert list(machine.work.iterdir()) == []


def test_on_kaggle_one_gpu_of_two_is_taken(machine):
    states, said, end = machine.run(ONLINE, **KAGGLE)
    assert states == ["ready"] and end["gpus"] == "0" and "Drive" not in said
    states, _, end = machine.run(ONLINE, **KAGGLE, CUDA_VISIBLE_DEVICES="1")
    assert states == ["ready"] and end["gpus"] == "1"  # the reader's own choice


@pytest.fixture
def lend(tmp_path, monkeypatch):
    """Puts a card of this compute capability into the machine, or a driver without one."""

    def put(capability):
        (tmp_path / "bin").mkdir(exist_ok=True)
        program = tmp_path / "bin" / "nvidia-smi"
        program.write_text(f"#!/bin/sh\necho {capability}\n" if capability else "#!/bin/sh\necho no card >&2; exit 9\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    return put


@pytest.mark.parametrize(("capability", "profile"), [("7.5", "real"), ("9.0", "real"), ("6.0", None), ("", None)])
def test_where_a_host_lends_a_gpu_that_can_be_used_it_is_for_real_models(machine, lend, capability, profile):
    lend(capability)
    states, said, end = machine.run(ONLINE, **KAGGLE)
    assert states == ["ready"] and end["profile"] == profile and ("A GPU is here" in said) == (profile == "real")


def test_the_readers_choice_comes_first(machine, lend, fork):
    lend("7.5")
    assert machine.run(ONLINE, **KAGGLE, COURSE_PROFILE="tiny")[2]["profile"] == "tiny"
    named = ONLINE.replace('PROFILE = ""', 'PROFILE = "tiny"')
    assert machine.run(named, **KAGGLE, COURSE_PROFILE="real")[2]["profile"] == "tiny"
    assert machine.run(ONLINE, cwd=fork)[2]["profile"] is None  # on a reader's own machine nothing is chosen
    named = ONLINE.replace('PROFILE = ""', 'PROFILE = "real"')
    assert machine.run(named, cwd=fork, times=2)[2]["profile"] == "real"


REAL_BEFORE, OFF_BEFORE = {"COURSE_PROFILE": "real"}, {"HF_HUB_OFFLINE": "1"}


@pytest.mark.parametrize(
    ("written", "before", "offline"),
    [("", {}, "1"), ("tiny", {}, "1"), ("real", {}, None), ("real", OFF_BEFORE, "1"), ("tiny", REAL_BEFORE, "1"),
     ("", REAL_BEFORE, None)],
)  # fmt: skip
def test_the_hub_is_switched_on_for_real_models_only(machine, fork, written, before, offline):
    cell = ONLINE.replace('PROFILE = ""', f'PROFILE = "{written}"')
    assert machine.run(cell, cwd=fork, times=2, **before)[2]["offline"] == offline


def test_a_notebook_that_runs_on_the_planted_world_only_says_so(machine, lend):
    lend("7.5")
    assert machine.run(publish.set_up("02", OWNER, TAG), **KAGGLE, COURSE_PROFILE="real")[2]["profile"] == "tiny"


def test_an_unknown_profile_and_one_that_comes_too_late_are_said(machine, fork):
    (state,), _, _ = machine.run(ONLINE.replace('PROFILE = ""', 'PROFILE = "huge"'), cwd=fork)
    assert state == "PROFILE = 'huge' is unknown; the profiles are tiny, real"
    (state,), _, _ = machine.run(ONLINE.replace('PROFILE = ""', 'PROFILE = "real"'), cwd=fork, loaded=["helpers.files"])
    assert "was loaded for 'tiny': restart the kernel" in state


def test_an_unpublished_notebook_on_colab_fetches_nothing(machine):
    (state,), _, _ = machine.run(publish.set_up("01"), **COLAB)
    assert state.startswith("The course is not here. Open this notebook where it belongs")


def test_another_version_beside_the_notebook_is_named(machine):
    machine.run(ONLINE, **COLAB)
    (state,), _, _ = machine.run(publish.set_up("01", OWNER, "v2.0"), **COLAB)
    assert "holds the course v1.0, this notebook is of v2.0: rename that folder" in state


def test_an_image_with_too_old_a_torch_is_left_alone_and_named(tmp_path, fork):
    machine = Machine(tmp_path, fork, IMAGE | {"torch": "2.6.0"})
    (state,), _, _ = machine.run(ONLINE, **COLAB)
    assert "This image has torch 2.6.0, the course needs torch>=2.9" in state and machine.pip() == []


def test_a_newer_package_is_left_alone_and_said(tmp_path, fork):
    machine = Machine(tmp_path, fork, IMAGE | {"transformers": "6.1.0"})
    states, said, _ = machine.run(ONLINE, **COLAB)
    assert states == ["ready"] and "transformers 6.1.0 is newer" in said
    assert not any(word.startswith("transformers") for word in machine.pip()[-1]["words"])


def test_a_folder_of_the_readers_that_is_called_course_is_left_alone(machine):
    (machine.work / "course").mkdir()
    (machine.work / "course" / "mine.txt").write_text("x")
    (state,), _, _ = machine.run(ONLINE, **COLAB)
    assert state.startswith("The course is not here.")
    assert [path.name for path in (machine.work / "course").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("loaded", [False, True])
def test_the_readers_drive_keeps_what_is_made(tmp_path, monkeypatch, capsys, loaded):
    mounted = []
    drive = type(sys)("google.colab.drive")
    drive.mount = mounted.append
    colab = type(sys)("google.colab")
    colab.drive = drive
    for name, module in {"google": type(sys)("google"), "google.colab": colab, "google.colab.drive": drive}.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("COURSE_ARTIFACTS", raising=False)
    if not loaded:
        monkeypatch.delitem(sys.modules, "helpers.files", raising=False)
        setup.use_drive(str(tmp_path))
        assert mounted == [str(tmp_path)] and os.environ["COURSE_ARTIFACTS"] == f"{tmp_path}/MyDrive/llm-course"
        monkeypatch.delenv("COURSE_ARTIFACTS")
        return
    monkeypatch.setitem(sys.modules, "helpers.files", type(sys)("helpers.files"))
    with pytest.raises(SystemExit, match="Too late"):
        setup.use_drive(str(tmp_path))


def test_the_drive_is_offered_on_colab_only():
    with pytest.raises(SystemExit, match="COURSE_ARTIFACTS"):
        setup.use_drive()


@pytest.mark.parametrize(("found", "wanted", "expected"), [
    ("2.9", ">=2.9,<2.14", 0), ("2.11.0+cu128", ">=2.9,<2.14", 0), ("2.14.0", ">=2.9,<2.14", 1), ("2.8.9", ">=2.9,<2.14", -1),
    ("0.21.0rc1", ">=0.21,<1", 0), ("1.0", ">=0.21,<1", 1), ("12", ">=11,<14", 0), ("5.23", ">=5.23,<6", 0),
])  # fmt: skip
def test_versions_are_compared_by_their_numbers(found, wanted, expected):
    assert setup.compared(found, wanted) == expected


def test_the_cell_and_the_helper_know_a_host_by_the_same_signs():
    line = next(line for line in publish.set_up("01").splitlines() if line.startswith("hosted"))
    assert eval(line.partition("=")[2].partition("&")[0]) == set(setup.HOSTS)


def execute(notebook: Path, folder: Path, **environment):
    """Runs a notebook as a reader would who has it alone in a folder."""
    shutil.copy(notebook, folder / notebook.name)
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", notebook.name]
    ours = ("COURSE_ROOT", "JPY_SESSION_NAME", "COURSE_ARTIFACTS", "COURSE_SOLUTIONS")
    kept = {k: v for k, v in os.environ.items() if k not in ours}
    done = subprocess.run(command, cwd=folder, env=kept | environment, capture_output=True, text=True, check=False)
    return done, nbformat.read(folder / notebook.name, as_version=4)


def test_a_lone_notebook_when_it_is_run(tmp_path):
    done, _ = execute(NOTEBOOK, tmp_path)
    assert done.returncode and "SystemExit" in done.stderr and "The course is not here. Open this notebook" in done.stderr
    assert "ModuleNotFoundError" not in done.stderr


def test_the_forks_first_notebook_runs_from_an_empty_folder(tmp_path, fork, machine):
    network = {key: value for key, value in machine.environment({}).items() if key.startswith("GIT_CONFIG")}
    done, notebook = execute(fork / "notebooks" / NOTEBOOK.name, tmp_path, COLAB_RELEASE_TAG="release", **network)
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert (tmp_path / "course" / ".artifacts" / "scoreboard.json").exists()
