"""The model sizes on one dial, their loading and saving."""

import copy
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from helpers.errors import CourseError

logging.disable_progress_bar()  # a small file is read before the bar is drawn

PRETRAINED = Path(__file__).parent / "pretrained"
#: Longest context in tokens: the length of a block in pretraining, and of the longest prompt that the course asks.
BLOCK = 320


@dataclass(frozen=True)
class Size:
    """One setting of the dial: ``depth`` layers of width 64 x depth, heads of 64, SwiGLU of twice the width."""

    depth: int

    @property
    def width(self) -> int:
        return 64 * self.depth

    @property
    def intermediate(self) -> int:
        return 2 * self.width


SIZES = {"small": Size(1), "medium": Size(2), "large": Size(4)}


def size_named(name: str) -> Size:
    """The size of this name; CourseError names the sizes there are."""
    if name not in SIZES:
        raise CourseError(f"unknown size {name!r}; the sizes are {', '.join(SIZES)}")
    return SIZES[name]


def config_for(size: str, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """The Llama configuration of a size, for the vocabulary of this tokenizer; embeddings are tied."""
    dial = size_named(size)
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=dial.width,
        intermediate_size=dial.intermediate,
        num_hidden_layers=dial.depth,
        num_attention_heads=dial.depth,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def load(source: str | Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Model (float32, evaluation mode) and tokenizer of a shipped size, or of a folder.

    Raises CourseError for an unknown size, a missing or damaged file, and a tokenizer that does not fit its model.
    """
    folder = PRETRAINED / source if source in SIZES else Path(source)
    if not folder.is_dir():
        if source in SIZES:
            raise CourseError(f"{folder}: no such model; make it with python -m helpers.pretrain --size {source}")
        raise CourseError(f"unknown size or folder {str(source)!r}; the sizes are {', '.join(SIZES)}")
    remedy = "restore the folder (git checkout) or train it again with python -m helpers.pretrain"
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CourseError(f"{folder}: cannot be read ({reason}); {remedy}") from None
    if absent := report["missing_keys"] | report["unexpected_keys"]:
        raise CourseError(f"{folder}: weights are missing or too many ({min(absent)}); {remedy}")
    if len(tokenizer) != model.config.vocab_size:
        raise CourseError(f"{folder}: the tokenizer has {len(tokenizer)} tokens, the model {model.config.vocab_size}; {remedy}")
    return model.eval(), tokenizer


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path, card: str) -> None:
    """Model (float16), tokenizer and model card into ``folder``, whole or not at all. The configuration says float32, so that
    ``AutoModelForCausalLM`` computes in it whatever the file holds."""
    with replacing(folder) as beside:
        copy.deepcopy(model).half().save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        tokenizer.backend_tokenizer.save(str(beside / "tokenizer.json"), pretty=False)
        (beside / "README.md").write_text(card)
        config = beside / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")


class replacing:  # noqa: N801 (reads as a verb in ``with replacing(folder) as beside``)
    """A new folder beside ``folder`` to write into; it takes its place at the end of the block, or goes if that fails.

    A full disk raises CourseError that names the folder.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.beside = self.folder.with_name(f".{self.folder.name}.{os.getpid()}")

    def __enter__(self) -> Path:
        shutil.rmtree(self.beside, ignore_errors=True)
        try:
            self.beside.mkdir(parents=True)
        except OSError as error:
            self._fail(error)
        return self.beside

    def __exit__(self, kind, error, trace) -> None:
        if error is not None:
            shutil.rmtree(self.beside, ignore_errors=True)
            if isinstance(error, OSError | SafetensorError):
                self._fail(error)
            return
        remove(self.folder)
        self.beside.rename(self.folder)

    def _fail(self, error: Exception) -> None:
        raise CourseError(f"{self.folder}: cannot be written ({error}); free some disk space and try again")


def remove(folder: Path) -> None:
    """Takes a folder away by one rename, then deletes it: nobody meets half of it."""
    if folder.exists():
        grave = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        folder.rename(grave)
        shutil.rmtree(grave)
