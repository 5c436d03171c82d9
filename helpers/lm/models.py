"""The model sizes on one dial, their loading and saving."""

import copy
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from helpers.errors import CourseError
from helpers.files import atomic_folder

PRETRAINED = Path(__file__).parent.parent / "pretrained"
#: Longest context in tokens: the length of a block in pretraining, and of the longest prompt that
#: the course asks.
BLOCK = 320


@dataclass(frozen=True)
class Size:
    """One setting of the dial: ``depth`` layers of width 64 x depth, heads of 64, SwiGLU of
    ``ratio`` times the width, blocks of ``block`` tokens. The vocabulary is padded to a multiple of
    ``multiple``."""

    depth: int
    ratio: Fraction = Fraction(2)
    block: int = BLOCK
    multiple: int = 1

    @property
    def width(self) -> int:
        return 64 * self.depth

    @property
    def intermediate(self) -> int:
        return int(self.ratio * self.width)


SIZES = {"small": Size(1), "medium": Size(2), "large": Size(4)}
#: Not shipped, for a GPU. As many parameters as GPT-2 small has, 124 million, if there are as many
#: tokens (50,257, padded to 50,304): 39 million of them embeddings, which are the output head too.
LARGER = {"gpt2": Size(12, Fraction(8, 3), 1024, 128)}


def size_named(name: str) -> Size:
    """The size of this name; CourseError names the sizes there are."""
    sizes = SIZES | LARGER
    if name not in sizes:
        raise CourseError(f"unknown size {name!r}; the sizes are {', '.join(sizes)}")
    return sizes[name]


def config_for(size: str, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """The Llama configuration of a size, for the vocabulary of this tokenizer; embeddings are
    tied."""
    dial = size_named(size)
    return LlamaConfig(
        vocab_size=math.ceil(len(tokenizer) / dial.multiple) * dial.multiple,
        hidden_size=dial.width,
        intermediate_size=dial.intermediate,
        num_hidden_layers=dial.depth,
        num_attention_heads=dial.depth,
        max_position_embeddings=max(512, dial.block),
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def load(
    source: str | Path,
    revision: str | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Model (in evaluation mode) and tokenizer of a shipped size, of a folder, or of a repository
    OWNER/NAME of the Hugging Face hub at a ``revision``. Only safetensors are read, and no code
    that comes with a model.

    Raises CourseError for an unknown size, a missing or damaged file, a repository that cannot be
    reached, and a tokenizer that does not fit its model. (A model may have some tokens more than
    its tokenizer: Qwen's and Gemma's are padded.)
    """
    folder = PRETRAINED / source if source in SIZES else Path(source)
    online = (
        not folder.is_dir()
        and re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) is not None
        and source not in SIZES
    )
    if not folder.is_dir() and not online:
        if source in SIZES:
            command = f"python -m helpers.pretrain --size {source} --replace-shipped"
            raise CourseError(f"{folder}: no such model; make it with {command}")
        raise CourseError(
            f"unknown size or folder {str(source)!r}; the sizes are {', '.join(SIZES)}"
        )
    remedy = "restore the folder (git checkout) or train it again with python -m helpers.pretrain"
    if online:
        remedy = "check the name, the revision and the network (HF_HUB_OFFLINE is set offline)"
        remedy += ", or give a folder"
    place = str(source) if online else folder
    options = {"revision": revision} if revision else {}
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            place, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CourseError(f"{place}: cannot be read ({reason}); {remedy}") from None
    if absent := report["missing_keys"] | report["unexpected_keys"]:
        raise CourseError(f"{place}: weights are missing or too many ({min(absent)}); {remedy}")
    tokens, rows = len(tokenizer), model.get_input_embeddings().num_embeddings
    if not rows / 2 <= tokens <= rows:
        raise CourseError(f"{place}: the tokenizer has {tokens} tokens, the model {rows}; {remedy}")
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        tokenizer.pad_token = _spare_token(tokenizer)
    return model.to(device).eval(), tokenizer


def _spare_token(tokenizer: PreTrainedTokenizerFast) -> str | None:
    """A control token to pad with: the last one that neither begins nor ends a text or a turn,
    since a reward model reads its score in front of the padding. The end of text where there is no
    other."""
    busy = {tokenizer.bos_token, tokenizer.eos_token, None}
    spare = [
        t
        for t in tokenizer.get_added_vocab()
        if t not in busy and t not in (tokenizer.chat_template or "")
    ]
    return max(spare, key=tokenizer.convert_tokens_to_ids, default=tokenizer.eos_token)


def save(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    card: str,
    more: Mapping[str, str] | None = None,
) -> None:
    """Model (float16), tokenizer and model card into ``folder``, whole or not at all, and the texts
    of ``more`` under their names. The configuration says float32, so that ``AutoModelForCausalLM``
    computes in it whatever the file holds.

    Raises CourseError for weights that float16 cannot hold, a full disk, and a folder that holds
    anything but such a model.
    """
    small = copy.deepcopy(model).half()
    if bad := [name for name, weights in small.named_parameters() if not weights.isfinite().all()]:
        raise CourseError(
            f"{folder}: not saved, since {bad[0]} is not finite in float16; train again at a lower "
            "rate"
        )
    with atomic_folder(folder, "model") as beside:
        small.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        tokenizer.backend_tokenizer.save(str(beside / "tokenizer.json"), pretty=False)
        for name, text in {"README.md": card, **(more or {})}.items():
            (beside / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        config = json.loads((beside / "config.json").read_text(encoding="utf-8")) | {
            "dtype": "float32"
        }
        (beside / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def card(facts: dict[str, str], rates: dict[str, str]) -> str:
    """A model card in Markdown: how the model was made and what it can do."""
    lines = [
        "# Model card",
        "",
        "Made by this course, from random weights. For teaching only: its world is small.",
        "",
    ]
    lines += [
        "| | |",
        "| --- | --- |",
        *(f"| {name} | {text} |" for name, text in facts.items()),
        "",
    ]
    if rates:
        lines += ["| measure | rate [95 % interval] |", "| --- | --- |"]
        lines += [f"| {name} | {text} |" for name, text in rates.items()]
    return "\n".join(lines) + "\n"
