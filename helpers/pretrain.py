"""Pretraining: documents to blocks of tokens, blocks to a model, through the transformers Trainer.

python -m helpers.pretrain --size large                     anew, into .artifacts/large
python -m helpers.pretrain --size small --seed 1 --out x    another seed, into x/
python -m helpers.pretrain --size medium --text my.txt      own text, with a tokenizer of its own
python -m helpers.pretrain --size large --resume            go on where a run was interrupted
python -m helpers.pretrain --benchmark                      the speed and memory of this machine
python -m helpers.pretrain --benchmark --compile            and what torch.compile makes of it

Several processes, or GPUs, make one run of it: the same steps, each a share of every batch (DDP,
and each a share of the model too with --sharded, FSDP2):

torchrun --standalone --nproc-per-node 2 -m helpers.pretrain --size large --resume-or-begin
"""

import argparse
import json
import math
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psutil
import torch
from datasets import Dataset
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from helpers import benchmark, compat, files, runs, runtime
from helpers.arguments import PASSES, parsed
from helpers.errors import CourseError
from helpers.lm import ask, models
from helpers.texts import bytes_in, own_texts
from helpers.training import processes
from helpers.training.common import Speed, logged
from helpers.training.packing import bits_per_byte, pack, pieces_of, token_count
from helpers.training.pretraining import RECIPE, DivergedError, pretrain, settings_of, share_of
from helpers.training.tokens import Tokens
from helpers.world import skills
from helpers.world.corpus import validation_texts, world_texts
from helpers.world.tokenizer import VOCAB_SIZE, train_tokenizer, world_tokenizer

#: In tokens: what the reader's own text has to hold.
FEWEST_TOKENS = 64

#: Memory that a token of the world takes while it is packed.
BYTES_PER_TOKEN = 70


