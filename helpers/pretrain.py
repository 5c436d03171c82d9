"""Pretraining: documents to blocks of tokens, blocks to a model, through the transformers Trainer.

python -m helpers.pretrain --size large                     anew, into .artifacts/large
python -m helpers.pretrain --size small --seed 1 --out x    another seed, into x/
python -m helpers.pretrain --size medium --text my.txt      own text, with a tokenizer of its own
python -m helpers.pretrain --size large --resume            go on where a run was interrupted
python -m helpers.pretrain --benchmark                      the speed and memory of this machine
"""

import argparse
import functools
import json
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path

import psutil
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from helpers import benchmark, compat, files, runtime
from helpers.errors import CourseError
from helpers.lm import ask, models
from helpers.texts import bytes_in, own_texts
from helpers.training.packing import bits_per_byte, pack, pieces_of, token_count
from helpers.training.pretraining import RECIPE, DivergedError, checkpoints, pretrain, settings_of
from helpers.world import facts, skills
from helpers.world.corpus import VALIDATION_SEED, validation_texts, world_texts
from helpers.world.tokenizer import (
    SMALLEST_VOCABULARY,
    VOCAB_SIZE,
    train_tokenizer,
    world_tokenizer,
)

#: How often a run goes through the reader's own text, unless the command says otherwise.
PASSES = 20

#: In tokens: what the reader's own text has to hold.
FEWEST_TOKENS = 64

#: Memory that a token of the world takes while it is packed.
BYTES_PER_TOKEN = 70

BUSY = "another process is training into this folder; wait for it, or give another --out"


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


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> None:
        self.exit(2, f"error: {message}; see python -m helpers.pretrain --help\n")


