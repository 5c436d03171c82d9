"""No click is lost, none counts twice, and a line that is no label is named."""

import pytest

from helpers.feedback import labels
from helpers.feedback.labels import Label

FIRST = Label("Who?", "I.", "It is I.", "left")
SECOND = Label("Where?", "Here.", "Certainly. Here.", "right")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "folder" / "labels.jsonl"


def written(file, *given):
    for label in given:
        labels.append(file, label)
    return labels.read(file)


def test_without_a_file_there_is_no_label(file):
    assert labels.read(file) == ([], [])


def test_labels_come_back_as_they_were_given(file):
    tie = Label("Why?", "So.", "Because.", "tie", "Ann")
    assert written(file, FIRST, SECOND, tie) == ([FIRST, SECOND, tie], [])


def test_the_last_word_about_a_pair_counts_and_the_file_only_grows(file):
    written(file, FIRST, SECOND)
    before = file.read_bytes()
    changed = Label(FIRST.prompt, FIRST.left, FIRST.right, "tie")
    assert written(file, changed) == ([changed, SECOND], [])
    assert file.read_bytes().startswith(before)


def test_a_label_can_be_taken_back(file):
    undone = Label(SECOND.prompt, SECOND.left, SECOND.right, labels.UNDONE)
    assert written(file, FIRST, SECOND, undone) == ([FIRST], [])


def test_files_of_two_readers_are_put_together_even_if_both_are_called_the_same(tmp_path):
    ann, ben = tmp_path / "ann.jsonl", tmp_path / "ben.jsonl"
    other = Label(FIRST.prompt, FIRST.left, FIRST.right, "right")
    written(ann, FIRST, SECOND)
    written(ben, other)
    ben.write_bytes(ben.read_bytes() + b"{\n")
    found, complaints = labels.read(ann, ben, tmp_path / "none.jsonl")
    assert found == [FIRST, SECOND, other]
    assert len(complaints) == 1 and complaints[0].startswith("ben.jsonl, line 2")
    assert labels.agreement(*(labels.read(file)[0] for file in (ann, ben))).value == 0


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b"7", b'{"prompt": []}', b"\xff", FIRST.line().replace('"left"', '"up"').encode()], ids=repr
)
def test_a_line_that_is_no_label_is_named_with_its_number_and_skipped(file, line):
    written(file, FIRST)
    file.write_bytes(file.read_bytes() + line + b"\n")
    found, complaints = written(file, SECOND)
    assert found == [FIRST, SECOND]
    assert len(complaints) == 1 and "line 2" in complaints[0] and "labels.jsonl" in complaints[0]


def test_a_run_killed_within_a_line_spoils_no_other(file):
    written(file, FIRST)
    file.write_bytes(file.read_bytes() + SECOND.line().encode()[:20])
    found, complaints = written(file, SECOND)
    assert found == [FIRST, SECOND] and len(complaints) == 1


def test_a_label_that_cannot_be_saved_is_said(tmp_path, course_error):
    (tmp_path / "folder").write_text("not a folder")
    with course_error("the label was not saved", "click again"):
        labels.append(tmp_path / "folder" / "labels.jsonl", FIRST)


def test_a_file_that_cannot_be_read_is_said(tmp_path, course_error):
    with course_error("cannot be read", "another file"):
        labels.read(tmp_path)


def test_preferences_are_the_better_and_the_worse_reply_without_ties():
    tie = Label("Why?", "So.", "Because.", "tie")
    first, second = labels.preferences([FIRST, tie, SECOND])
    assert first["chosen"] == [{"role": "assistant", "content": "I."}]
    assert second["rejected"] == [{"role": "assistant", "content": "Here."}]
    assert second["prompt"] == [{"role": "user", "content": "Where?"}]


def test_agreement_is_over_the_pairs_that_both_labelled(course_error):
    other = [Label(FIRST.prompt, FIRST.left, FIRST.right, "left", "Ann"), Label("Why?", "So.", "Well.", "tie", "Ann")]
    assert labels.agreement([FIRST, SECOND], other).n == 1
    assert labels.agreement([FIRST, SECOND], other).value == 1
    with course_error("share no pair"):
        labels.agreement([SECOND], other)
