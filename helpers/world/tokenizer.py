"""A byte-level BPE tokenizer in which a word is the same token wherever it stands.

A byte-level BPE writes the space into the token of the word behind it, so that "Paris" at the start
of a line and " Paris" inside one are strangers. Here a space is put before the first word of every
line and taken away when decoding; text comes back exactly. Signs and digits are tokens of their own
("France?" is two tokens).
"""

from collections.abc import Iterable
from itertools import islice

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from helpers.lm.chat import CHAT_TOKENS
from helpers.world.corpus import world_texts

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
VOCAB_SIZE = 3840
#: The 256 bytes and the special tokens, before anything is merged.
SMALLEST_VOCABULARY = 256 + 2 + len(CHAT_TOKENS)


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int = VOCAB_SIZE
) -> PreTrainedTokenizerFast:
    """A BPE tokenizer (Sennrich et al. 2016) of at most ``vocab_size`` tokens, trained on
    ``texts``.

    Texts are read one by one, so an iterator will do. The vocabulary always holds the 256 bytes and
    the special tokens.
    """
    tokenizer = Tokenizer(models.BPE())
    specials = [END_OF_TEXT, PAD, *CHAT_TOKENS]
    # A space before every line that holds anything. What follows a special token is a text of its
    # own.
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(" "), normalizers.Replace(Regex(r"\n(?=[^\n])"), "\n ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]|\n|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    undo = [decoders.Replace(f"{special} ", special) for special in specials]
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace("\n ", "\n"), decoders.Strip(" ", 1, 0), *undo]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # Begin-of-text in front of every text, as Llama's tokenizers have it: what all models of the
    # course were trained with.
    begin = (END_OF_TEXT, tokenizer.token_to_id(END_OF_TEXT))
    pattern = f"{END_OF_TEXT} $A"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=pattern, pair=f"{pattern} $B", special_tokens=[begin]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=PAD,
        additional_special_tokens=list(CHAT_TOKENS),
        model_max_length=512,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def world_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer that all shipped models share: trained on the first 40,000 documents of seed 0.
    Takes 3 s."""
    return train_tokenizer(islice(world_texts(0), 40_000))
