"""The arguments of ``python -m helpers.pretrain``."""

import argparse
import functools
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from helpers.lm import models
from helpers.training.pretraining import RECIPE
from helpers.world.corpus import VALIDATION_SEED
from helpers.world.tokenizer import SMALLEST_VOCABULARY, VOCAB_SIZE

#: How often a run goes through the reader's own text, unless the command says otherwise.
PASSES = 20


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> None:
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


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


#: For argparse: a whole number between two others.
whole = functools.partial(number, int)


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options by name, and in ``words`` as they were typed. Ends the process with one line if
    they make no sense."""
    parser = Parser(
        prog="python -m helpers.pretrain", description="Pretrains a model of the course."
    )
    parser.add_argument(
        "--size",
        default="small",
        help=f"one of {', '.join(models.SIZES | models.LARGER)} (default: small)",
    )
    parser.add_argument(
        "--seed",
        type=whole(0, 2**32 - 1),
        default=0,
        help="of the documents, the weights and their order (default: 0)",
    )
    parser.add_argument(
        "--tokens",
        type=whole(1, 10**12),
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
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="pretrain on what helpers.tokenise has made"
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
        "--device-batch",
        type=whole(1, 4096),
        help="of them at once in a process; gradients of the others are added (default: all)",
    )
    parser.add_argument(
        "--learning-rate", type=number(float, 1e-12, 1e12), default=RECIPE["learning_rate"]
    )
    parser.add_argument(
        "--save-steps", type=whole(1, 10**9), default=200, help="steps between two checkpoints"
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where (default: cpu)"
    )
    parser.add_argument(
        "--sharded",
        action="store_true",
        help="each GPU keeps its share of the model (FSDP2), for what one cannot hold",
    )
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile: half a minute once, then bfloat16 steps a quarter quicker",
    )
    parser.add_argument(
        "--threads", type=whole(1, 1024), help="processor threads (default: one a core)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on where an interrupted run stopped"
    )
    parser.add_argument(
        "--resume-or-begin", action="store_true", help="go on, begin, or do nothing if all is done"
    )
    parser.add_argument("--benchmark", action="store_true", help="measure this machine and stop")
    options = parser.parse_args(arguments)
    options.words = sys.argv[1:] if arguments is None else arguments
    if options.seed == VALIDATION_SEED:
        parser.error(
            f"argument --seed: {VALIDATION_SEED} makes the documents of the validation; give "
            "another seed"
        )
    if options.data and options.text:
        parser.error("argument --data: holds its own text; give --data or --text")
    if options.vocab_size and not options.text:
        parser.error("argument --vocab-size: is for --text; the world has a tokenizer of its own")
    if options.replace_shipped and (options.text or options.data or options.out):
        parser.error(
            "argument --replace-shipped: a shipped model is of the course's own text, and at its "
            "own place"
        )
    return options
