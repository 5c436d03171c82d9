"""Conversations: the chat template, and a tokenizer whose texts end where a turn ends.

A conversation is a list of messages, each with a role and a content, as everywhere in transformers and trl. The template makes
one text of it, with special tokens that no document of the corpus holds.
"""

import copy
from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from helpers import prompts
from helpers.errors import CourseError
from helpers.instructions import Instruction
from helpers.measure import Rate
from helpers.tokenizer import CHAT_TOKENS

END = "<|end|>"

#: Jinja. What stands between generation and endgeneration is the assistant's own: its words and the end of its turn.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message.role + '|>' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|end|>' }}{% endgeneration %}"
    "{% else %}{{ message.content + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def for_chat(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, seed: int = 0
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Copies of both, ready to be finetuned on conversations: a tokenizer with the template, whose texts end with the end of a
    turn, and a model that can tell the chat tokens apart.

    No document held them, so pretraining pushed their embeddings to one and the same place. Each is drawn anew from a normal
    distribution with mean and deviation of the other embeddings (Hewitt 2021, "Initializing new word embeddings").
    """
    model, tokenizer = copy.deepcopy(model), copy.deepcopy(tokenizer)
    tokenizer.chat_template, tokenizer.eos_token = TEMPLATE, END
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    rows, chat = model.get_input_embeddings().weight, tokenizer.convert_tokens_to_ids(list(CHAT_TOKENS))
    others = rows.detach()[[i for i in range(len(rows)) if i not in chat]]
    dice = torch.randn(len(chat), rows.shape[1], generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        rows[chat] = (others.mean(0) + others.std(0) * dice.to(rows.device)).to(rows.dtype)
    return model, tokenizer


def as_chat(tokenizer: PreTrainedTokenizerFast, text: str) -> str:
    """The text as a user's turn, up to where the assistant's begins, to be looked at. (Begin-of-text is left out, as in every
    prompt.)"""
    turn = [{"role": "user", "content": text}]
    return tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True).removeprefix(tokenizer.bos_token)


def turn_ids(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text as a user's turn, begin-of-text in front, up to where the assistant's begins.

    Only the template writes control tokens: "<|end|>" in a text is seven characters, and ends no turn.
    """
    place = "\N{OBJECT REPLACEMENT CHARACTER}"  # the template is filled with it, and parted where it stands
    before, _, after = as_chat(tokenizer, place).partition(place)
    before, after = [tokenizer(part, add_special_tokens=False)["input_ids"] for part in (before, after)]
    begin = prompts.encode(tokenizer, [""])[0]
    return [begin + before + text[len(begin) :] + after for text in prompts.encode(tokenizer, texts)]


def check_plain(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], what: str) -> None:
    """Raises CourseError for a text that holds a control token: a trainer of trl would read it as one."""
    for number, text in enumerate(texts, start=1):
        if found := next((token for token in tokenizer.all_special_tokens if token in text), None):
            raise CourseError(f"{what} {number} holds the control token {found!r}, which trl would take for one; take it out")


def replies(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], *, max_new_tokens: int = 32, **sampling
) -> list[str]:
    """What the assistant says to each text. A reply ends with the end of its turn, ``<|end|>``, unless it was cut off."""
    asked = turn_ids(tokenizer, texts)
    return prompts.generate(model, tokenizer, asked, max_new_tokens=max_new_tokens, skip_special_tokens=False, **sampling)


def followed(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, given: Sequence[Instruction]) -> dict[str, Rate]:
    """How instructions were followed: ``exact``, a right answer in the right form and nothing else; ``form`` and
    ``answer``, each alone; ``ends``, the turn was ended."""
    said = replies(model, tokenizer, [instruction.text for instruction in given])
    pairs = [(instruction, reply.removesuffix(END)) for instruction, reply in zip(given, said, strict=True)]
    return {
        "exact": Rate.of([i.is_right(reply) and END in whole for (i, reply), whole in zip(pairs, said, strict=True)]),
        "form": Rate.of([i.has_form(reply) for i, reply in pairs]),
        "answer": Rate.of([i.has_answer(reply) for i, reply in pairs]),
        "ends": Rate.of([reply.endswith(END) for reply in said]),
    }
