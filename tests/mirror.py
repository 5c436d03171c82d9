"""A mirror of the hub as ``COURSE_HUB`` reads it, of nothing but random numbers: models of the real architecture whose
tokenizer has the real one's properties, and data files with the real columns.

    python tests/mirror.py FOLDER
"""

import json
import sys
from pathlib import Path
from random import Random

import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from helpers.public import medicine, news
from helpers.world import corpus

#: OWNER/NAME of the three base models, and the layers of each.
MODELS = {f"HuggingFaceTB/SmolLM2-{size}": depth for size, depth in (("135M", 2), ("360M", 3), ("1.7B", 4))}
WORDS = {0: ("falls", "cut", "weak"), 1: ("rises", "beats", "strong"), 2: ("meets", "names", "files")}


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE whose digits stand alone, which begins, ends and pads a text with one token and adds none of them, without
    a chat template: as the base models of the family have it."""
    made = Tokenizer(models.BPE())
    parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    made.pre_tokenizer, made.decoder = pre_tokenizers.Sequence(parts), decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator((document.text for _, document in zip(range(800), corpus.documents(3), strict=False)), trainer)
    ends = dict.fromkeys(("bos_token", "eos_token", "unk_token"), special[0])
    return PreTrainedTokenizerFast(tokenizer_object=made, additional_special_tokens=special[1:], **ends)


def model(depth: int, tokens: int) -> LlamaForCausalLM:
    """Fewer heads for keys than for queries, tied embeddings, a context of 8,192 tokens: SmolLM2's, but tiny and random."""
    torch.manual_seed(depth)
    sizes = {"hidden_size": 48, "intermediate_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1}
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    config = LlamaConfig(vocab_size=tokens, num_hidden_layers=depth, tie_word_embeddings=True,
                         max_position_embeddings=8192, rope_theta=100_000, **sizes, **ends)  # fmt: skip
    return LlamaForCausalLM(config)


def tweets(how_many: int, seed: int) -> pd.DataFrame:
    """Three kinds of words, in random tweets with links."""
    rng, rows = Random(f"tweets {seed}"), []
    for number in range(how_many):
        label = rng.choices((0, 1, 2), (15, 20, 65))[0]
        text = f"$T{seed}{number} {rng.choice(WORDS[label])} {rng.choice(('guidance', 'outlook', 'sales'))}"
        rows.append({"text": f"{text} https://t.co/{rng.random()}", "label": label})
    return pd.DataFrame(rows)


def abstracts(how_many: int) -> pd.DataFrame:
    rng = Random("abstracts")
    rows = []
    for number in range(how_many):
        decision = rng.choices(medicine.ANSWERS, (55, 34, 11))[0]
        texts = [f"Sixty patients of group {number} were asked.", f"The effect was {decision}."]
        rows.append({"pubid": 1000 + number, "question": f"Does treatment {number} help?", "context": {"contexts": texts},
                     "long_answer": f"SECRET {number}", "final_decision": decision})  # fmt: skip
    return pd.DataFrame(rows)


def make(folder: Path) -> Path:
    """All of it into an empty folder, which is given back."""
    words = tokenizer()
    for name, depth in MODELS.items():
        model(depth, len(words)).to(torch.bfloat16).save_pretrained(folder / name)
        words.save_pretrained(folder / name)
    of_news, of_medicine = folder / news.NAME, folder / medicine.NAME / "pqa_labeled"
    of_news.mkdir(parents=True)
    of_medicine.mkdir(parents=True)
    train, valid = tweets(600, 1), tweets(200, 2)
    valid = pd.concat([valid, train.iloc[:5].assign(text=train.text.str.upper())])  # what stands in both
    train.to_csv(of_news / "sent_train.csv", index=False)
    valid.to_csv(of_news / "sent_valid.csv", index=False)
    abstracts(120).to_parquet(of_medicine / "train-00000-of-00001.parquet")
    return folder


if __name__ == "__main__":
    print(json.dumps(str(make(Path(sys.argv[1])))))
