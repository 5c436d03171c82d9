"""Pretraining: nothing of the text is lost, a run repeats itself exactly, and survives being killed."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback, TrainerState

import helpers
from helpers import pretrain, runtime
from helpers.lm import models
from helpers.lm.models import BLOCK
from helpers.training import checkpoints, common, muon, packing, pretraining
from helpers.world import corpus

ROOT = Path(__file__).parent.parent


def test_packing_keeps_every_text_whole_and_ends_it(tokenizer, documents):
    texts = [text for _, text in documents[:2000]]
    whole = tokenizer(texts, add_special_tokens=False)["input_ids"]
    ids = [row for row in whole if len(row) < BLOCK - 1]
    blocks = packing.pack(texts, tokenizer, sys.maxsize)["input_ids"]
    assert max(map(len, blocks)) <= BLOCK - 1
    assert all(block[-1] == tokenizer.eos_token_id for block in blocks if len(block) < BLOCK - 1)
    found = Counter()
    for block in blocks:
        ends = [i for i, token in enumerate(block) if token == tokenizer.eos_token_id]
        found.update(tuple(block[start + 1 : end]) for start, end in zip([-1, *ends], ends, strict=False))
    assert Counter(map(tuple, ids)) <= found
    assert sum(map(len, blocks)) == sum(len(row) + 1 for row in whole)


def test_packing_wastes_little(tokenizer, documents):
    blocks = packing.pack((text for _, text in documents), tokenizer, 200_000)
    assert 200_000 <= packing.token_count(blocks) < 200_000 + BLOCK
    assert packing.token_count(blocks) / (len(blocks) * (BLOCK - 1)) > 0.95


def test_a_long_text_is_split_without_loss(tokenizer, documents):
    text = " ".join(text for _, text in documents[:40])
    ids = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert len(ids) > 3 * BLOCK
    blocks = packing.pack([text], tokenizer, sys.maxsize)["input_ids"]
    parts = [ids[start : start + BLOCK - 1] for start in range(0, len(ids), BLOCK - 1)]
    assert sorted(blocks) == sorted(parts)


def test_a_long_text_is_tokenised_piece_by_piece_as_it_would_be_as_a_whole(tokenizer, documents):
    text = "\n\n".join(text for _, text in documents[:400])
    pieces = [piece for piece, _ in packing.pieces_of(text, longest=1000)]
    assert len(pieces) > 20 and "".join(pieces) == text and max(map(len, pieces)) <= 1000
    apart = [i for ids in tokenizer(pieces, add_special_tokens=False)["input_ids"] for i in ids]
    assert apart == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert [is_last for _, is_last in packing.pieces_of(text)][-1]


@pytest.mark.parametrize("text", ["a" * 2500, "\n" * 2500, "a\n\n\n" * 600, ""])
def test_any_text_is_cut_into_pieces(text):
    pieces = [piece for piece, _ in packing.pieces_of(text, longest=1000)]
    assert "".join(pieces) == text and max(map(len, pieces)) <= 1000


def test_of_a_long_text_no_more_is_read_and_tokenised_than_is_needed(tokenizer, tmp_path, monkeypatch):
    file = tmp_path / "long.txt"
    file.write_bytes("Ein Satz \u00fcber nichts und wieder nichts.\n".encode() * 1_400_000)  # 60 MB
    training, validation = pretrain.own_texts([file], 260_000)
    assert len(training[0].encode()) <= 260_003 and len(validation[0].encode()) <= 1_000_003
    read, whole = [], packing.pieces_of
    monkeypatch.setattr(packing, "pieces_of", lambda text: (read.append(len(piece[0])) or piece for piece in whole(text)))
    blocks = packing.pack([file.read_text(encoding="utf-8")], tokenizer, 20_000)
    assert sum(read) < 600_000 and 20_000 <= packing.token_count(blocks) <= 40_000


def test_a_batch_begins_with_end_of_text_and_is_blind_to_padding_only(tokenizer):
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    batch = packing.Collator(tokenizer)([{"input_ids": [7, 8, 9, end]}, {"input_ids": [7, end]}])
    assert batch["input_ids"].tolist() == [[end, 7, 8, 9, end], [end, 7, end, pad, pad]]
    assert batch["labels"].tolist() == [[end, 7, 8, 9, end], [end, 7, end, -100, -100]]


@pytest.fixture(scope="module")
def blocks(tokenizer):
    """20 steps of eight blocks."""
    texts = (text for _, text in islice(corpus.documents(5), 2000))
    return packing.pack(texts, tokenizer, sys.maxsize).select(range(160))


def run(blocks, tokenizer, folder, **options):
    options = {"batch": 8, "dtype": torch.float32, "progress": False} | options
    return pretraining.pretrain("small", blocks, tokenizer, folder, **options)


@pytest.fixture(scope="module")
def whole(blocks, tokenizer, tmp_path_factory):
    """A run without interruption."""
    return run(blocks, tokenizer, tmp_path_factory.mktemp("whole"))


def same_weights(one, other) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def same_names(one, other) -> bool:
    return one.state_dict().keys() == other.state_dict().keys()


def test_loss_falls_in_20_steps(whole, tokenizer):
    losses = [entry["loss"] for entry in whole.state.log_history if "loss" in entry]
    assert whole.state.global_step == 20
    assert losses[0] < math.log(len(tokenizer)) + 0.5
    assert losses[-1] < losses[0] - 0.5


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(blocks, tokenizer, whole, tmp_path):
    assert same_weights(run(blocks, tokenizer, tmp_path / "a").model, whole.model)
    assert not same_weights(run(blocks, tokenizer, tmp_path / "b", seed=1).model, whole.model)


def test_adamw_learns_too(blocks, tokenizer, tmp_path):
    trainer = run(blocks, tokenizer, tmp_path, optimizer="adamw")
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < losses[0]


class Rates(TrainerCallback):
    """Learning rates of each step: those the schedule asks for, and those that Muon and AdamW use."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.asked, self.used = [], []

    def on_optimizer_step(self, args, state, control, optimizer=None, lr_scheduler=None, **kwargs):
        self.asked.append(lr_scheduler.get_last_lr())
        self.used.append([group["lr"] for part in optimizer.optimizer.parts for group in part.param_groups])


