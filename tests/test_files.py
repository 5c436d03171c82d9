"""Folders appear whole or not at all, and nothing takes the place of what is not the course's own."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import files, pretrain, scoreboard, stages
from helpers.errors import CourseError
from helpers.lm import models

ROOT = Path(__file__).parent.parent


def make(folder, text="old", kind="folder"):
    """A folder of the course with one file."""
    with files.atomic_folder(folder, kind) as beside:
        (beside / "file").write_text(text)
    return folder


@pytest.fixture
def old(tmp_path):
    """Such a folder, the only thing in its parent."""
    return make(tmp_path / "folder")


def tree(folder):
    """Everything below a folder: path to content, or to where a link leads."""
    return {
        path.relative_to(folder).as_posix(): path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def is_untouched(old):
    return [path.name for path in old.parent.iterdir()] == [old.name] and (old / "file").read_text() == "old"


def test_the_new_folder_takes_the_place_of_the_old(old):
    with files.atomic_folder(old) as beside:
        (beside / "other").write_text("new")
        assert (old / "file").read_text() == "old"
    assert {path.name for path in old.iterdir()} == {"other", files.MANIFEST}
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_the_old_folder_is_whole_after_an_interruption(old, error):
    with pytest.raises(error), files.atomic_folder(old) as beside:
        (beside / "file").write_text("half")
        raise error
    assert is_untouched(old)


def test_a_full_disk_is_an_error_that_names_the_folder(old, course_error):
    with course_error(old, "disk"), files.atomic_folder(old):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert is_untouched(old)


def test_what_cannot_take_its_place_leaves_the_old_folder(old, course_error, monkeypatch):
    rename = Path.rename

    def fails_at_last(path, target):
        if path.suffix == ".part":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    with course_error(old, "Input/output"), files.atomic_folder(old):
        monkeypatch.setattr(Path, "rename", fails_at_last)
    assert is_untouched(old)


def test_a_file_in_the_way_is_named_with_the_remedy(tmp_path, course_error):
    (tmp_path / "file").write_text("")
    within = tmp_path / "file" / "folder"
    with course_error(within, "in the way", "COURSE_ARTIFACTS"), files.atomic_folder(within):
        pass


def test_what_somebody_adds_while_a_folder_is_written_is_kept(old, course_error):
    with course_error(old, "thesis.txt"), files.atomic_folder(old):
        (old / "thesis.txt").write_text("work")
    assert (old / "thesis.txt").read_text() == "work" and list(old.parent.iterdir()) == [old]


def test_what_a_killed_process_left_is_cleared_away_or_put_back(old, tmp_path):
    half = tmp_path / ".folder.part"
    half.mkdir()
    (half / files.MANIFEST).write_text(json.dumps({"kind": "folder", "files": None}))
    (half / "file").write_text("half")
    old.rename(tmp_path / ".folder.old")
    files.remove(tmp_path / "another", "folder")
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(ZeroDivisionError), files.atomic_folder(old):
        raise ZeroDivisionError
    assert is_untouched(old)


def with_work(folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("work")


def ours_and(*parts):
    """A folder made by the course with something more in it."""

    def put(folder, kind):
        make(folder, kind=kind)
        target = folder.joinpath(*parts)
        target.parent.mkdir(exist_ok=True)
        target.write_text("work")

    return put


def link_within(folder, kind):
    make(folder, kind=kind)
    (folder / "link").symlink_to(folder.parent / "elsewhere")


def changed(folder, kind):
    make(folder, kind=kind)
    (folder / "file").write_text("mine")


def link(folder, kind):
    with_work(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


def link_to_nothing(folder, kind):
    folder.symlink_to("nowhere")


def a_manifest_of_others(folder, kind):
    folder.mkdir()
    (folder / files.MANIFEST).write_text('{"name": "a web app"}')


FOREIGN = {
    "a folder with work": lambda folder, kind: with_work(folder),
    "a file": lambda folder, kind: folder.write_text("work"),
    "a link": link,
    "a link to nothing": link_to_nothing,
    "a stranger's file in it": ours_and("thesis.txt"),
    "a stranger's folder in it": ours_and("thesis", "chapter.txt"),
    "a link in it": link_within,
    "a file of it changed": changed,
    "another kind": lambda folder, kind: make(folder, kind="something else"),
    "a checkout": lambda folder, kind: shutil.copytree(ROOT / "tests", folder),
    "a manifest of others": a_manifest_of_others,
    "a model of another program": lambda folder, kind: shutil.copytree(
        models.PRETRAINED / "small", folder, ignore=shutil.ignore_patterns(files.MANIFEST)
    ),
}


@pytest.fixture(params=FOREIGN)
def put(request):
    return FOREIGN[request.param]


def test_nothing_takes_the_place_of_what_is_not_ours(put, tmp_path, course_error):
    put(tmp_path / "folder", "folder")
    before = tree(tmp_path)
    with course_error(tmp_path / "folder", "move this one away"), files.atomic_folder(tmp_path / "folder"):
        raise AssertionError("no work is to begin")
    with course_error(tmp_path / "folder"):
        files.remove(tmp_path / "folder", "folder")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("where", ["folder", ".folder.run", ".folder.part", ".folder.old"])
def test_the_command_replaces_nothing_that_is_not_a_model_of_its_own(put, where, tmp_path, capsys):
    if where in (".folder.part", ".folder.old") and put is FOREIGN["another kind"]:
        pytest.skip("of whatever kind, what is called so is left behind by the course")
    put(tmp_path / where, "run" if where.endswith("run") else "model")
    before = tree(tmp_path)
    with pytest.raises(SystemExit) as stop:
        pretrain.main(["--size", "small", "--tokens", "20000", "--out", str(tmp_path / "folder")])
    assert str(tmp_path / where) in stop.value.code and "\n" not in stop.value.code
    assert tree(tmp_path) == before and capsys.readouterr().out == ""


@pytest.mark.parametrize("out", [".", "..", "", "sub/..", "./"])
def test_the_command_replaces_no_folder_that_one_is_in(out, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub" if out == ".." else tmp_path)
    before = tree(tmp_path)
    with pytest.raises(SystemExit) as stop:
        pretrain.main(["--tokens", "20000", "--out", out])
    assert "so nothing is put in its place" in stop.value.code
    assert tree(tmp_path) == before
    monkeypatch.chdir(tmp_path / "sub")
    with pytest.raises(SystemExit) as stop:  # an empty one
        pretrain.main(["--tokens", "20000", "--out", "."])
    assert "the folder you are in" in stop.value.code


def test_the_command_replaces_neither_its_text_nor_the_folder_of_its_text(tmp_path):
    text = tmp_path / "texts" / "my.txt"
    text.parent.mkdir()
    text.write_text("A line of my own.\n" * 100)
    for out in (text, text.parent):
        with pytest.raises(SystemExit) as stop:
            pretrain.main(["--text", str(text), "--tokens", "2000", "--out", str(out)])
        assert str(out) in stop.value.code
    assert tree(tmp_path).keys() == {"texts", "texts/my.txt"}


@pytest.mark.parametrize("place", [models.PRETRAINED / "small", models.PRETRAINED, models.PRETRAINED / "own"])
def test_a_shipped_model_is_replaced_on_request_only(place, tmp_path):
    (tmp_path / "link").symlink_to(models.PRETRAINED)
    before = tree(models.PRETRAINED)
    for out in (place, tmp_path / "link" / place.name):
        with pytest.raises(SystemExit) as stop:
            pretrain.main(["--tokens", "20000", "--out", str(out)])
        assert "\n" not in stop.value.code
    assert tree(models.PRETRAINED) == before


def test_a_shipped_model_that_somebody_changed_is_not_replaced_on_request_either(tmp_path, monkeypatch):
    shutil.copytree(models.PRETRAINED, tmp_path / "pretrained")
    monkeypatch.setattr(models, "PRETRAINED", tmp_path / "pretrained")
    (tmp_path / "pretrained" / "small" / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        pretrain.main(["--tokens", "20000", "--replace-shipped"])
    assert "notes.txt" in stop.value.code
    assert (tmp_path / "pretrained" / "small" / "notes.txt").read_text() == "mine"


def test_a_stage_replaces_nothing_that_is_not_that_stage(put, tmp_path, small, capsys):
    put(tmp_path / "lora", "stage 'lora'")
    before = tree(tmp_path)
    made = stages.load_or_train("lora", *small, lambda: small[0], seconds=1, settings={}, folder=tmp_path)
    assert made is small[0]  # trained all the same
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "so nothing is put in its place" in said[1]
    assert tree(tmp_path) == before


def test_an_artifact_may_be_looked_at_on_any_system(old):
    (old / ".DS_Store").write_bytes(b"what macOS leaves")
    make(old, "new")
    assert (old / "file").read_text() == "new"


def test_the_disk_must_have_room(tmp_path, course_error, monkeypatch):
    files.check_space(tmp_path / "not" / "there", 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10, 9, 1))
    with course_error(tmp_path, "free some disk space"):
        files.check_space(tmp_path / "not" / "there", 1000)
    with pytest.raises(SystemExit) as stop:
        pretrain.main(["--tokens", "20000", "--out", str(tmp_path / "m")])
    assert "free some disk space" in stop.value.code and list(tmp_path.iterdir()) == []


def test_artifacts_are_where_the_reader_wants_them(tmp_path):
    code = "from helpers import scoreboard, stages; print(scoreboard.FILE, stages.ARTIFACTS)"
    environment = {"COURSE_ARTIFACTS": str(tmp_path / "mine"), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / "mine" / "scoreboard.json"), str(tmp_path / "mine")]


WRITER = """
import sys; sys.path.insert(0, {root!r})
from pathlib import Path
from helpers import files, scoreboard, stages
from helpers.lm.models import load
from helpers.stats import Rate
import torch
me, folder = sys.argv[1], Path(sys.argv[2])
model, tokenizer = load("small")
for number in range(200):
    with files.atomic_folder(folder / "stage", "stage 'stage'") as beside:
        for name in "ab":
            (beside / name).write_text(f"{{me}} {{number}}")
    scoreboard.record(f"{{me}} {{number}}", folder / "scoreboard.json", grammar=Rate.of([1, 0]))
    if number % 50 == 0:
        stages.save(model, tokenizer, folder / "real", {{"seed": 0}})
        stages.load(folder / "real", model, {{"seed": 0}})
"""


def test_two_processes_lose_nothing_of_each_other(tmp_path):
    words = [sys.executable, "-c", WRITER.format(root=str(ROOT))]
    both = [subprocess.Popen([*words, me, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for me in ("one", "two")]
    said = [process.communicate()[0].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "cannot" not in "".join(said)
    assert set(scoreboard.read(tmp_path / "scoreboard.json")) == {f"{me} {n}" for me in ("one", "two") for n in range(200)}
    assert (tmp_path / "stage" / "a").read_text() == (tmp_path / "stage" / "b").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real", "scoreboard.json", "stage"]


def test_a_lock_may_refuse_instead_of_wait(old):
    with files.locked(old / "file"), pytest.raises(CourseError, match="busy"), files.locked(old / "file", "is busy"):
        pass
