"""Exercises say whether an answer is right, and with COURSE_SOLUTIONS=1 whether their own solutions are."""

import re

import course
import nbformat
import pytest

from helpers.exercises import Exercises

SOLUTIONS = "def solution_1():\n    return base + 1\n\ndef wrong_1():\n    return base\n"


@pytest.fixture
def exercises(tmp_path):
    (tmp_path / "s.py").write_text(SOLUTIONS)
    return Exercises(tmp_path / "s.py", {"base": 41})


@pytest.mark.parametrize(
    ("answer", "said"),
    [(None, "not answered yet."), (42, "right."), (7, "not yet. Hint: add one."), ("x", "cannot be read (TypeError")],
)
def test_an_answer_is_judged_in_one_line(exercises, monkeypatch, capsys, answer, said):
    monkeypatch.delenv("COURSE_SOLUTIONS", raising=False)
    exercises.check(1, answer, lambda number: number - 42 == 0, "add one")
    out = capsys.readouterr().out
    assert out.startswith("Exercise 1: ") and said in out and out.count("\n") == 1


def test_solutions_are_opened_only_on_purpose(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("COURSE_SOLUTIONS", raising=False)
    Exercises(tmp_path / "none.py", {}).check(1, None, bool, "")
    monkeypatch.setenv("COURSE_SOLUTIONS", "1")
    with pytest.raises(FileNotFoundError):
        Exercises(tmp_path / "none.py", {}).check(1, None, bool, "")


@pytest.mark.parametrize(("judge", "message"), [(lambda n: True, "a wrong answer passes"), (lambda n: False, "is refused")])
def test_a_check_that_misjudges_its_solution_or_a_wrong_answer_is_found(exercises, monkeypatch, judge, message):
    monkeypatch.setenv("COURSE_SOLUTIONS", "1")
    exercises.check(1, None, lambda number: number == 42, "")
    with pytest.raises(AssertionError, match=message):
        exercises.check(1, None, judge, "")


def test_every_notebook_has_three_to_five_exercises_with_a_solution_and_a_wrong_answer_each():
    for path in course.NOTEBOOKS:
        text = (path.parent / "solutions" / f"{path.name[:2]}.py").read_text(encoding="utf-8")
        numbers = [n for n in range(1, 9) if f"def solution_{n}(" in text]
        assert 3 <= len(numbers) <= 5 and all(f"def wrong_{n}(" in text for n in numbers), path.name
        cells = nbformat.read(path, as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        assert [int(n) for n in re.findall(r"\.check\(\s*(\d),", code)] == numbers, path.name
