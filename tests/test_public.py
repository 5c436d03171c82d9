"""Public models and data: from a mirror or the hub, in parts that share nothing, and one line for all that can go wrong."""

import errno
import os
import subprocess
import sys

import course
import mirror
import pandas as pd
import pytest
from huggingface_hub import errors

from helpers import lm
from helpers.data import PARTS
from helpers.public import __main__ as command
from helpers.public import held_out, hub, medicine, news


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return mirror.make(tmp_path_factory.mktemp("hub"))


@pytest.fixture(autouse=True)
def mirrored(made, monkeypatch):
    monkeypatch.setenv("COURSE_HUB", str(made))
    forget()
    yield made
    forget()


def forget():
    news.tweets.cache_clear()
    medicine.rows.cache_clear()


def test_the_parts_of_the_tweets_share_none_and_leave_none_out():
    parts = {part: {held_out.words_of(text) for text, _ in news.tweets(part)} for part in PARTS}
    assert not parts["training"] & parts["validation"] and not (parts["training"] | parts["validation"]) & parts["test"]
    assert [len(found) for found in parts.values()] == [len(news.tweets(part)) for part in PARTS]
    assert sum(map(len, parts.values())) == 800  # 600 and 200; the five that stand in both are left out
    assert 0.05 < len(parts["validation"]) / 600 < 0.15


def test_words_of_a_tweet_are_its_own_without_links_and_signs():
    assert held_out.words_of("$CX - Cemex CUT! https://t.co/KN1g4AWFIb") == "cx cemex cut"
    assert held_out.without_links("A  b\n https://t.co/x c") == "A b c"


def test_prompts_of_tweets_are_those_of_the_planted_headlines_in_kind():
    prompts = news.sentiment(50, seed=1, part="test", shots=3)
    training = {text for text, _ in news.tweets("training")}
    test = {text for text, _ in news.tweets("test")}
    for prompt in prompts:
        *examples, last = prompt.text.split("\n")
        assert len(examples) == 3 and last.removesuffix(" ->") in test and prompt.answer in prompt.choices
        assert {line.rsplit(" -> ", 1)[0] for line in examples} <= training
    assert prompts == news.sentiment(50, seed=1, part="test", shots=3) != news.sentiment(50, seed=2, part="test", shots=3)
    assert len({prompt.text for prompt in news.sentiment(part="test")}) == 200
    assert {p.answer for p in news.sentiment(60, words=("a", "b", "c"))} == {" a", " b", " c"}


def test_tweets_can_be_sorted_under_any_labels():
    task = news.label_task()
    groups = {group: {task.draw(mirror.Random(n), group) for n in range(20)} for group in task.classes}
    assert set(groups) == set(news.SENTIMENTS) and not set.intersection(*groups.values())


def test_more_tweets_than_there_are_is_said(course_error):
    with course_error("how_many is 999", "200"):
        news.sentiment(999, part="test")


def test_the_parts_of_pubmedqa_share_none_and_no_prompt_holds_the_conclusion():
    questions = {part: medicine.questions(part) for part in PARTS}
    texts = {part: {prompt.text for prompt in group} for part, group in questions.items()}
    assert sum(map(len, texts.values())) == 120 and not set.intersection(*texts.values())
    assert not any("SECRET" in text for group in texts.values() for text in group)
    assert 40 < len(texts["test"]) < 80 and len(texts["validation"]) > 3
    assert questions["test"][0].choices == (" yes", " no", " maybe")
    short = medicine.questions("test", longest=12)[0]
    assert short.text.startswith("Abstract: ") and len(short.text) < 80


@pytest.mark.parametrize("change", ["columns", "labels"])
def test_a_table_of_tweets_that_has_changed_is_said(tmp_path, monkeypatch, course_error, change):
    place = tmp_path / news.NAME
    place.mkdir(parents=True)
    table = mirror.tweets(20, 1)
    table = table.rename(columns={"text": "tweet"}) if change == "columns" else table.assign(label=4)
    table.to_csv(place / "sent_train.csv", index=False)
    monkeypatch.setenv("COURSE_HUB", str(tmp_path))
    with course_error(news.NAME, "it has changed", "pin"):
        news.tweets("training")


def test_a_tweet_may_say_na_and_shots_have_a_limit(tmp_path, monkeypatch, course_error):
    place = tmp_path / news.NAME
    place.mkdir(parents=True)
    table = pd.concat([mirror.tweets(20, 1), pd.DataFrame({"text": ["NA", "null", ""], "label": [0, 1, 2]})])
    table.to_csv(place / "sent_train.csv", index=False)
    monkeypatch.setenv("COURSE_HUB", str(tmp_path))
    assert {"NA", "null"} <= {text for part in ("training", "validation") for text, _ in news.tweets(part)}
    with course_error("shots is 23"):
        news.sentiment(1, shots=23)