def test_a_run_that_diverges_is_said_and_saves_nothing(blocks, tokenizer, tmp_path, course_error):
    with course_error("diverged", "lower --learning-rate"):
        run(blocks, tokenizer, tmp_path / "run", learning_rate=1e9, save_steps=30)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_both_optimizers_follow_the_schedule(blocks, tokenizer, tmp_path):
    rates = Rates()
    run(blocks, tokenizer, tmp_path, callbacks=[rates])
    assert rates.asked[-1][0] < 0.1 * max(rates.asked)[0]
    assert rates.used == rates.asked


class StopAfterSaving(TrainerCallback):
    def on_save(self, args, state, control, **kwargs):
        control.should_training_stop = True


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(blocks, tokenizer, whole, tmp_path, optimizer):
    folder, options = tmp_path / "run", {"save_steps": 8, "optimizer": optimizer}
    stopped = run(blocks, tokenizer, folder, callbacks=[StopAfterSaving()], **options)
    assert stopped.state.global_step == 8
    assert [path.name for path in checkpoints.saved(folder)] == ["checkpoint-8"]
    resumed = run(blocks, tokenizer, folder, resume=True, **options)
    assert resumed.state.global_step == 20
    if optimizer != "muon":
        whole = run(blocks, tokenizer, tmp_path / "whole", optimizer=optimizer)
    assert same_weights(resumed.model, whole.model)


