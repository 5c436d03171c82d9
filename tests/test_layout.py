"""The repository is laid out as its README says, and its modules build on one another in one direction."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import course
import nbformat
import pytest

import helpers
from helpers import feedback, lm, public, setup, show, training, world

ROOT = Path(__file__).parent.parent
MODULES = course.tracked("helpers/**/*.py")


def test_the_top_level_holds_nothing_else():
    try:
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    if not listed:
        pytest.skip("a copy without its own git history")
    top = {line.split("/")[0] for line in listed.splitlines()}
    visible = {name for name in top if not name.startswith(".")}
    assert visible == {"README.md", "requirements.txt", "environment.yml", "notebooks", "helpers", "tests"}


def test_every_requirement_has_a_lower_and_an_upper_bound():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w-]+>=[\d.]+,<[\d.]+", line)] == []


#: Packages whose modules have another name, and those that a listed one is for: pytest comes with nbval.
OTHER_NAMES = {"PIL": "pillow", "IPython": "ipython", "sklearn": "scikit-learn", "pytest": "nbval", "accelerate": "trl"}


def packages(text: str) -> set[str]:
    """Packages, by the names they are installed under, that a Python text imports and that are not the standard library."""
    nodes = list(ast.walk(ast.parse(text)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    top = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names)
    return {OTHER_NAMES.get(name, name) for name in top}


def test_what_is_imported_is_listed():
    listed = {name for name, _ in setup.requirements()}
    own = {"helpers", "google", *(path.stem for path in course.tracked("tests/*.py"))}  # google.colab is Colab's
    texts = {path.name: path.read_text(encoding="utf-8") for path in course.tracked("**/*.py")}
    for path in course.NOTEBOOKS:
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        texts[path.name] = "\n".join(cells)
    missing = {name: lacking for name, text in texts.items() if (lacking := packages(text) - listed - own)}
    assert missing == {}
    assert packages("import PIL.Image\nfrom yaml import load\nimport os.path") == {"pillow", "yaml"}


def test_the_conda_environment_takes_the_requirements():
    assert "-r requirements.txt" in (ROOT / "environment.yml").read_text()


@pytest.mark.parametrize("end", [r"jupyter lab( \S+\.ipynb)?", "pytest"])
def test_a_command_of_the_readme_is_complete(end):
    found = re.findall(rf"^(.+ && {end})$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1
    command = found[0] if isinstance(found[0], str) else found[0][0]
    assert re.search(r"-m venv \S+ && .*activate && pip install -r requirements\.txt && ", command)


def order_in(docstring: str) -> list[str]:
    """The modules that a package's docstring lists from bottom to top."""
    return re.findall(r"^    (\w+)/? {2,}\w", docstring, re.MULTILINE)


def imported(path: Path, package: str) -> set[str]:
    """Names of the modules of ``package`` that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.removeprefix(f"{package}.").split(".")[0] for name in names if name.startswith(f"{package}.")}
    return found


PACKAGES = [helpers, lm, training, world, public, feedback, show]


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.__name__)
def test_imports_run_one_way(module):
    package = module.__name__
    folder, order = Path(module.__file__).parent, order_in(module.__doc__)
    assert {path.stem for path in MODULES if path.parent == folder} - {"__init__"} <= set(order)
    for place, name in enumerate(order):
        files = [folder / f"{name}.py"] if (folder / f"{name}.py").exists() else (folder / name).glob("*.py")
        for file in files:
            above = imported(file, package) - ({name} if (folder / name).is_dir() else set())
            assert above <= set(order[:place]), f"{file.name} imports {above - set(order[:place])}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_can_be_read_in_one_go_and_touches_nothing_private_of_a_library(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350
    cell = text.partition('SET_UP = r"""')[2].partition('"""')[0].splitlines()  # the cell that is written into notebooks
    assert [line for line in text.splitlines() if len(line) > 100 and line not in cell] == []
    if path.stem not in ("compat", "checkpoints"):  # patches, and a Trainer that saves in another way
        assert private(text) == set()


def private(text: str) -> set[str]:
    """Private attributes of anything but the object itself and its class, by their names in the text."""
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    names = {ast.unparse(node) for node in nodes if node.attr.startswith("_") and not node.attr.startswith("__")}
    return {name for name in names if not name.startswith(("self._", "cls._", "os._exit"))}


def test_what_is_private_would_be_seen():
    assert private("torch._foreach_add_(x)\nself._own()\na.__doc__\ntrainer.state._logs") == {
        "torch._foreach_add_",
        "trainer.state._logs",
    }


WORLD_FREE = ("lm", "training", "public", "stats", "files", "runtime", "compat", "data", "setup")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_what_any_model_can_use_knows_no_world(path):
    if path.relative_to(ROOT / "helpers").parts[0].removesuffix(".py") in WORLD_FREE:
        known = imported(path, "helpers")
        assert known <= {"errors", *WORLD_FREE}, known


def test_a_wrong_import_would_be_seen(tmp_path):
    (tmp_path / "a.py").write_text("import helpers.show\nfrom helpers import cost\nfrom helpers.world.facts import table\n")
    assert imported(tmp_path / "a.py", "helpers") == {"show", "cost", "world"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_knows_no_notebook_and_loads_nothing_unsafe(path):
    text = path.read_text(encoding="utf-8")
    assert ".ipynb" not in text or path.stem == "publish"  # the one module that knows that there are notebooks
    assert [notebook.stem for notebook in course.NOTEBOOKS if notebook.stem in text] == []
    assert unsafe(text) == set()


def unsafe(text: str) -> set[str]:
    """Ways in which code of strangers could run: pickles, torch.load, remote code."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found |= {name for name in modules if name.split(".")[0] in ("pickle", "dill", "cloudpickle", "joblib")}
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "torch.save"):
            found.add(ast.unparse(node))
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            found.add(node.arg)
    return found


def test_what_is_unsafe_would_be_seen():
    assert unsafe("import pickle\ntorch.load(x)\nload(y, trust_remote_code=True)") == {
        "pickle",
        "torch.load",
        "trust_remote_code",
    }
