"""The scoreboard grows, and survives what can happen to a file."""

import errno
import re
from pathlib import Path

import course
import nbformat
import pytest

from helpers import scoreboard
from helpers.stats import Rate

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
    for stage in ("my own", "RLHF", "LoRA on news", "base"):
        scoreboard.record(stage, file, grammar=HALF)
    assert list(scoreboard.read(file)) == ["base", "LoRA on news", "RLHF", "my own"]


def test_every_stage_of_the_notebooks_has_its_place():
    sources = [cell.source for path in course.NOTEBOOKS for cell in nbformat.read(path, as_version=4).cells]
    recorded = {stage for source in sources for stage in re.findall(r'scoreboard\.record\("(.*?)"', source)}
    assert recorded and recorded <= set(scoreboard.STAGES)


def test_keywords_name_the_skills_of_the_course(file):
    table = scoreboard.record("base", file, **dict.fromkeys(scoreboard.SKILLS, HALF))
    columns = [column for column, _ in scoreboard.SKILLS.values()]
    assert list(table["base"]) == columns and len(set(columns)) == len(columns)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '{"base": 3}', '{"base": {"facts": {"value": 1}}}', "\xff"])
def test_a_damaged_file_is_named_and_left_alone_and_the_notebook_goes_on(file, content, course_error, capsys):
    file.parent.mkdir()
    file.write_text(content, encoding="latin-1")
    with course_error(file):
        scoreboard.read(file)
    assert scoreboard.record("base", file, grammar=HALF) == {"base": {"grammar": HALF}}
    assert_said(capsys, file, "not a scoreboard")
    assert file.read_text(encoding="latin-1") == content


def assert_said(capsys, *parts):
    """One line was printed, and it holds these."""
    (line,) = capsys.readouterr().out.splitlines()
    assert all(str(part) in line for part in parts), line
    assert line.endswith("this row is not saved")


def a_file_as_folder(file):
    file.parent.write_text("")


def a_folder_as_file(file):
    file.mkdir(parents=True)


@pytest.mark.parametrize("in_the_way", [a_file_as_folder, a_folder_as_file])
def test_where_it_cannot_be_saved_that_is_said_and_the_notebook_goes_on(file, in_the_way, capsys):
    in_the_way(file)
    assert scoreboard.record("base", file, grammar=HALF) == {"base": {"grammar": HALF}}
    assert_said(capsys, file.parent, "COURSE_ARTIFACTS")


def test_a_link_to_a_scoreboard_elsewhere_is_followed(file, tmp_path):
    file.parent.mkdir()
    file.symlink_to(tmp_path / "elsewhere.json")
    scoreboard.record("base", file, grammar=HALF)
    assert file.is_symlink() and scoreboard.read(tmp_path / "elsewhere.json") == {"base": {"grammar": HALF}}


@pytest.mark.parametrize("function", ["write_text", "replace"])
def test_a_failed_write_leaves_the_old_file(file, monkeypatch, function, capsys):
    scoreboard.record("base", file, grammar=HALF)

    def full(path, *args, **kwargs):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, function, full)
    assert scoreboard.record("base", file, facts=ALL) == {"base": {"grammar": HALF, "facts": ALL}}
    assert_said(capsys, file, "No space left")
    assert scoreboard.read(file) == {"base": {"grammar": HALF}}
    assert list(file.parent.iterdir()) == [file]