@pytest.mark.skipif(runtime.no_compiler() is not None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_run_is_the_same_run_and_leaves_a_model_that_is_not_compiled(blocks, tokenizer, whole, tmp_path):
    compiled = run(blocks, tokenizer, tmp_path, compiled=True)
    assert common.losses(compiled) == pytest.approx(common.losses(whole), abs=2e-3)
    assert type(compiled.model) is LlamaForCausalLM and same_names(compiled.model, whole.model)


def test_only_the_two_latest_checkpoints_are_kept_and_none_holds_a_pickle(blocks, tokenizer, tmp_path):
    run(blocks, tokenizer, tmp_path, save_steps=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-15", "checkpoint-20"]
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} <= {".safetensors", ".json"}


@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 48)])
def test_muon_steps_as_the_one_of_torch_does(shape):
    torch.manual_seed(0)
    start, gradients = torch.randn(3, *shape), torch.randn(2, 3, *shape)
    ends = []
    for kind in (muon.Muon, torch.optim.Muon):  # torch's rounds to bfloat16: 8 bits
        parameters = [torch.nn.Parameter(matrix.clone()) for matrix in start]
        optimizer = kind(parameters, lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        for step in gradients:
            for parameter, gradient in zip(parameters, step, strict=True):
                parameter.grad = gradient.clone()
            optimizer.step()
        ends.append(torch.stack([parameter.detach() for parameter in parameters]) - start)
    assert (ends[0] - ends[1]).norm() < 0.02 * ends[1].norm()


def test_the_state_of_the_optimizer_goes_through_tensors_and_back():
    def fresh():
        torch.manual_seed(0)
        config = LlamaConfig(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
        model = LlamaForCausalLM(config)
        return model, muon.MuonAdamW(model, lr=0.01, weight_decay=0.1)

    def steps(model, optimizer, seeds):
        for seed in seeds:
            ids = torch.randint(64, (2, 8), generator=torch.Generator().manual_seed(seed))
            model(ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    straight, optimizer = fresh()
    steps(straight, optimizer, (1, 2))
    saved = {name: tensor.clone() for name, tensor in checkpoints.state_tensors(optimizer).items()}
    weights = {name: tensor.clone() for name, tensor in straight.state_dict().items()}
    steps(straight, optimizer, (3, 4))
    again, other = fresh()
    again.load_state_dict(weights)
    checkpoints.load_state_tensors(other, saved)
    assert checkpoints.state_tensors(other).keys() == saved.keys() and len(saved) > 14
    assert all(torch.equal(checkpoints.state_tensors(other)[name], tensor) for name, tensor in saved.items())
    steps(again, other, (3, 4))
    assert same_weights(again, straight)
    forgetful, without = fresh()
    forgetful.load_state_dict(weights)
    steps(forgetful, without, (3, 4))
    assert not same_weights(forgetful, straight)


def test_a_uniform_model_needs_log2_of_the_vocabulary_per_token(tokenizer, documents):
    model = LlamaForCausalLM(models.config_for("small", tokenizer))
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    texts = [text for _, text in documents[:100]]
    tokens = sum(len(ids) for ids in tokenizer(texts)["input_ids"])  # each text and its end, which begin-of-text stands for
    expected = math.log2(len(tokenizer)) * tokens / sum(len(text.encode()) for text in texts)
    assert packing.bits_per_byte(model, tokenizer, texts) == pytest.approx(expected, rel=1e-5)
    assert packing.bits_per_byte(model, tokenizer, texts, batch=7) == pytest.approx(expected, rel=1e-5)


def test_validation_texts_are_of_another_seed():
    validation = set(corpus.validation_texts(300))
    training = set(islice(corpus.world_texts(0), 3000))
    assert len(validation & training) < 15  # a few short documents are the same by chance


# The command ``python -m helpers.pretrain``

SETTINGS = ("--size", "small", "--tokens", "130000", "--save-steps", "5")


@pytest.fixture
def quick(monkeypatch, world_tokenizer):
    """``main`` without what takes seconds and is tested elsewhere: another tokenizer, results, long validation."""
    monkeypatch.setattr(pretrain, "world_tokenizer", lambda: world_tokenizer)
    monkeypatch.setattr(pretrain, "results", lambda model, tokenizer: {"rate": "none"})
    monkeypatch.setattr(pretrain, "validation_texts", lambda: list(islice(corpus.world_texts(7), 100)))


def refused(*words) -> str:
    """The line with which the command refuses these words."""
    with pytest.raises(SystemExit) as stop:
        pretrain.main([str(word) for word in words])
    message = stop.value.code
    assert message.startswith("error: ") and "\n" not in message
    return message


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights of the command that is killed below."""
    out = tmp_path_factory.mktemp("undisturbed") / "m"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "results", lambda model, tokenizer: {"rate": "none"})
        pretrain.main([*SETTINGS, "--out", str(out)])
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize("number", range(int(os.environ.get("COURSE_KILLS", "3"))))
def test_a_run_killed_at_any_moment_goes_on_and_ends_in_the_same_weights(quick, undisturbed, tmp_path, number):
    folder, out = tmp_path / ".m.run", tmp_path / "m"
    words = [sys.executable, "-m", "helpers.pretrain", *SETTINGS, "--out", out]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not folder.exists() and process.poll() is None:
        time.sleep(0.01)
    rng = Random(f"kill {number}")
    while number % 3 == 0 and not checkpoints.saved(folder) and process.poll() is None:
        time.sleep(0.01)  # every third one just after a checkpoint
    time.sleep(rng.uniform(0, 0.3) if number % 3 == 0 else rng.uniform(0, 9))
    process.kill()
    process.wait()
    for checkpoint in checkpoints.saved(folder):  # whole or not there
        assert load_file(checkpoint / "model.safetensors") and load_file(checkpoint / "optimizer.safetensors")
        assert (checkpoint / "trainer_state.json").exists() and (checkpoint / "scheduler.json").exists()
    left = [path for path in folder.rglob("*") if path.is_file() and path.parent.suffix != ".part"]
    assert {path.suffix for path in left} <= {".safetensors", ".json"}  # no pickle; what is half-written may be anything
    if folder.exists():
        assert str(folder) in refused(*SETTINGS, "--seed", 1, "--out", out, "--resume")
        pretrain.main([*SETTINGS, "--out", str(out), "--resume"])
        assert "since it was resumed" in (out / "README.md").read_text()
    ended = load_file(out / "model.safetensors")
    assert all(torch.equal(ended[name], tensor) for name, tensor in undisturbed.items())
    pretrain.main([*SETTINGS, "--out", str(out)])  # and again in its place, clearing away what may be left
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_run_is_not_resumed_with_another_text_vocabulary_or_number_of_tokens(quick, tmp_path, monkeypatch):
    file, folder = tmp_path / "my.txt", tmp_path / ".m.run"
    file.write_text("A line of my own, and another one.\n" * 200)
    words = ["--text", file, "--vocab-size", 300, "--tokens", 20000, "--save-steps", 2, "--out", tmp_path / "m"]

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(models, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain.main([str(word) for word in words])
    assert checkpoints.saved(folder)
    for option, value in (("--vocab-size", 290), ("--tokens", 20001), ("--batch", 8), ("--learning-rate", 1e-3)):
        message = refused(*words, option, value, "--resume")
        assert str(folder) in message and f"{option[2:]}".replace("-", "") in message.replace("-", "").replace("_", "")
    file.write_text("A line of my own, and another two.\n" * 200)
    assert "checksum of the text" in refused(*words, "--resume")
    file.write_text("A line of my own, and another one.\n" * 200)
    pretrain.main([str(word) for word in (*words, "--resume")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "my.txt"]


@pytest.mark.parametrize("left", ["a damaged checkpoint", "no checkpoint", "no settings"])
def test_resume_or_begin_begins_where_nothing_is_whole(quick, undisturbed, tmp_path, monkeypatch, capsys, left):
    """As a bucket may be, after a machine was taken away before all was sent there."""
    out, folder = tmp_path / "m", tmp_path / ".m.run"

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(models, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain.main([*SETTINGS, "--out", str(out)])
    newest, *older = reversed(checkpoints.saved(folder))
    for checkpoint in older if left == "a damaged checkpoint" else [newest, *older]:
        shutil.rmtree(checkpoint)
    if left == "a damaged checkpoint":
        (newest / "model.safetensors").unlink()
    if left == "no settings":
        (folder / "settings.json").unlink()
    pretrain.main([*SETTINGS, "--out", str(out), "--resume-or-begin"])
    ended = load_file(out / "model.safetensors")
    assert all(torch.equal(ended[name], tensor) for name, tensor in undisturbed.items())
    aside = [f".m.run.damaged-{newest.name}"] if left == "a damaged checkpoint" else []
    assert sorted(path.name for path in tmp_path.iterdir()) == [".m.run", *aside, "m"]
    assert ("is passed over" in capsys.readouterr().out) == bool(aside)


def test_started_over_and_over_a_run_is_made_once(quick, undisturbed, tmp_path, monkeypatch, capsys):
    """As a cloud starts a job again, whatever it ended by; and its bucket may not have received the model in time."""
    out, words = tmp_path / "m", [*SETTINGS, "--out", str(tmp_path / "m"), "--resume-or-begin"]
    pretrain.main(words)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".m.run", "m"]  # checkpoints until the model is seen
    (out / "model.safetensors").unlink()
    monkeypatch.setattr(checkpoints.SafeTrainer, "training_step", lambda *args, **kwargs: pytest.fail("a step was made"))
    capsys.readouterr()
    pretrain.main(words)
    ended = load_file(out / "model.safetensors")
    assert all(torch.equal(ended[name], tensor) for name, tensor in undisturbed.items())
    assert "is there already" not in capsys.readouterr().out
    pretrain.main(words)
    assert "is there already, whole" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_finished_model_takes_no_other_run_s_checkpoints_away(quick, tmp_path, monkeypatch, capsys):
    words = ["--size", "small", "--tokens", "20000", "--save-steps", "2", "--out", str(tmp_path / "m")]
    pretrain.main([*words, "--resume-or-begin"])

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(models, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain.main([*words, "--seed", "1"])
    before = sorted(path.name for path in (tmp_path / ".m.run").iterdir())
    pretrain.main([*words, "--resume-or-begin"])
    assert "is there already" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / ".m.run").iterdir()) == before and len(before) > 2


def test_a_finished_run_is_in_no_other_run_s_way(quick, tmp_path):
    """The same file sent again, with another number of tokens: its checkpoints are not needed any more."""
    words = ["--size", "small", "--save-steps", "2", "--out", str(tmp_path / "m"), "--resume-or-begin"]
    pretrain.main([*words, "--tokens", "20000"])
    pretrain.main([*words, "--tokens", "30000"])
    assert re.search(r"tokens \| 30,\d{3} in", (tmp_path / "m" / "README.md").read_text())
    shutil.rmtree(tmp_path / "m")
    assert "another --out" in refused(*words, "--tokens", "40000")


def test_a_run_that_diverged_is_not_begun_over_and_over(quick, tmp_path):
    words = ["--size", "small", "--tokens", "130000", "--out", tmp_path / "m", "--resume-or-begin"]
    assert "diverged" in refused(*words, "--learning-rate", "1e9")
    assert "not begun again" in (said := refused(*words, "--learning-rate", "1e9")) and "lower" in said
    assert "nothing to resume" in refused(*words[:-1], "--resume", "--learning-rate", "1e9")
    pretrain.main([str(word) for word in words])  # another rate is another run
    assert (tmp_path / "m" / "model.safetensors").exists()


def test_what_a_bucket_left_half_moved_is_put_aside(blocks, tokenizer, whole, tmp_path, capsys):
    """It moves a folder file by file, the smallest first: the large ones are left, without their manifest."""
    folder = tmp_path / "run"
    run(blocks, tokenizer, folder, save_steps=5)
    shutil.rmtree(folder / "checkpoint-20")
    for name in (".checkpoint-20.part", ".checkpoint-10.old"):
        (folder / name).mkdir()
        (folder / name / "model.safetensors").write_bytes(b"half")
    resumed = run(blocks, tokenizer, folder, save_steps=5, resume=True)
    assert same_weights(resumed.model, whole.model) and capsys.readouterr().out.count("is passed over") == 2
    aside = sorted(path for path in tmp_path.iterdir() if path != folder)
    assert [path.name for path in aside] == ["run.damaged-.checkpoint-10.old", "run.damaged-.checkpoint-20.part"]
    assert all((path / "model.safetensors").read_bytes() == b"half" for path in aside)


def test_an_old_checkpoint_that_cannot_be_removed_stops_no_run(blocks, tokenizer, whole, tmp_path, capsys):
    class Adds(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            if state.global_step == 5:
                (tmp_path / "checkpoint-5" / "mine.txt").write_text("work")

    assert same_weights(run(blocks, tokenizer, tmp_path, save_steps=5, callbacks=[Adds()]).model, whole.model)
    assert "checkpoint-5: holds mine.txt" in capsys.readouterr().out
    assert (tmp_path / "checkpoint-5" / "mine.txt").read_text() == "work"


def test_a_resumed_run_saves_as_often_as_it_is_told(blocks, tokenizer, tmp_path):
    class Saved(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            steps.append(state.global_step)

    steps = []
    run(blocks.select(range(40)), tokenizer, tmp_path, save_steps=5)
    run(blocks, tokenizer, tmp_path, save_steps=3, resume=True, callbacks=[Saved()])
    assert steps == [6, 9, 12, 15, 18, 20]


def test_the_scale_of_float16_goes_on_where_it_was(blocks, tokenizer, tmp_path):
    class Trainer(checkpoints.SafeTrainer):
        def _save_checkpoint(self, *args):
            self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
            super()._save_checkpoint(*args)
            self.accelerator.scaler = None

        def _load_optimizer_and_scheduler(self, checkpoint):
            self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
            super()._load_optimizer_and_scheduler(checkpoint)
            scales.append(self.accelerator.scaler.get_scale())
            self.accelerator.scaler = None

    scales = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "SafeTrainer", Trainer)
        run(blocks.select(range(40)), tokenizer, tmp_path, save_steps=5)
        run(blocks, tokenizer, tmp_path, save_steps=5, resume=True)
    assert scales == [8.0]


def test_the_speed_is_that_of_most_steps(monkeypatch):
    speed, clock = common.Speed(), iter([0.0, 2.0, 4.0, 20.0])
    monkeypatch.setattr(common.time, "perf_counter", lambda: next(clock))
    assert speed.steps_per_second is None
    for step in (10, 20, 30, 40):  # the last ten took long: a checkpoint was saved
        speed.on_log(None, TrainerState(global_step=step), None, logs={"loss": 1.0})
    speed.on_log(None, TrainerState(global_step=40), None, logs={"train_loss": 1.0})
    assert speed.steps_per_second == 5


def test_the_command_says_how_fast_it_was(quick, tmp_path, capsys):
    pretrain.main([*SETTINGS, "--out", str(tmp_path / "m")])
    row = next(line for line in (tmp_path / "m" / "README.md").read_text().splitlines() if line.startswith("| speed |"))
    said = row.split("|")[2].strip()
    assert re.fullmatch(r"[\d,]+ tokens a second", said) and f", {said}, " in capsys.readouterr().out


def test_a_full_gpu_is_one_line_with_the_remedy(quick, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(pretrain, "pretrain", full)
    assert "--device-batch" in refused("--tokens", 20000, "--out", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_the_processes_of_a_machine_share_its_memory(quick, tmp_path, monkeypatch):
    free = pretrain.psutil.virtual_memory().available
    tokens = round(free / pretrain.BYTES_PER_TOKEN / 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(pretrain, "check_device", lambda options: None)
    monkeypatch.setattr(pretrain.processes, "stand_alone", lambda: None)
    assert "of memory are needed" in refused("--tokens", tokens, "--out", tmp_path / "m")


@pytest.mark.parametrize(("given", "left"), [(None, "0"), ("0", "0"), ("2,3", "2"), ("", ""), ("GPU-1,GPU-2", "GPU-1")])
def test_a_process_alone_takes_one_gpu(monkeypatch, given, left):
    """Else the Trainer would take all, and a batch for each of them."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    helpers.one_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left


def test_two_runs_into_one_folder_are_refused(quick, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "helpers.pretrain", "--tokens", "3000000", "--out", tmp_path / "m"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not (tmp_path / ".m.run" / "settings.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.2)
        before = (tmp_path / ".m.run" / "settings.json").read_bytes()
        assert "another process" in refused("--tokens", "20000", "--out", tmp_path / "m")
        assert (tmp_path / ".m.run" / "settings.json").read_bytes() == before
    finally:
        process.kill()
        process.wait()


def test_a_command_that_diverges_leaves_the_old_model(quick, tmp_path, capsys):
    words = ["--size", "small", "--tokens", "130000", "--out", tmp_path / "m"]
    pretrain.main([str(word) for word in words])
    before = (tmp_path / "m" / "README.md").read_bytes()
    assert "diverged" in refused(*words, "--learning-rate", "1e9")
    assert (tmp_path / "m" / "README.md").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("text", ["a" * 20_000, "aaaa " * 20_000, "\n".join("abc" * 7000 for _ in range(20))])
def test_a_text_that_repeats_itself_ends_soon(text, tmp_path):
    file = tmp_path / "my.txt"
    file.write_text(text)
    begun = time.perf_counter()
    words = ["--text", str(file), "--tokens", "20000", "--out", str(tmp_path / "m")]
    try:
        pretrain.main(words)
    except SystemExit as stop:
        assert str(file) in stop.code and "tokens" in stop.code and "\n" not in stop.code
        assert [path.name for path in tmp_path.iterdir()] == ["my.txt"]
    assert time.perf_counter() - begun < 30


def test_without_another_place_a_model_goes_to_the_artifacts(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain.files, "ARTIFACTS", tmp_path / "artifacts")
    pretrain.main(["--size", "small", "--tokens", "20000"])
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["small"]


def test_a_shipped_model_is_replaced_where_that_is_asked_for(quick, tmp_path, monkeypatch):
    shutil.copytree(models.PRETRAINED, tmp_path / "pretrained")
    monkeypatch.setattr(models, "PRETRAINED", tmp_path / "pretrained")
    pretrain.main(["--size", "small", "--tokens", "20000", "--replace-shipped"])
    assert re.search(r"tokens \| 20,\d{3} in", (tmp_path / "pretrained" / "small" / "README.md").read_text())
    assert models.load("small") and sorted(path.name for path in (tmp_path / "pretrained").iterdir()) == sorted(models.SIZES)


def test_resuming_without_a_run_is_refused(quick, tmp_path):
    message = refused(*SETTINGS, "--out", tmp_path / "m", "--resume")
    assert str(tmp_path / ".m.run") in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", '{"size": "sm'])
def test_damaged_settings_of_a_run_are_refused_by_name(quick, tmp_path, text):
    settings = tmp_path / ".m.run" / "settings.json"
    (tmp_path / ".m.run" / "checkpoint-4").mkdir(parents=True)
    settings.write_text(text)
    assert str(settings) in refused(*SETTINGS, "--out", tmp_path / "m", "--resume")
    settings.unlink()
    assert str(settings) in refused(*SETTINGS, "--out", tmp_path / "m", "--resume")


@pytest.fixture(scope="module")
def saved(blocks, tokenizer, tmp_path_factory):
    """The folder of a run with a checkpoint."""
    folder = tmp_path_factory.mktemp("saved")
    run(blocks, tokenizer, folder, save_steps=20)
    return folder


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "scheduler.json", "trainer_state.json"])
def test_a_truncated_checkpoint_is_refused_by_name(saved, blocks, tokenizer, tmp_path, course_error, name):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    file = checkpoints.saved(tmp_path)[-1] / name
    file.write_bytes(file.read_bytes()[:-10])
    with course_error(file.parent, name, "--resume"):
        run(blocks, tokenizer, tmp_path, save_steps=20, resume=True)


@pytest.mark.parametrize("harm", ["truncated", "missing"])
def test_a_damaged_latest_checkpoint_is_passed_over_and_named(blocks, tokenizer, whole, tmp_path, capsys, harm):
    folder = tmp_path / "run"
    run(blocks, tokenizer, folder, save_steps=5)
    file = folder / "checkpoint-20" / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-10]) if harm == "truncated" else file.unlink()
    resumed = run(blocks, tokenizer, folder, save_steps=5, resume=True)
    assert same_weights(resumed.model, whole.model)
    said = capsys.readouterr().out
    assert f"{folder / 'checkpoint-20'}: a damaged checkpoint" in said and "optimizer.safetensors" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.damaged-checkpoint-20"]
    (folder / "checkpoint-20" / "optimizer.safetensors").unlink()
    assert checkpoints.latest(folder) == folder / "checkpoint-15"
    assert {path.name for path in tmp_path.iterdir()} >= {"run.damaged-checkpoint-20", "run.damaged-checkpoint-20-again"}


def test_a_run_that_gets_a_signal_saves_and_stops_and_goes_on(blocks, tokenizer, whole, tmp_path, course_error):
    class Signal(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 6:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with course_error("stopped at step 7", "--resume"):
        run(blocks, tokenizer, tmp_path, save_steps=100, callbacks=[Signal()])
    assert signal.getsignal(signal.SIGTERM) is before
    assert [path.name for path in checkpoints.saved(tmp_path)] == ["checkpoint-7"]
    assert same_weights(run(blocks, tokenizer, tmp_path, save_steps=100, resume=True).model, whole.model)


def test_an_unknown_size_is_refused(tmp_path):
    assert "large" in refused("--size", "huge", "--out", tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


TEXTS = {
    "empty": b"",
    "blank": b" \n" * 1000,
    "short": b"A few words.\n" * 20,
    "binary": b"\x00\x01\x02PNG" * 500,
    "random bytes": bytes(range(256)) * 20,
    "Latin-1": "Bücher für Anfänger.\n".encode("latin-1") * 200,
    "missing": None,
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_that_cannot_be_used_is_refused_by_name(kind, tmp_path):
    file = tmp_path / "my.txt"
    if TEXTS[kind] is not None:
        file.write_bytes(TEXTS[kind])
    assert str(file) in refused("--text", file, "--out", tmp_path / "m")
    assert {path.name for path in tmp_path.iterdir()} <= {"my.txt"}


def test_a_folder_in_place_of_a_text_is_refused_by_name(tmp_path):
    (tmp_path / "texts").mkdir()
    assert str(tmp_path / "texts") in refused("--text", tmp_path / "texts", "--out", tmp_path / "m")


def test_the_command_fails_with_exit_code_1_and_one_line(tmp_path):
    words = [sys.executable, "-m", "helpers.pretrain", "--text", tmp_path / "no.txt", "--out", tmp_path / "m"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    line, *others = done.stderr.splitlines()
    assert line.startswith("error: ") and str(tmp_path / "no.txt") in line and others == []


def test_without_a_compiler_the_command_says_so_in_one_line(tmp_path):
    words = [sys.executable, "-m", "helpers.pretrain", "--compile", "--out", tmp_path / "m"]
    lost = {"CXX": str(tmp_path / "no-compiler"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(words, cwd=ROOT, env=os.environ | lost, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "") and not (tmp_path / "m").exists()
    assert done.stderr.startswith("error: --compile: does not work here") and len(done.stderr.splitlines()) == 1


def test_a_model_of_ones_own_text(tmp_path, documents):
    file = tmp_path / "my.txt"
    prose = "\n".join(text for kind, text in documents if kind not in corpus.LISTED_KINDS)[:60_000]
    file.write_text(prose, encoding="utf-8")
    pretrain.main(
        ["--size", "small", "--text", str(file), "--tokens", "60000", "--vocab-size", "800", "--out", str(tmp_path / "m")]
    )
    model, tokenizer = models.load(tmp_path / "m")
    assert len(tokenizer) <= 800
    _, validation = pretrain.own_texts([file])
    measured = packing.bits_per_byte(model, tokenizer, validation)
    card = (tmp_path / "m" / "README.md").read_text()
    reported = float(re.search(r"([\d.]+) bits per byte", card)[1])
    assert reported == pytest.approx(measured, rel=1e-3)  # the file holds half precision
    assert "the reader's own text" in card
    assert measured < math.log2(len(tokenizer)) * len(tokenizer(validation[0])["input_ids"]) / len(validation[0].encode())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "my.txt"]


def test_the_last_tenth_of_each_own_text_is_for_validation(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("".join(f"{name}{n:04}\n" for n in range(500)))
    training, validation = pretrain.own_texts([tmp_path / "a", tmp_path / "b"])
    assert [len(text) for text in training] == [2700, 2700] and [len(text) for text in validation] == [300, 300]
    assert validation[1].endswith("b0499\n") and training[0].startswith("a0000")
