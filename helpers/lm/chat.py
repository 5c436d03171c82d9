"""Conversations: the chat template, and a tokenizer whose texts end where a turn ends.

A conversation is a list of messages, each with a role and a content, as everywhere in transformers
and trl. The template makes one text of it, with special tokens that no document of the corpus
holds.
"""

import copy
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers.data import Reply
from helpers.errors import CourseError
from helpers.lm import ask, encoding

#: Reserved for conversations; no document of the corpus holds them.
CHAT_TOKENS = (
    "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|reserved_0|>", "<|reserved_1|>",
)  # fmt: skip
END = "<|end|>"

#: Jinja. What stands between generation and endgeneration is the assistant's own: its words and the
#: end of its turn.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message.role + '|>' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|end|>' }}{% "
    "endgeneration %}"
    "{% else %}{{ message.content + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def for_chat(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, seed: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Copies of both, ready to be finetuned on conversations: a tokenizer with the template, whose
    texts end with the end of a turn, and a model that can tell the chat tokens apart. Where the
    tokenizer has a template already, it and its end of a turn are kept, and the copies are what was
    given; where it has not even the tokens, they are added.

    No document held them, so pretraining pushed their embeddings to one and the same place. Each is
    drawn anew from a normal distribution with mean and deviation of the other embeddings (Hewitt
    2021, "Initializing new word embeddings").
    """
    model, tokenizer = copy.deepcopy(model), copy.deepcopy(tokenizer)
    if tokenizer.chat_template:
        return model, tokenizer
    tokenizer.add_tokens(
        [token for token in CHAT_TOKENS if token not in tokenizer.get_vocab()], special_tokens=True
    )
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    new = [
        token for token in CHAT_TOKENS if token not in (tokenizer.bos_token, tokenizer.eos_token)
    ]
    tokenizer.chat_template, tokenizer.eos_token = TEMPLATE, END
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    rows, chat = model.get_input_embeddings().weight, tokenizer.convert_tokens_to_ids(new)
    others = rows.detach()[[i for i in range(len(rows)) if i not in chat]]
    dice = torch.randn(len(chat), rows.shape[1], generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        rows[chat] = (others.mean(0) + others.std(0) * dice.to(rows.device)).to(rows.dtype)
    return model, tokenizer


def as_chat(tokenizer: PreTrainedTokenizerFast, text: str) -> str:
    """The text as a user's turn, up to where the assistant's begins, to be looked at. (What the
    tokenizer puts in front of every text by itself is left out.)"""
    return _turn(tokenizer, text).removeprefix(tokenizer.decode(encoding.begin_ids(tokenizer)))


def _turn(tokenizer: PreTrainedTokenizerFast, text: str) -> str:
    turn = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)


def turn_ids(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text as a user's turn, up to where the assistant's begins.

    Only the template writes control tokens: "<|end|>" in a text is seven characters, and ends no
    turn.
    """
    if isinstance(texts, str):
        raise CourseError(f"{texts[:40]!r} is one text; give a list of texts: [text]")
    # Where a text holds control tokens the template is filled with this one, and parted.
    place = "\N{OBJECT REPLACEMENT CHARACTER}"
    before, _, after = _turn(tokenizer, place).partition(place)
    control, options = control_tokens(tokenizer), {"add_special_tokens": False}
    holds_control = [any(token in text for token in control) for text in texts]
    wholes = [
        "" if held else _turn(tokenizer, text)
        for text, held in zip(texts, holds_control, strict=True)
    ]
    rows = tokenizer(wholes, **options)["input_ids"] if wholes else []
    around = [tokenizer(part, **options)["input_ids"] for part in (before, after)]
    for number, held in enumerate(holds_control):
        if held:
            plain = tokenizer(texts[number], split_special_tokens=True, **options)["input_ids"]
            rows[number] = [*around[0], *plain, *around[1]]
    return rows


def exchange_ids(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], replies: Sequence[str]
) -> list[list[int]]:
    """Token ids of each text as a user's turn, with a reply to it as the assistant's, up to the end
    that the template gives it."""
    place, options = "\N{OBJECT REPLACEMENT CHARACTER}", {"add_special_tokens": False}
    exchange = [{"role": "user", "content": place}, {"role": "assistant", "content": place}]
    end = tokenizer.apply_chat_template(exchange, tokenize=False).rpartition(place)[2]
    ids_of_replies = tokenizer(list(replies), split_special_tokens=True, **options)["input_ids"]
    last = tokenizer(end, **options)["input_ids"]
    return [
        [*turn, *reply, *last]
        for turn, reply in zip(turn_ids(tokenizer, texts), ids_of_replies, strict=True)
    ]


def control_tokens(tokenizer: PreTrainedTokenizerFast) -> set[str]:
    """The tokens that are no text: those that begin and end texts and turns, and others that were
    added."""
    return {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}


def check_plain(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], what: str) -> None:
    """Raises CourseError for a text that holds a control token: a trainer of trl would read it as
    one."""
    control = sorted(control_tokens(tokenizer))
    for number, text in enumerate(texts, start=1):
        if found := next((token for token in control if token in text), None):
            raise CourseError(
                f"{what} {number} holds the control token {found!r}, which trl would take for one; "
                "take it out"
            )


def replies(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    *,
    max_new_tokens: int = 32,
    **sampling,
) -> list[Reply]:
    """What the assistant says to each text."""
    turns, end = turn_ids(tokenizer, texts), tokenizer.eos_token
    written = ask.generate(
        model,
        tokenizer,
        turns,
        max_new_tokens=max_new_tokens,
        skip_special_tokens=False,
        **sampling,
    )
    return [Reply(text.removesuffix(end), text.endswith(end)) for text in written]
