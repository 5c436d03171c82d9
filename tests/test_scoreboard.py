"""The scoreboard grows, and survives what can happen to a file."""

import errno
import re
from pathlib import Path

import nbformat
import pytest

from helpers import scoreboard
from helpers.measure import Rate

HALF, ALL = Rate.of([True, False]), Rate.of([True] * 20)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "made" / "scoreboard.json"


def test_it_is_empty_at_first(file):
    assert scoreboard.read(file) == {}


def test_what_is_recorded_is_read_again(file):
    table = scoreboard.record("base", file, grammar=HALF, few_shot=ALL)
    assert table == scoreboard.read(file) == {"base": {"grammar": HALF, "few-shot": ALL}}


def test_it_grows_by_skill_and_by_stage_and_keeps_the_latest(file):
    scoreboard.record("base", file, grammar=HALF)
    scoreboard.record("base", file, facts=ALL)
    scoreboard.record("chat", file, grammar=HALF)
    scoreboard.record("chat", file, grammar=ALL)
    assert scoreboard.read(file) == {"base": {"grammar": HALF, "facts": ALL}, "chat": {"grammar": ALL}}


def test_the_rows_stand_in_the_order_of_the_course(file):
    for stage in ("my own", "RLHF", "LoRA", "base"):
        scoreboard.record(stage, file, grammar=HALF)
    assert list(scoreboard.read(file)) == ["base", "LoRA", "RLHF", "my own"]


def test_every_stage_of_the_notebooks_has_its_place():
    notebooks = Path(__file__).parent.parent / "notebooks"
    sources = [cell.source for path in notebooks.glob("*.ipynb") for cell in nbformat.read(path, as_version=4).cells]
    recorded = {stage for source in sources for stage in re.findall(r'scoreboard\.record\("(.*?)"', source)}
    assert recorded and recorded <= set(scoreboard.STAGES)


def test_keywords_name_the_skills_of_the_course(file):
    table = scoreboard.record("base", file, **{skill.replace("-", "_"): HALF for skill in scoreboard.SKILLS})
    assert tuple(table["base"]) == scoreboard.SKILLS


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"base": 3}', '{"base": {"facts": {"value": 1}}}', "\xff"])
def test_a_damaged_file_is_an_error_that_names_it(file, content, course_error):
    file.parent.mkdir()
    file.write_text(content, encoding="latin-1")
    with course_error(file):
        scoreboard.read(file)
    with course_error(file):
        scoreboard.record("base", file, grammar=HALF)
    assert file.read_text(encoding="latin-1") == content


@pytest.mark.parametrize("function", ["write_text", "replace"])
def test_a_failed_write_leaves_the_old_file(file, monkeypatch, function, course_error):
    scoreboard.record("base", file, grammar=HALF)

    def full(path, *args, **kwargs):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, function, full)
    with course_error(file, "No space left"):
        scoreboard.record("base", file, facts=ALL)
    assert scoreboard.read(file) == {"base": {"grammar": HALF}}
    assert list(file.parent.iterdir()) == [file]
