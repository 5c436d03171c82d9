"""Tokenises a text once, for trainings that are longer than memory is large.

python -m helpers.tokenise FOLDER --text my.txt        own text, with a tokenizer of its own
python -m helpers.tokenise FOLDER --text web.parquet   the column "text" of such a file, or of one
    hf://datasets/HuggingFaceFW/fineweb-edu/sample/10BT/000_00000.parquet (licence ODC-By)
python -m helpers.tokenise FOLDER --tokens 100000000   the course's world
python -m helpers.pretrain --data FOLDER               and the training on it
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import helpers

if __name__ == "__main__" and any(word.startswith("hf://") for word in sys.argv):
    helpers.online()  # before what follows looks, once, whether it is

from tqdm import tqdm

from helpers import compat, files
from helpers.arguments import Parser, whole
from helpers.errors import CourseError
from helpers.texts import bytes_in, documents_in, own_texts, pieces_in
from helpers.training.packing import pieces_of
from helpers.training.tokens import write_tokens
from helpers.world.corpus import VALIDATION_SEED, validation_texts, world_texts
from helpers.world.tokenizer import (
    SMALLEST_VOCABULARY,
    VOCAB_SIZE,
    train_tokenizer,
    world_tokenizer,
)

#: A tokenizer is trained on so many bytes from the beginning of a text.
SAMPLE = 10**7
#: Of Parquet files the first texts are for validation.
VALIDATION = 200


def watched(pieces: Iterator[tuple[str, bool]], total: int | None) -> Iterator[tuple[str, bool]]:
    """The pieces, with a bar that counts their characters."""
    with tqdm(total=total, unit="B", unit_scale=True, dynamic_ncols=True) as bar:
        for text, is_last in pieces:
            bar.update(len(text))
            yield text, is_last


def up_to(characters: int, texts: Iterator[str]) -> Iterator[str]:
    """The next texts, until there are so many characters."""
    while characters > 0 and (text := next(texts, None)) is not None:
        characters -= len(text)
        yield text


def main(arguments: Sequence[str] | None = None) -> None:
    """The command ``python -m helpers.tokenise``."""
    parser = Parser(prog="python -m helpers.tokenise", description="Tokenises a text once.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--text", nargs="+", metavar="FILE", help="UTF-8 texts, or Parquet files")
    parser.add_argument("--tokens", type=whole(1, 10**12), help="at most so many")
    parser.add_argument("--seed", type=whole(0, 2**32 - 1), default=0, help="of the world's text")
    parser.add_argument(
        "--vocab-size",
        type=whole(SMALLEST_VOCABULARY, 2**18),
        default=VOCAB_SIZE,
        help=f"of the tokenizer for --text (default: {VOCAB_SIZE})",
    )
    options = parser.parse_args(arguments)
    if not options.text and not options.tokens:
        parser.error("the world has no end: give --tokens, or --text")
    if options.seed == VALIDATION_SEED:
        parser.error(f"argument --seed: {VALIDATION_SEED} is of the validation; give another")
    compat.quiet()
    try:
        print(f"{options.folder}: {tokenise(options):,} tokens")
    except CourseError as error:
        sys.exit(f"error: {error}")


def tokenise(options: argparse.Namespace) -> int:
    """How many tokens were written. CourseError before any work for a text that cannot be used, a
    place that is taken, and a full disk."""
    files.check_replaceable(options.folder, "tokens")
    most = options.tokens or sys.maxsize
    if options.text and all(name.endswith(".parquet") for name in options.text):
        files.check_space(options.folder, 2 * (options.tokens or 0))
        documents = (text for name in options.text for text in documents_in(name))
        validation, beginning = list(islice(documents, VALIDATION)), list(up_to(SAMPLE, documents))
        tokenizer = train_tokenizer(beginning, vocab_size=options.vocab_size)
        pieces = (piece for text in chain(beginning, documents) for piece in pieces_of(text))
        pieces = watched(pieces, None)
    elif options.text:
        options.text = [Path(name) for name in options.text]
        size = sum(map(bytes_in, options.text))
        files.check_space(options.folder, 2 * min(most, size))
        beginning, validation = own_texts(options.text, SAMPLE)
        tokenizer = train_tokenizer(beginning, vocab_size=options.vocab_size)
        pieces = watched(pieces_in(options.text), size * 9 // 10)
    else:
        files.check_space(options.folder, 2 * most)
        tokenizer, validation = world_tokenizer(), validation_texts()
        pieces = watched(((text, True) for text in world_texts(options.seed)), None)
    return write_tokens(pieces, tokenizer, options.folder, most, validation)


if __name__ == "__main__":
    main()
