"""One command puts the course under an owner's name: everything agrees, and nothing is left of another owner."""

import ast
import re
import shutil

import course
import nbformat
import pytest

from helpers import publish

URL = r"github(?:\.com)?/([\w.-]+/[\w.-]+)/blob/([\w.-]+)/notebooks/([\w.-]+\.ipynb)"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of what is stamped."""
    (tmp_path / "notebooks").mkdir()
    for path in course.NOTEBOOKS:
        shutil.copy(path, tmp_path / "notebooks")
    shutil.copy(course.ROOT / "README.md", tmp_path)
    monkeypatch.setattr(publish, "ROOT", tmp_path)
    return tmp_path


def first_code_cell(notebook):
    return next(cell for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", course.NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_begins_with_the_set_up_cell_of_its_stamp(path):
    if not course.is_own(path):
        pytest.skip("changed by who has worked in it")
    notebook = nbformat.read(path, as_version=4)
    stamp = notebook.metadata.get("course", {"repository": "", "tag": ""})
    cell = first_code_cell(notebook)
    assert cell.id == "set-up" and cell.source == publish.set_up(path.name, stamp["repository"], stamp["tag"])
    assert cell.outputs == [] and cell.metadata.jupyter.source_hidden  # folded in JupyterLab
    assert ("badges" in {cell.id for cell in notebook.cells}) == bool(stamp["repository"])  # unpublished, no link is shown
    assert "sys.path" not in "".join(c.source for c in notebook.cells if c is not cell)


def test_all_notebooks_have_one_stamp():
    stamps = {str(nbformat.read(path, as_version=4).metadata.get("course")) for path in course.NOTEBOOKS}
    assert len(stamps) == 1


@pytest.mark.parametrize("cell", [publish.set_up("01"), publish.set_up("02"), publish.set_up("01", "ada/course", "v1.0")])
def test_the_set_up_cell_is_below_ten_lines_and_loads_the_standard_library_only(cell):
    assert len(cell.splitlines()) < 10
    loaded = {name.name for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Import) for name in node.names}
    loaded |= {node.module for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.ImportFrom)}
    assert loaded == {"os", "re", "subprocess", "sys", "pathlib", "helpers"}


def test_a_stamp_is_the_same_everywhere_and_another_owner_leaves_nothing_of_it(copy, capsys):
    publish.main(["zoe-first/first-course", "v1.0"])
    for repository, tag in (("bob/second", "2026-autumn"), ("bob/second", "2026-autumn")):
        publish.main([repository, tag])
        texts = {path.name: path.read_text(encoding="utf-8") for path in (copy / "notebooks").iterdir()}
        readme = (copy / "README.md").read_text(encoding="utf-8")
        assert not any("first-course" in text or "zoe-first" in text for text in [*texts.values(), readme])
        for name, text in texts.items():
            notebook = nbformat.reads(text, as_version=4)
            nbformat.validate(notebook)
            assert notebook.metadata["course"] == {"repository": repository, "tag": tag}
            cells = [cell for cell in notebook.cells if cell.id in ("badges", "set-up")]
            assert [cell.id for cell in cells] == ["badges", "set-up"]
            assert re.findall(URL, cells[0].source) == [(repository, tag, name)] * 2
            assert cells[1].source == publish.set_up(name, repository, tag) and cells[1] is first_code_cell(notebook)
        assert re.findall(URL, readme) == [(repository, tag, path.name) for path in course.NOTEBOOKS for _ in range(2)]
    assert "git tag 2026-autumn && git push origin HEAD 2026-autumn" in capsys.readouterr().out


def test_nothing_but_stamps_is_changed(copy):
    publish.main(["ada/course", "v1.0"])
    for path in course.NOTEBOOKS:
        before, after = (nbformat.read(place, as_version=4) for place in (path, copy / "notebooks" / path.name))
        own = [[cell for cell in notebook.cells if cell.id not in ("badges", "set-up")] for notebook in (before, after)]
        assert own[0] == own[1]
    before, after = ((folder / "README.md").read_text(encoding="utf-8") for folder in (course.ROOT, copy))
    assert [text.partition(publish.MARKS[0])[0] for text in (before, after)] == [before.partition(publish.MARKS[0])[0]] * 2
    assert after.endswith(before.partition(publish.MARKS[1])[2])


def test_a_notebook_of_the_readers_is_left_alone(copy):
    mine = copy / "notebooks" / "mine.ipynb"
    shutil.copy(course.NOTEBOOKS[0], mine)
    before = mine.read_bytes()
    publish.main(["ada/course", "v1.0"])
    assert mine.read_bytes() == before
    assert "mine" not in (copy / "README.md").read_text(encoding="utf-8")


REFUSED = ["ada v1", "ada/a/b v1", "/a v1", "ada/a -x", "ada/a v1;ls", "https://github.com/ada/a v1", "ada/a ", "ada/.. v1",
           "ada/a v1..2", "ada/a x.lock", "ada/a.git v1", "ada/$HOME v1", 'ada/a" v1']  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_no_repository_or_tag_is_refused_before_anything_is_written(copy, words, capsys):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as stop:
        publish.main(["--", *words.split(" ")])
    assert str(stop.value).startswith("error: ") and "\n" not in str(stop.value)
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("text", ["{", '{"cells": 1}', ""])
def test_a_broken_notebook_is_named_and_nothing_is_written(copy, text):
    broken = copy / "notebooks" / course.NOTEBOOKS[-1].name
    broken.write_text(text)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit, match=broken.name):
        publish.main(["ada/course", "v1.0"])
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_readme_without_a_place_for_badges_is_named(copy):
    (copy / "README.md").write_text("mine")
    with pytest.raises(SystemExit, match=r"README\.md: the lines <!-- badges -->"):
        publish.main(["ada/course", "v1.0"])