def test_abstracts_of_another_structure_are_said(tmp_path, monkeypatch, course_error):
    place = tmp_path / medicine.NAME / "pqa_labeled"
    place.mkdir(parents=True)
    mirror.abstracts(10).assign(context="all in one").to_parquet(place / "a.parquet")
    monkeypatch.setenv("COURSE_HUB", str(tmp_path))
    with course_error(medicine.NAME, "it has changed", "context.contexts"):
        medicine.questions()


@pytest.mark.parametrize("change", [{"columns": {"question": "title"}}, None])
def test_a_table_of_abstracts_that_has_changed_is_said(tmp_path, monkeypatch, course_error, change):
    place = tmp_path / medicine.NAME / "pqa_labeled"
    place.mkdir(parents=True)
    table = mirror.abstracts(10)
    table = table.rename(**change) if change else table.assign(final_decision="perhaps")
    table.to_parquet(place / "a.parquet")
    monkeypatch.setenv("COURSE_HUB", str(tmp_path))
    with course_error(medicine.NAME, "it has changed", "pin"):
        medicine.questions()


def test_a_file_that_is_missing_or_damaged_is_said(tmp_path, monkeypatch, course_error):
    (tmp_path / news.NAME).mkdir(parents=True)
    (tmp_path / medicine.NAME / "pqa_labeled").mkdir(parents=True)
    monkeypatch.setenv("COURSE_HUB", str(tmp_path))
    with course_error("sent_train.csv", "fetch it again"):
        news.tweets()
    with course_error("pqa_labeled", "no such file", "fetch it again"):
        medicine.questions()
    (tmp_path / medicine.NAME / "pqa_labeled" / "a.parquet").write_bytes(b"no parquet")
    with course_error("pqa_labeled", "fetch it again"):
        medicine.questions()


def test_a_model_of_the_mirror_loads(made):
    for name in mirror.MODELS:
        model, tokenizer = lm.load(hub.folder(name))
        assert hub.folder(name) == made / name and model.config.num_key_value_heads == 1
        assert tokenizer.bos_token == tokenizer.eos_token != tokenizer.pad_token


def test_where_a_model_comes_from_is_said(made, monkeypatch):
    name = "HuggingFaceTB/SmolLM2-135M"
    assert hub.origin(name) == "a mirror of the hub"
    (made / name / "origin.txt").write_text("random numbers\n")
    assert hub.origin(name) == "random numbers"
    monkeypatch.delenv("COURSE_HUB")
    assert hub.origin(name) == "the hub, revision unpinned"


def test_a_mirror_that_is_not_there_is_said(monkeypatch, course_error):
    monkeypatch.setenv("COURSE_HUB", "/nowhere/at/all")
    with course_error("COURSE_HUB=/nowhere/at/all", "no such folder", "fetch"):
        hub.folder("a/b")


class Answer:
    """A hub's answer, as its errors carry it."""

    def __init__(self, status):
        self.status_code, self.headers, self.request = status, {}, None


def of_hub(kind, status):
    return kind("x", response=Answer(status))