def results(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> dict[str, str]:
    """The model's results on the measures of the course, for its card."""
    facts, bare = skills.recall(model, tokenizer), skills.bare_questions(model, tokenizer)
    return {
        "grammar, combinations never generated": str(
            skills.grammar(lambda t: ask.logprobs(model, tokenizer, t))["all"]
        ),
        "capitals that quizzes held": str(facts["quizzes"]),
        "capitals known from prose only": str(facts["prose"]),
        "bare question continued with a question": str(bare["question"]),
        "who has it at the end of a story": str(skills.context(model, tokenizer)),
        **{
            f"{task} under reserved labels, {shots} shots": str(
                skills.fresh_labels(model, tokenizer, task, shots)
            )
            for task in ("category", "continent", "news")
            for shots in (0, 8, 16)
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command ``python -m helpers.pretrain``."""
    options = parsed(arguments)
    compat.quiet()
    runtime.follow_quota()
    if options.threads:
        torch.set_num_threads(options.threads)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A name that this terminal cannot write is no reason to stop.
            stream.reconfigure(errors="backslashreplace")
    try:
        if not processes.by_torchrun():
            processes.stand_alone()
        check_device(options)
        if options.benchmark:
            benchmark.benchmark(options.device, options.compile)
        else:
            with processes.together(options.device):
                run(options)
                if options.sharded:
                    processes.leave()
    except CourseError as error:
        if not processes.is_first_here():
            time.sleep(10)  # torchrun ends all when one ends: the first is to speak before
        sys.exit(f"error: {error}")


def check_device(options: argparse.Namespace) -> None:
    """Raises CourseError, before any work, for a GPU that is not there, for what it cannot do, and
    for a batch that the processes cannot share."""
    cards = torch.cuda.device_count() if options.device == "cuda" else math.inf
    wanted = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if wanted > cards:
        few = f"{wanted} GPUs are needed here, and there are {cards}"
        only = processes.by_torchrun() and os.environ.get("CUDA_VISIBLE_DEVICES")
        raise CourseError(
            f"--device cuda: {few}" + (f" (CUDA_VISIBLE_DEVICES={only})" if only else "")
        )
    if options.device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if options.sharded and (options.device == "cpu" or processes.count() == 1):
        raise CourseError("--sharded: several GPUs are needed (--device cuda, by torchrun)")
    share_of(options.batch, options.device_batch)
    if options.compile and (reason := runtime.no_compiler(options.device)):
        raise CourseError(f"--compile: does not work here ({reason}); leave it out")


def check_memory(options: argparse.Namespace) -> None:
    """Raises CourseError if the processes of this machine cannot pack so many tokens in it."""
    most = options.tokens or RECIPE["tokens"]
    bytes_given = sum(map(bytes_in, options.text or ()))
    packed = 0 if options.data else min(most, bytes_given // 3) if options.text else most
    needed = BYTES_PER_TOKEN * packed * int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if needed > (free := psutil.virtual_memory().available):
        raise CourseError(
            f"--tokens {most}: {needed / 1e9:.1f} GB of memory are needed, {free / 1e9:.1f} are "
            "free; take fewer"
        )


def texts_of(options: argparse.Namespace) -> tuple[list[str], list[str]] | None:
    """The reader's own texts, for training and for validation; None for the world's. Eight bytes a
    token are enough of any text, but of one that repeats itself, and there more would teach nothing
    either."""
    most = options.tokens or RECIPE["tokens"]
    return own_texts(options.text, 8 * most + 100_000) if options.text else None


def run(options: argparse.Namespace) -> None:
    """One whole run of the command: data, training with checkpoints, the model with its card. With
    ``--resume-or-begin`` nothing is done where the model is there already."""
    out = Path(processes.by_first(lambda: str(target(options))))
    processes.agreed(lambda: check_memory(options))
    texts = processes.agreed(lambda: texts_of(options))
    wanted = runs.settings(options, texts)

    def finished() -> str | None:
        return "yes" if options.resume_or_begin and runs.is_finished(out, wanted) else None

    if processes.by_first(finished):
        if processes.is_first():
            print(f"{out}: is there already, whole; take another --out to train anew")
        runs.clear_finished(out, wanted)
        return
    with runs.held(out, options, wanted) as folder:
        try:
            train(options, out, folder, texts, wanted)
        except torch.OutOfMemoryError:
            raise CourseError(
                f"--device {options.device}: its memory is full; give a smaller --device-batch"
            ) from None


def target(options: argparse.Namespace) -> Path:
    """The folder that the model goes to. Raises CourseError if anything is there but a model that
    this command made, if it is a shipped one and that was not asked for, or if the disk is too
    full."""
    shipped = models.PRETRAINED.resolve()
    if options.replace_shipped:
        out = shipped / options.size
    else:
        # Not Path.absolute: ``..`` has no name.
        out = Path(os.path.abspath(options.out or files.ARTIFACTS / options.size))  # noqa: PTH100
        if "\0" in str(out) or str(out).encode(errors="ignore").decode() != str(out):
            raise CourseError(
                f"--out {str(options.out)!r}: no name that a model can be saved under; give another"
            )
        if shipped in (real := Path(os.path.realpath(out)), real.parent):
            raise CourseError(
                f"{out}: here are the shipped models; give another --out, or --replace-shipped "
                "without --out"
            )
    files.check_replaceable(out, "model")
    size, vocabulary = models.size_named(options.size), options.vocab_size or VOCAB_SIZE
    weights = 4 * (vocabulary * size.width + 10 * size.depth * size.width**2)
    # Three checkpoints with the state of the optimizer, and the model.
    files.check_space(out, 11 * weights)
    return out


@dataclass(frozen=True)
class Data:
    """What a run trains on, how often it goes through it, and what it is measured on."""

    blocks: Dataset | Tokens
    tokenizer: PreTrainedTokenizerFast
    validation: Sequence[str]
    epochs: float

    @property
    def tokens(self) -> int:
        """How many tokens the run sees."""
        return round(token_count(self.blocks) * self.epochs)


def data_of(options: argparse.Namespace, texts: tuple[list[str], list[str]] | None) -> Data:
    """These texts, what ``--data`` names, or the world, as blocks of tokens."""
    most = options.tokens or RECIPE["tokens"]
    block = models.size_named(options.size).block
    if options.data:
        blocks = Tokens(options.data, block - 1)
        epochs = options.tokens / token_count(blocks) if options.tokens else 1
        return Data(blocks, blocks.tokenizer(), blocks.validation, epochs)
    if not texts:
        tokenizer = world_tokenizer()
        blocks = pack(world_texts(options.seed), tokenizer, most, block)
        return Data(blocks, tokenizer, validation_texts(), 1)
    training, validation = texts
    pieces = math.ceil(200 / len(training))
    sample = (piece for text in training for piece, _ in islice(pieces_of(text), pieces))
    tokenizer = train_tokenizer(sample, vocab_size=options.vocab_size or VOCAB_SIZE)
    blocks = pack(training, tokenizer, most, block)
    count = token_count(blocks)
    if count < FEWEST_TOKENS:
        raise CourseError(
            f"{options.text[0]}: says so little that it is {count} tokens, {FEWEST_TOKENS} are "
            "needed; give another text, or a smaller --vocab-size"
        )
    epochs = options.tokens / count if options.tokens else min(PASSES, most / count)
    return Data(blocks, tokenizer, validation, epochs)


def train(
    options: argparse.Namespace,
    out: Path,
    folder: Path,
    texts: tuple[list[str], list[str]] | None,
    wanted: dict[str, object],
) -> None:
    """Pretrains with checkpoints in ``folder``, and saves the model of the ``wanted`` settings at
    ``out``."""
    data = processes.agreed(lambda: data_of(options, texts))
    if processes.is_first():
        print(f"{data.tokens:,} tokens; {runtime.machine()}")
    start, speed = time.perf_counter(), Speed()
    trainer = pretrain(
        options.size, data.blocks, data.tokenizer, folder, seed=options.seed, batch=options.batch,
        epochs=data.epochs, learning_rate=options.learning_rate, optimizer=options.optimizer,
        resume=options.resume or options.resume_or_begin, or_begin=options.resume_or_begin,
        save_steps=options.save_steps,
        device_batch=options.device_batch, device=options.device, sharded=options.sharded,
        compiled=options.compile, callbacks=[speed],
        dtype=getattr(torch, processes.by_first(lambda: settings_of(folder)["dtype"])),
    )  # fmt: skip
    if not processes.is_first():
        return
    minutes, model = (time.perf_counter() - start) / 60, trainer.model
    measured = bits_per_byte(model, data.tokenizer, data.validation)
    if not math.isfinite(measured):
        raise DivergedError(
            f"the run diverged: {measured} bits per byte; nothing was saved, try a lower "
            "--learning-rate"
        )
    own = bool(options.text or options.data)
    about = {
        "command": f"`python -m helpers.pretrain {shlex.join(map(str, options.words))}`",
        "seed": str(options.seed),
        "tokens": f"{data.tokens:,} in {trainer.state.global_step:,} steps",
        "parameters": f"{model.num_parameters():,}, of which embeddings "
        f"{model.get_input_embeddings().weight.numel():,}",
        "wall time": f"{minutes:.1f} minutes" + (" since it was resumed" if options.resume else ""),
        "speed": speed_in_words(options, speed),
        "machine": runtime.machine(),
        "validation": f"{measured:.4f} bits per byte",
        "licence of the text": "the reader's own text" if own else "generated by this course",
    }
    rates = {} if own else results(model, data.tokenizer)
    losses = [{key: row[key] for key in ("step", "loss")} for row in logged(trainer)]
    more = {"losses.json": json.dumps(losses), runs.SETTINGS: json.dumps(wanted)}
    models.save(model, data.tokenizer, out, models.card(about, rates), more)
    print(f"{out}: {about['validation']}, {about['speed']}, {about['wall time']}")


def speed_in_words(options: argparse.Namespace, speed: Speed) -> str:
    """How many tokens a second all processes together have trained on."""
    if speed.steps_per_second is None:
        return "too short to tell its speed"
    tokens_a_step = options.batch * models.size_named(options.size).block
    return f"{speed.steps_per_second * tokens_a_step:,.0f} tokens a second"


if __name__ == "__main__":
    main()
