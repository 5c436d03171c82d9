"""The repository is laid out as its README says, and its modules build on one another in one direction."""

import ast
import re
import subprocess
from pathlib import Path

import course
import pytest

import helpers
from helpers import world

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


@pytest.mark.parametrize(("package", "module"), [("helpers", helpers), ("helpers.world", world)], ids=["helpers", "world"])
def test_imports_run_one_way(package, module):
    folder, order = Path(module.__file__).parent, order_in(module.__doc__)
    assert {path.stem for path in MODULES if path.parent == folder} - {"__init__"} <= set(order)
    for place, name in enumerate(order):
        files = [folder / f"{name}.py"] if (folder / f"{name}.py").exists() else (folder / name).glob("*.py")
        for file in files:
            above = imported(file, package) - ({name} if (folder / name).is_dir() else set())
            assert above <= set(order[:place]), f"{file.name} imports {above - set(order[:place])}"


def test_a_wrong_import_would_be_seen(tmp_path):
    (tmp_path / "a.py").write_text("import helpers.plots\nfrom helpers import cost\nfrom helpers.world.facts import table\n")
    assert imported(tmp_path / "a.py", "helpers") == {"plots", "cost", "world"}


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