def number(kind: type, low: float, high: float) -> Callable[[str], float]:
    """For argparse: a number of this kind from ``low`` to ``high``."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {low:,} to {high:,}")
        return value

    return parse


def main(arguments: Sequence[str] | None = None) -> None:
    """The command ``python -m helpers.pretrain``."""
    parser = Parser(
        prog="python -m helpers.pretrain", description="Pretrains a model of the course."
    )
    whole = functools.partial(number, int)
    parser.add_argument(
        "--size", default="small", help=f"one of {', '.join(models.SIZES)} (default: small)"
    )
    parser.add_argument(
        "--seed",
        type=whole(0, 2**32 - 1),
        default=0,
        help="of the documents, the weights and their order (default: 0)",
    )
    parser.add_argument(
        "--tokens",
        type=whole(1, 10**9),
        help=f"to train on (default: {RECIPE['tokens']:,}; own text: {PASSES} passes, at most "
        f"as many)",
    )
    parser.add_argument(
        "--text", type=Path, nargs="+", metavar="FILE", help="pretrain on these UTF-8 texts instead"
    )
    parser.add_argument(
        "--vocab-size",
        type=whole(SMALLEST_VOCABULARY, 2**18),
        help=f"of the tokenizer for --text (default: {VOCAB_SIZE})",
    )
    parser.add_argument("--out", type=Path, help="folder of the model (default: .artifacts/SIZE)")
    parser.add_argument(
        "--replace-shipped",
        action="store_true",
        help="put the model in the place of the shipped one",
    )
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument(
        "--batch", type=whole(1, 4096), default=RECIPE["batch"], help="blocks in a step"
    )
    parser.add_argument(
        "--learning-rate", type=number(float, 1e-12, 1e12), default=RECIPE["learning_rate"]
    )
    parser.add_argument(
        "--save-steps", type=whole(1, 10**9), default=200, help="steps between two checkpoints"
    )
    parser.add_argument(
        "--threads", type=whole(1, 1024), help="processor threads (default: one a core)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted run stopped"
    )
    parser.add_argument("--benchmark", action="store_true", help="measure this machine and stop")
    options = parser.parse_args(arguments)
    options.words = sys.argv[1:] if arguments is None else arguments
    if options.seed == VALIDATION_SEED:
        parser.error(
            f"argument --seed: {VALIDATION_SEED} makes the documents of the validation; give "
            "another seed"
        )
    if options.vocab_size and not options.text:
        parser.error("argument --vocab-size: is for --text; the world has a tokenizer of its own")
    if options.replace_shipped and (options.text or options.out):
        parser.error(
            "argument --replace-shipped: a shipped model is of the course's own text, and at its "
            "own place"
        )
    compat.quiet()
    runtime.follow_quota()
    if options.threads:
        torch.set_num_threads(options.threads)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A name that this terminal cannot write is no reason to stop.
            stream.reconfigure(errors="backslashreplace")
    try:
        benchmark.benchmark() if options.benchmark else run(options)
    except CourseError as error:
        sys.exit(f"error: {error}")


def run(options: argparse.Namespace) -> None:
    """One whole run of the command: data, training with checkpoints, the model with its card."""
    out = target(options)
    most = options.tokens or RECIPE["tokens"]
    bytes_given = sum(map(bytes_in, options.text or ()))
    needed = BYTES_PER_TOKEN * (min(most, bytes_given // 3) if options.text else most)
    if needed > (free := psutil.virtual_memory().available):
        raise CourseError(
            f"--tokens {most}: {needed / 1e9:.1f} GB of memory are needed, {free / 1e9:.1f} are "
            "free; take fewer"
        )
    # Eight bytes a token are enough of any text, but of one that repeats itself, and there more
    # would teach nothing either.
    texts = own_texts(options.text, 8 * most + 100_000) if options.text else None
    folder = run_folder(out, options, texts)
    with files.locked(folder / "settings.json", BUSY):
        try:
            train(options, out, folder, texts)
        except CourseError as error:
            if isinstance(error, DivergedError) or not checkpoints(folder):
                files.remove(folder, "run")  # nobody could go on from here
            raise


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
    # Two checkpoints with the state of the optimizer, and the model.
    files.check_space(out, 8 * weights)
    return out


def train(
    options: argparse.Namespace, out: Path, folder: Path, texts: tuple[list[str], list[str]] | None
) -> None:
    """Pretrains on these texts, or on the world, with checkpoints in ``folder``, and saves the
    model at ``out``."""
    most = options.tokens or RECIPE["tokens"]
    if texts:
        training, validation = texts
        sample = (
            piece
            for text in training
            for piece, _ in islice(pieces_of(text), math.ceil(200 / len(training)))
        )
        tokenizer = train_tokenizer(sample, vocab_size=options.vocab_size or VOCAB_SIZE)
        blocks = pack(training, tokenizer, most)
        if token_count(blocks) < FEWEST_TOKENS:
            raise CourseError(
                f"{options.text[0]}: says so little that it is {token_count(blocks)} tokens, "
                f"{FEWEST_TOKENS} are needed; give another text, or a smaller --vocab-size"
            )
        epochs = (
            options.tokens / token_count(blocks)
            if options.tokens
            else min(PASSES, most / token_count(blocks))
        )
    else:
        tokenizer, validation, epochs = world_tokenizer(), validation_texts(), 1
        blocks = pack(world_texts(options.seed), tokenizer, most)
    tokens = round(token_count(blocks) * epochs)
    print(f"{tokens:,} tokens; {runtime.machine()}")
    start = time.perf_counter()
    trainer = pretrain(
        options.size, blocks, tokenizer, folder, seed=options.seed, batch=options.batch,
        epochs=epochs, learning_rate=options.learning_rate, optimizer=options.optimizer,
        resume=options.resume, save_steps=options.save_steps,
        dtype=getattr(torch, settings_of(folder)["dtype"]),
    )  # fmt: skip
    minutes, model = (time.perf_counter() - start) / 60, trainer.model
    measured = bits_per_byte(model, tokenizer, validation)
    if not math.isfinite(measured):
        raise DivergedError(
            f"the run diverged: {measured} bits per byte; nothing was saved, try a lower "
            "--learning-rate"
        )
    about = {
        "command": f"`python -m helpers.pretrain {shlex.join(map(str, options.words))}`",
        "seed": str(options.seed),
        "tokens": f"{tokens:,} in {trainer.state.global_step:,} steps",
        "parameters": f"{model.num_parameters():,}, of which embeddings "
        f"{model.get_input_embeddings().weight.numel():,}",
        "wall time": f"{minutes:.1f} minutes" + (" since it was resumed" if options.resume else ""),
        "machine": runtime.machine(),
        "validation": f"{measured:.4f} bits per byte",
        "licence of the text": "the reader's own text" if texts else "generated by this course",
    }
    models.save(
        model, tokenizer, out, models.card(about, {} if texts else results(model, tokenizer))
    )
    files.remove(folder, "run")
    print(f"{out}: {about['validation']}, {about['wall time']}")


def run_folder(
    out: Path, options: argparse.Namespace, texts: tuple[list[str], list[str]] | None
) -> Path:
    """The folder beside ``out`` for the checkpoints of this run, emptied unless it is resumed.

    Raises CourseError where ``--resume`` finds nothing to go on with, or a run of other settings or
    of another text, where another process is at work, and where anything else is there.
    """
    folder = out.with_name(f".{out.name}.run")
    keys = ("size", "seed", "optimizer", "batch", "learning_rate", "tokens", "vocab_size")
    settings = {key.replace("_", "-"): getattr(options, key) for key in keys}
    settings["checksum of the text"] = text_checksum(texts)
    if options.resume:
        if not folder.is_dir():
            raise CourseError(
                f"{folder}: no checkpoint to resume from; run the command without --resume"
            )
        earlier = settings_of(folder)
        if other := [key for key, value in settings.items() if earlier.get(key) != value]:
            other_settings = f"{other[0]} {earlier.get(other[0])}, not {settings[other[0]]}"
            raise CourseError(
                f"{folder}: holds a run of {other_settings}; repeat its options and text, or run "
                "without --resume"
            )
        return folder
    files.check_replaceable(folder, "run")
    if (folder / "settings.json").exists():
        with files.locked(folder / "settings.json", BUSY):
            files.remove(folder, "run")
    with files.atomic_folder(folder, "run") as beside:
        saved = settings | {"dtype": str(runtime.fastest_dtype()).removeprefix("torch.")}
        (beside / "settings.json").write_text(json.dumps(saved), encoding="utf-8")
    return folder


def text_checksum(texts: tuple[list[str], list[str]] | None) -> str:
    """The first digits of a SHA-256 of the reader's own texts, or of the facts of the world."""
    digest = sha256()
    for text in (
        [text for part in texts for text in part]
        if texts
        else map(repr, map(facts.table, facts.names()))
    ):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    main()
