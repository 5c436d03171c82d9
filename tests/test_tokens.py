"""A text tokenised once: every token is there, in bounded memory, whole or not at all."""

import subprocess
import sys
import time
import tracemalloc
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import pretrain, texts, tokenise
from helpers.training import tokens
from helpers.world import corpus

ROOT = Path(__file__).parent.parent


def pieces(documents):
    return ((document.text, True) for document in documents)


@pytest.fixture(scope="module")
def some():
    return list(islice(corpus.documents(3), 3000))


@pytest.fixture(scope="module")
def written(some, world_tokenizer, tmp_path_factory):
    """A folder of many small files."""
    folder = tmp_path_factory.mktemp("tokens") / "t"
    count = tokens.write_tokens(pieces(some), world_tokenizer, folder, sys.maxsize, ["to validate"], shard=10_007)
    return folder, count


def expected(some, tokenizer):
    rows = tokenizer([document.text for document in some], add_special_tokens=False)["input_ids"]
    return list(chain.from_iterable([*row, tokenizer.eos_token_id] for row in rows))


def test_every_token_is_there_in_its_order(written, some, world_tokenizer):
    folder, count = written
    ids = expected(some, world_tokenizer)
    assert count == len(ids) and len(list(folder.glob("tokens-*.bin"))) == -(-count // 10_007)
    blocks = tokens.Tokens(folder, 319)
    rows = [blocks[place]["input_ids"] for place in range(len(blocks))]
    assert {len(row) for row in rows} == {319} and list(chain.from_iterable(rows)) == ids[: len(rows) * 319]
    assert len(ids) - len(rows) * 319 < 319 and blocks.validation == ["to validate"]
    assert blocks.tokenizer()("Paris is here.")["input_ids"] == world_tokenizer("Paris is here.")["input_ids"]


def test_no_more_than_was_asked_for_is_written(some, world_tokenizer, tmp_path):
    assert tokens.write_tokens(pieces(some), world_tokenizer, tmp_path / "t", 5000, shard=2000) == 5000
    sizes = [file.stat().st_size for file in sorted((tmp_path / "t").glob("*.bin"))]
    assert sizes == [4000, 4000, 2000]  # two bytes each


def test_a_large_vocabulary_takes_four_bytes(some, world_tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(type(world_tokenizer), "__len__", lambda self: 2**16 + 1)
    tokens.write_tokens(pieces(some), world_tokenizer, tmp_path / "t", 1000)
    monkeypatch.undo()
    assert (tmp_path / "t" / "tokens-00000.bin").stat().st_size == 4000
    assert tokens.Tokens(tmp_path / "t", 100)[3]["input_ids"] == expected(some[:100], world_tokenizer)[300:400]


def test_a_control_token_in_a_text_is_plain_text(world_tokenizer, tmp_path):
    tokens.write_tokens(iter([("A <|endoftext|> B " * 50, True)]), world_tokenizer, tmp_path / "t", sys.maxsize)
    ids = np.fromfile(tmp_path / "t" / "tokens-00000.bin", np.uint16)
    assert (ids == world_tokenizer.eos_token_id).sum() == 1


def test_memory_does_not_grow_with_the_text(world_tokenizer, tmp_path):
    def peak(how_many):
        tracemalloc.start()
        documents = islice(corpus.documents(3), how_many)
        tokens.write_tokens(pieces(documents), world_tokenizer, tmp_path / str(how_many), sys.maxsize)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(12_000) < 1.3 * peak(3_000)


def test_it_is_hardly_slower_than_the_tokenizer_alone(some, world_tokenizer, tmp_path):
    whole = [document.text for document in some]

    def seconds(action):
        begun = time.perf_counter()
        action()
        return time.perf_counter() - begun

    options, alone, ours = {"add_special_tokens": False, "return_attention_mask": False}, [], []
    for number in range(12):  # by turns: a machine that is busy for a second is busy for both
        alone.append(seconds(lambda: world_tokenizer(whole, **options)))
        action = partial(tokens.write_tokens, pieces(some), world_tokenizer, tmp_path / str(number), sys.maxsize)
        ours.append(seconds(action))
    assert min(ours) < min(alone) / 0.7  # measured 0.8 to 1.0


@pytest.mark.parametrize("harm", ["truncated", "missing", "no manifest", "nothing"])
def test_what_is_not_whole_is_refused(some, world_tokenizer, tmp_path, course_error, harm):
    folder = tmp_path / "t"
    if harm != "nothing":
        tokens.write_tokens(pieces(some[:100]), world_tokenizer, folder, sys.maxsize)
        file = folder / ("manifest.json" if harm == "no manifest" else "tokens-00000.bin")
        if harm == "truncated":
            file.write_bytes(file.read_bytes()[:-2])
        else:
            file.unlink()
    with course_error(folder, "helpers.tokenise"):
        tokens.Tokens(folder, 10)


def test_less_than_a_block_and_no_text_are_refused(world_tokenizer, tmp_path, course_error):
    tokens.write_tokens(iter([("A few words.", True)]), world_tokenizer, tmp_path / "t", sys.maxsize)
    with course_error("less than a block"):
        tokens.Tokens(tmp_path / "t", 319)
    with course_error("no texts"):
        tokens.write_tokens(iter([]), world_tokenizer, tmp_path / "u", sys.maxsize)
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize("end", ["\n", ""])
def test_of_a_file_of_any_length_all_but_the_last_tenth_is_read(tmp_path, end):
    file = tmp_path / "my.txt"
    lines = [f"Satz {number} über nichts.{end}" for number in range(4000)]
    file.write_text("\ufeff" + "".join(lines), encoding="utf-8")
    read = list(texts.pieces_in([file, file], characters=1000))
    training, validation = texts.own_texts([file])
    assert [is_last for _, is_last in read].count(True) == 2 and read[-1][1]
    whole = "".join(text for text, _ in read)
    once = whole[: len(whole) // 2]
    assert whole == 2 * once and training[0].startswith(once) and len(training[0]) - len(once) <= 4
    assert max(len(text) for text, _ in read) <= 2000
    assert lines[3999] in validation[0] and lines[3999] not in once


def test_a_killed_command_leaves_nothing_half_written(tmp_path):
    words = [sys.executable, "-m", "helpers.tokenise", tmp_path / "t", "--tokens"]
    process = subprocess.Popen([*words, "100000000"], cwd=ROOT, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".t.part/*.bin")) and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not (tmp_path / "t").exists()
    assert subprocess.run([*words, "20000"], cwd=ROOT, stderr=subprocess.DEVNULL, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["t"] and len(tokens.Tokens(tmp_path / "t", 1000)) == 20


def test_a_run_trains_on_what_the_command_has_made(tmp_path, capsys):
    file, folder, out = tmp_path / "my.txt", tmp_path / "t", tmp_path / "m"
    file.write_text("".join(f"{number} is {'even' if number % 2 == 0 else 'odd'}.\n" for number in range(4000)))
    tokenise.main([str(folder), "--text", str(file), "--vocab-size", "300"])
    pretrain.main(["--data", str(folder), "--tokens", "40000", "--save-steps", "4", "--out", str(out)])
    card = (out / "README.md").read_text()
    assert "the reader's own text" in card and "40,0" in card and "bits per byte" in card
    assert f"{folder}: " in capsys.readouterr().out


def test_a_parquet_file_is_read_text_by_text(tmp_path, monkeypatch):
    documents = [f"Document {number}. " + "It is long. " * (number % 7) for number in range(600)]
    pd.DataFrame({"text": documents, "id": range(600)}).to_parquet(tmp_path / "web.parquet")
    monkeypatch.setattr(tokenise, "SAMPLE", 5000)
    tokenise.main([str(tmp_path / "t"), "--text", str(tmp_path / "web.parquet"), "--vocab-size", "300"])
    made = tokens.Tokens(tmp_path / "t", 100)
    assert made.validation == documents[:200]
    ids = np.fromfile(tmp_path / "t" / "tokens-00000.bin", np.uint16).tolist()
    end = made.tokenizer().eos_token_id
    assert ids.count(end) == 400
    assert made.tokenizer().decode(ids[: ids.index(end)]) == documents[200]


@pytest.mark.parametrize("kind", ["missing", "no column", "no parquet"])
def test_a_parquet_file_that_cannot_be_used_is_refused_in_one_line(tmp_path, kind):
    file = tmp_path / "web.parquet"
    if kind == "no column":
        pd.DataFrame({"body": ["a"] * 9}).to_parquet(file)
    elif kind == "no parquet":
        file.write_text("PAR1 and nothing else")
    with pytest.raises(SystemExit) as stop:
        tokenise.main([str(tmp_path / "t"), "--text", str(file)])
    assert str(file) in stop.value.code and "\n" not in stop.value.code
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [(["t"], "give --tokens, or --text"), (["t", "--text", "nowhere.txt"], "cannot be read"),
     (["taken", "--tokens", "10"], "which the course did not make"),
     (["t", "--tokens", "10", "--seed", str(corpus.VALIDATION_SEED)], "of the validation")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path, monkeypatch, capsys, words, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("x")
    with pytest.raises(SystemExit) as stop:
        tokenise.main(words)
    said = f"{stop.value.code}{capsys.readouterr().err}"
    assert line in said and said.count("\n") <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
