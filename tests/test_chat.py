"""The chat template, the tokens that it needs, and how replies are read."""

import pytest
import torch

from helpers.data import Reply
from helpers.lm import ask, chat
from helpers.lm.chat import CHAT_TOKENS
from helpers.training import finetune
from helpers.world import instructions

TURNS = [{"role": "user", "content": "What is the capital of France?"}, {"role": "assistant", "content": "Paris."}]


@pytest.fixture(scope="module")
def chatty(small):
    return chat.for_chat(*small)


def test_a_conversation_is_written_with_roles_and_ends(chatty):
    text = chatty[1].apply_chat_template([*TURNS, *TURNS], tokenize=False)
    turn = "<|user|>What is the capital of France?<|end|><|assistant|>Paris.<|end|>"
    assert text == f"<|endoftext|>{turn}{turn}"


def test_a_text_is_asked_up_to_where_the_assistant_begins(chatty):
    assert chat.as_chat(chatty[1], "Hello.") == "<|user|>Hello.<|end|><|assistant|>"


def test_the_assistants_words_and_their_end_are_its_own(chatty):
    found = chatty[1].apply_chat_template([*TURNS, *TURNS], return_dict=True, return_assistant_tokens_mask=True)
    own = [token for token, mask in zip(found["input_ids"], found["assistant_masks"], strict=True) if mask]
    assert chatty[1].decode(own) == "Paris.<|end|>Paris.<|end|>"


def test_only_the_embeddings_of_the_chat_tokens_change(small, chatty):
    chosen = small[1].convert_tokens_to_ids(list(CHAT_TOKENS))
    before, after = dict(small[0].named_parameters()), dict(chatty[0].named_parameters())
    for name, old in before.items():
        rows = (old != after[name]).any(-1) if old.dim() > 1 else old != after[name]
        assert rows.nonzero().flatten().tolist() == (chosen if "embed" in name else []), name


def test_the_chat_tokens_can_be_told_apart(small, chatty):
    def largest_cosine(model, tokenizer):
        rows = model.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids(list(CHAT_TOKENS))]
        cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=-1)
        return (cosines - 2 * torch.eye(len(rows))).max().item()

    assert largest_cosine(*small) > 0.99 > 0.95 > largest_cosine(*chatty)


def test_preparing_leaves_the_base_alone_and_is_the_same_each_time(small, chatty):
    assert small[1].chat_template is None and small[1].eos_token == "<|endoftext|>"
    again = chat.for_chat(*small)[0]
    assert torch.equal(again.get_input_embeddings().weight, chatty[0].get_input_embeddings().weight)


def test_a_demonstration_is_learned_as_a_conversation(chatty):
    demonstrations = instructions.demonstrations(8)
    trainer = finetune.sft(*chatty, demonstrations, learning_rate=1e-6, epochs=1, batch=4, progress=False)
    rows = [
        (chatty[1].decode(ids[mask == 1]), chatty[1].decode(labels[labels != -100]))
        for batch in trainer.get_train_dataloader()
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True)
    ]
    bos = chatty[1].bos_token
    assert set(rows) == {
        (f"{bos}{chat.as_chat(chatty[1], d.text)}{d.answer}<|end|>", f"{d.answer}<|end|>") for d in demonstrations
    }


def test_replies_are_judged_exactly(chatty, monkeypatch):
    given = instructions.of_task("capital", 4)
    said = [Reply(given[0].answer), Reply(given[1].answer, False), Reply("Atlantis."), Reply(f"It is {given[3].y} * yes")]
    monkeypatch.setattr(chat, "replies", lambda model, tokenizer, texts: said)
    rates = {name: [round(4 * rate.value), rate.n] for name, rate in instructions.followed(*chatty, given).items()}
    assert rates == {"exact": [1, 4], "form": [3, 4], "answer": [3, 4], "ends": [3, 4]}


def test_a_reply_knows_whether_its_turn_ended_and_holds_nothing_of_the_prompt(chatty, monkeypatch):
    model, tokenizer = chatty
    end, word = tokenizer.convert_tokens_to_ids("<|end|>"), tokenizer("positive")["input_ids"][1]

    def write(input_ids, **options):
        assert options["eos_token_id"] == [end]
        new = torch.tensor([[word, end]] * len(input_ids))
        return torch.cat([input_ids, new], 1)

    monkeypatch.setattr(model, "generate", write)
    assert chat.replies(model, tokenizer, ["Is it?", "Is it really so?"]) == [Reply("positive")] * 2
    asked = [chat.as_chat(tokenizer, "Is it?")]
    assert [text.strip() for text in ask.generate(model, tokenizer, asked)] == ["positive"]