FAULTS = {
    "gated": (of_hub(errors.GatedRepoError, 403), ("gated", "HF_TOKEN")),
    "renamed": (of_hub(errors.RepositoryNotFoundError, 404), ("renamed",)),
    "revision": (of_hub(errors.RevisionNotFoundError, 404), ("no such revision", "pin")),
    "too many": (of_hub(errors.HfHubHTTPError, 429), ("too many requests", "HF_TOKEN", "COURSE_HUB")),
    "token": (of_hub(errors.HfHubHTTPError, 401), ("HF_TOKEN",)),
    "strange name": (errors.HFValidationError("x"), ("OWNER/NAME",)),
    "in trouble": (of_hub(errors.HfHubHTTPError, 503), ("503", "try again later")),
    "read-only disk": (OSError(errno.EROFS, "Read-only file system"), ("cannot be written", "HF_HOME")),
    "full disk": (OSError(errno.ENOSPC, "No space left"), ("disk is full", "HF_HOME")),
    "read only": (OSError(errno.EACCES, "Permission denied"), ("HF_HOME",)),
    "no network": (errors.HTTPError("no route"), ("network", "COURSE_HUB")),
    "offline": (errors.OfflineModeIsEnabled("offline"), ("network", "COURSE_HUB")),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_goes_wrong_with_a_download_is_one_line(monkeypatch, course_error, fault, wrapped):
    error, words = FAULTS[fault]

    def refuse(*arguments, local_files_only=False, **options):
        if local_files_only:
            raise errors.LocalEntryNotFoundError("not in the cache")
        if wrapped:  # so snapshot_download gives it on where nothing is in the cache
            raise errors.LocalEntryNotFoundError("not in the cache") from error
        raise error

    monkeypatch.setattr(hub, "snapshot_download", refuse)
    monkeypatch.setattr(hub.files, "check_space", lambda *arguments: None)
    with course_error("zeroshot/twitter", *words):
        monkeypatch.delenv("COURSE_HUB")
        hub.folder(news.NAME)


def test_the_size_is_said_and_the_disk_looked_at_before_a_download(monkeypatch, course_error, capsys):
    def absent(*arguments, **options):
        raise errors.LocalEntryNotFoundError("not in the cache")

    monkeypatch.delenv("COURSE_HUB")
    monkeypatch.setattr(hub, "snapshot_download", absent)
    monkeypatch.setattr(hub.files.shutil, "disk_usage", lambda place: type("", (), {"free": 10**6}))
    with course_error("MB are needed", "free some disk space"):
        hub.folder("HuggingFaceTB/SmolLM2-1.7B")
    monkeypatch.setattr(hub.files.shutil, "disk_usage", lambda place: type("", (), {"free": 10**12}))
    with course_error("check the network"):
        hub.folder("HuggingFaceTB/SmolLM2-1.7B")
    assert "about 3427 MB are downloaded once" in capsys.readouterr().out


def test_the_table_of_sources_names_licences_and_pinned_revisions_only():
    for name, source in hub.sources().items():
        assert source.kind in ("model", "dataset") and source.licence in ("Apache-2.0", "MIT") and source.megabytes > 0
        assert source.revision == "unpinned" or len(source.revision) == 40, name
        assert not any(pattern.endswith((".bin", ".pt", ".py", "*")) for pattern in source.patterns)
    assert {news.NAME, medicine.NAME, *mirror.MODELS} <= set(hub.sources())


def test_a_mirror_is_filled_whole_and_what_is_there_is_kept(tmp_path, monkeypatch, capsys):
    asked = []

    def fill(name, *, local_dir, **options):
        asked.append(name)
        if name == medicine.NAME:
            raise OSError(errno.ENOSPC, "No space left")
        (local_dir / "file").write_text(name)
        return local_dir

    monkeypatch.setattr(hub, "snapshot_download", fill)
    assert command.main(["fetch", str(tmp_path), news.NAME, medicine.NAME]) == 1
    captured = capsys.readouterr()
    assert "disk is full" in captured.err and captured.err.count("\n") == 1 and "licence MIT" in captured.out
    assert (tmp_path / news.NAME / "file").read_text() == news.NAME and not (tmp_path / medicine.NAME).exists()
    asked.clear()
    assert command.main(["fetch", str(tmp_path), news.NAME]) == 0 and asked == []


@pytest.mark.parametrize("offline", ["", "1"])
def test_the_command_reaches_the_hub_unless_the_reader_has_switched_it_off(offline):
    code = (
        "import runpy, sys\nsys.argv = ['helpers.public']\ntry:\n    runpy.run_module('helpers.public', run_name='__main__')\n"
    )
    code += "except SystemExit:\n    from huggingface_hub import constants\n    print(constants.HF_HUB_OFFLINE)"
    environment = {k: v for k, v in os.environ.items() if k not in ("COURSE_PROFILE", "HF_HUB_OFFLINE")}
    environment |= {"HF_HUB_OFFLINE": offline} if offline else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=course.ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == str(bool(offline))


def test_a_mirror_of_everything_holds_what_is_to_be_installed_too(tmp_path, monkeypatch):
    taken = []
    monkeypatch.setattr(hub, "snapshot_download", lambda name, *, local_dir, **options: local_dir)
    monkeypatch.setattr(command.setup, "wheels", taken.append)
    monkeypatch.setattr(command.files, "check_space", lambda *a: None)
    assert command.main(["fetch", str(tmp_path)]) == 0 and taken == [tmp_path / "wheels"]
    assert command.main(["fetch", str(tmp_path), news.NAME]) == 0 and len(taken) == 1


def test_pinning_writes_the_revisions_down(tmp_path, monkeypatch, capsys):
    table = tmp_path / "sources.csv"
    table.write_bytes(hub.SOURCES.read_bytes())
    monkeypatch.setattr(command.HfApi, "repo_info", lambda self, name, repo_type: type("", (), {"sha": "f" * 40}))
    command.pin(table)
    found = hub.sources(table)
    assert list(found) == list(hub.sources()) and {source.revision for source in found.values()} == {"f" * 40}
    assert found[news.NAME].patterns == hub.source(news.NAME).patterns


def test_without_a_network_pinning_says_so_and_changes_nothing(monkeypatch, capsys):
    def refuse(*arguments, **options):
        raise errors.HTTPError("no route")

    before = hub.SOURCES.read_bytes()
    monkeypatch.setattr(command.HfApi, "repo_info", refuse)
    assert command.main(["pin"]) == 1
    assert "check the network" in capsys.readouterr().err and hub.SOURCES.read_bytes() == before


def test_the_mirror_of_the_tests_has_the_columns_of_the_hub(made):
    assert list(pd.read_csv(made / news.NAME / "sent_train.csv").columns) == ["text", "label"]
    table = pd.read_parquet(made / medicine.NAME / "pqa_labeled")
    assert set(medicine.COLUMNS) <= set(table.columns)
