"""The labelling widget, by itself and in a real JupyterLab: clicks and keys are in the file, and a restart loses none."""

import json
import os
from pathlib import Path

import lab_of
import nbformat
import pytest

from helpers.data import Pair, Reply
from helpers.feedback import labels
from helpers.feedback.labelling import Labelling
from helpers.world import tastes

ROOT = Path(__file__).parent.parent
PAIRS = [Pair(q, Reply(f"{q.y}."), Reply(q.answers[0])) for q in tastes.questions(4)]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "labels.jsonl"


def choices(file):
    return [label.choice for label in labels.read(file)[0]]


def test_a_click_is_in_the_file_at_once_in_the_trainers_format(file):
    widget = Labelling(PAIRS, file)
    asked = PAIRS[0].question
    assert (widget.prompt, widget.left, widget.right) == (asked.text, f"{asked.y}.", asked.answers[0])
    widget.click("right")
    row = json.loads(file.read_text())
    assert row["prompt"] == [{"role": "user", "content": asked.text}]
    assert row["chosen"] == [{"role": "assistant", "content": asked.answers[0]}]
    assert row["rejected"] == [{"role": "assistant", "content": f"{asked.y}."}]
    assert (widget.done, widget.total, widget.prompt) == (1, 4, PAIRS[1].question.text)


def test_undo_takes_back_and_appends(file):
    widget = Labelling(PAIRS, file)
    for choice in ("left", "right", "undo", "tie"):
        widget.click(choice)
    assert choices(file) == ["left", "tie"]
    assert len(file.read_text().splitlines()) == 4
    widget.click("undo"), widget.click("undo"), widget.click("undo")
    assert choices(file) == [] and widget.done == 0


def test_a_later_session_goes_on_where_this_one_ended(file):
    first = Labelling(PAIRS, file)
    first.click("left"), first.click("tie")
    later = Labelling(PAIRS[::-1], file)
    assert later.done == 2 and later.prompt == PAIRS[3].question.text
    for _ in range(5):
        later.click("right")
    assert (later.done, choices(file)) == (4, ["left", "tie", "right", "right"])
    assert Labelling(PAIRS, file, "another").done == 0


def test_a_corrupt_line_is_shown_with_its_number(file):
    Labelling(PAIRS, file).click("left")
    file.write_text(file.read_text() + '{"prompt": [\n')
    assert "line 2" in Labelling(PAIRS, file).message


def test_a_label_that_cannot_be_saved_leaves_its_pair_on_the_screen(file, monkeypatch):
    widget = Labelling(PAIRS, file)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    widget.click("left")
    assert widget.done == 0 and "free some disk space" in widget.message


def test_a_click_for_a_pair_that_is_gone_does_not_count(file):
    widget = Labelling(PAIRS, file)
    for _ in range(2):
        widget._heard({"choice": "left", "shown": 0})
    widget._heard({"choice": "nonsense", "shown": 1})
    assert widget.done == 1


def test_a_list_of_answers_writes_what_clicks_write(file, tmp_path):
    widget = Labelling(PAIRS, tmp_path / "clicked.jsonl")
    for choice in ("left", "tie", "right"):
        widget.click(choice)
    assert labels.give(file, PAIRS, ["left", "tie", "right"]) == 3
    assert file.read_bytes() == (tmp_path / "clicked.jsonl").read_bytes()
    assert labels.give(file, PAIRS, ["left", "tie", "right"]) == 0  # the cell is run again
    assert labels.give(file, PAIRS, ["left", "left", "right", "right"]) == 2
    assert choices(file) == ["left", "left", "right", "right"] and len(file.read_text().splitlines()) == 5
    assert Labelling(PAIRS, file).done == 4  # and the widget goes on from there


def test_what_is_no_answer_is_refused_before_any_is_written(file, course_error):
    for given, said in (
        (["left", "lft"], "answer 2 is 'lft'"),
        (["tie"] * 5, "5 answers to 4 pairs"),
        ([None], "answer 1 is None"),
    ):
        with course_error(said):
            labels.give(file, PAIRS, given)
    assert not file.exists()


CELL = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from helpers.data import Pair, Reply
from helpers.feedback.labelling import Labelling
from helpers.world import tastes
pairs = [Pair(q, Reply(q.y + "."), Reply(q.answers[0])) for q in tastes.questions(4)]
Labelling(pairs, Path("labels.jsonl"))
"""


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab server on a folder with one notebook; gives its address."""
    with lab_of.server(tmp_path, nbformat.v4.new_code_cell(CELL)) as address:
        yield address


def test_in_a_browser_clicks_and_keys_label_and_a_restart_finds_them(lab, file):
    with lab_of.page(lab) as (page, expect):
        count = page.locator(".labelling-count")
        lab_of.run_the_cell(page)
        expect(count).to_have_text("0 of 4", timeout=60_000)
        page.locator(".labelling-card-right").click()
        expect(count).to_have_text("1 of 4")
        page.keyboard.press("ArrowLeft")
        expect(count).to_have_text("2 of 4")
        page.keyboard.press("ArrowDown")
        expect(count).to_have_text("3 of 4")
        assert choices(file) == ["right", "left", "tie"]
        page.keyboard.press("Backspace")
        expect(count).to_have_text("2 of 4")
        page.locator(".labelling-tie").click()
        expect(count).to_have_text("3 of 4")  # what comes before the next pair is shown does not count
        page.locator(".labelling-undo").click()
        expect(count).to_have_text("2 of 4")
        assert choices(file) == ["right", "left"]

        page.get_by_role("menuitem", name="Kernel", exact=True).click()
        page.get_by_role("menuitem", name="Restart Kernel and Clear Outputs of All Cells…").click()
        page.locator(".jp-Dialog .jp-mod-accept").click()
        expect(count).to_have_count(0)
        lab_of.run_the_cell(page)
        expect(count).to_have_text("2 of 4", timeout=60_000)
        expect(page.locator(".labelling-prompt")).to_have_text(PAIRS[2].question.text)
        page.keyboard.press("ArrowRight")  # the focus is in the notebook: the widget does not hear this
        page.locator(".labelling-right").click()
        expect(count).to_have_text("3 of 4")
        page.keyboard.press("ArrowRight")
        expect(page.locator(".labelling-prompt")).to_have_text("All pairs are labelled. Thank you!")
    assert choices(file) == ["right", "left", "right", "right"]
    assert len(file.read_text().splitlines()) == 8
