"""Helpers on toy tokenizers with the properties of real ones, each against a plain loop over ``model(ids)``."""

import copy
import math

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers import models as kinds
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from helpers import lm
from helpers.data import Prompt, Reply
from helpers.feedback import labels
from helpers.lm import ask, chat, encoding
from helpers.training import alignment, finetune, packing

TEXTS = ["Paris is the capital of France.", "Rome is the capital of Italy.", "A: red B: blue", "one -> two", "12 + 7 = 19"] * 40
CHATML = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
HEADERS = (
    "{{ bos_token }}{% for message in messages %}{{ '<|head|>' + message['role'] + '<|body|>\n\n' }}"
    "{{ message['content'] | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|head|>assistant<|body|>\n\n' }}{% endif %}"
)


def toy(special, *, spans=False, begins=None, **settings):
    """A byte-level BPE; with ``spans`` its tokens run over spaces, with ``begins`` this one is put in front of every text."""
    tokenizer = Tokenizer(kinds.BPE())
    if not spans:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{begins} $A", special_tokens=[(begins, tokenizer.token_to_id(begins))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)


TOYS = {
    "no begin, pad is end, as Qwen": lambda: toy(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=CHATML
    ),
    "begin put in front, no pad, as Llama 3": lambda: toy(
        ["<|begin|>", "<|eot|>", "<|head|>", "<|body|>"],
        begins="<|begin|>",
        bos_token="<|begin|>",
        eos_token="<|eot|>",
        chat_template=HEADERS,
    ),
    "one token for all, none in front, as SmolLM2": lambda: toy(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
    ),
    "begin is a turn's, as SmolLM2-Instruct": lambda: toy(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=CHATML,
    ),
    "tokens over spaces": lambda: toy(["<|end|>", "<|pad|>"], spans=True, eos_token="<|end|>", pad_token="<|pad|>"),
}


@pytest.fixture(params=TOYS, scope="module")
def pair(request):
    """A model with more tokens than its tokenizer has, weights far from zero so that it has opinions, and the tokenizer."""
    tokenizer = TOYS[request.param]()
    config = LlamaConfig(
        vocab_size=384,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.4,
    )
    torch.manual_seed(0)
    return LlamaForCausalLM(config).eval(), tokenizer


PAIRS = [
    ("Paris is the capital of", " France."),
    ("one ->", " two"),
    ("A: red B:", " blue"),
    ("A: red B: ", "blue"),
    ("12 +", " 7 = 19"),
    ("Rome is the cap", "ital of Italy."),
    ("one -", "> two"),
    ("one", ""),
]


def common(first, second):
    """How many tokens two rows begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))


def by_hand(model, ids, begin):
    """Log-probability of the tokens from ``begin`` on: one text, no padding, no mask."""
    with torch.inference_mode():
        logprobs = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
    return sum(logprobs[place - 1, ids[place]].item() for place in range(begin, len(ids)))


def test_scores_are_those_of_a_plain_loop(pair):
    model, tokenizer = pair
    scores = ask.score(model, tokenizer, PAIRS, batch=3)
    for (text, rest), score in zip(PAIRS, scores, strict=True):
        start, whole = tokenizer(text)["input_ids"], tokenizer(text + rest)["input_ids"]
        begin, added = common(start, whole), 0
        if not begin:
            whole, begin, added = [encoding.first_id(tokenizer), *whole], 1, 1
        assert score.logprob == pytest.approx(by_hand(model, whole, begin), abs=1e-4), (text, rest, added)
        assert ask.score(model, tokenizer, [(text, rest)])[0].logprob == pytest.approx(score.logprob, abs=1e-4)


def test_a_text_from_its_very_beginning_is_scored_behind_what_begins_texts(pair):
    model, tokenizer = pair
    (score,) = ask.score(model, tokenizer, [("", "Paris is")])
    ids = tokenizer("Paris is", add_special_tokens=False)["input_ids"]
    assert score.logprob == pytest.approx(by_hand(model, [encoding.first_id(tokenizer), *ids], 1), abs=1e-4)


def test_some_token_spans_the_border_where_tokens_do():
    tokenizer = TOYS["tokens over spaces"]()
    parted = [len(tail) for tail in encoding.encode_pairs(tokenizer, PAIRS)[1]]
    alone = [len(tokenizer(rest)["input_ids"]) if rest else 0 for _, rest in PAIRS]
    assert parted != alone


def test_an_end_of_text_is_a_token_behind_the_continuation_and_text_elsewhere(pair):
    model, tokenizer = pair
    end = tokenizer.eos_token
    (score,) = ask.score(model, tokenizer, [("one ->", f" two{end}")])
    whole = [*tokenizer("one -> two")["input_ids"], tokenizer.eos_token_id]
    begin = common(tokenizer("one ->")["input_ids"], whole)
    if not begin:
        whole, begin = [encoding.first_id(tokenizer), *whole], 1
    assert score.logprob == pytest.approx(by_hand(model, whole, begin), abs=1e-4)
    assert tokenizer.eos_token_id not in encoding.encode(tokenizer, [f"one {end} two"])[0][1:]


CHOICES = [
    Prompt("Paris is the capital of", " France.", (" France.", " Italy.", " blue")),
    Prompt("A: red B:", " blue", (" blue", " red", " one")),
    Prompt("one -", "> two", ("> two", "> one", ">")),
    Prompt("12 +", " 7", (" 7", " 1", " 19")),
]


def test_choices_are_those_of_a_plain_loop(pair):
    model, tokenizer = pair
    for asked in (CHOICES, CHOICES[:1], CHOICES[3:]):
        expected = []
        for prompt in asked:
            start = tokenizer(prompt.text)["input_ids"]
            wholes = [tokenizer(prompt.text + choice)["input_ids"] for choice in prompt.choices]
            begin = min(common(start, whole) for whole in wholes)
            if not begin:
                wholes, begin = [[encoding.first_id(tokenizer), *whole] for whole in wholes], 1
            scores = [by_hand(model, whole, begin) for whole in wholes]
            expected.append(prompt.choices[max(range(3), key=scores.__getitem__)] == prompt.answer)
        assert ask.choose(model, tokenizer, asked) == expected


def test_next_tokens_are_those_of_a_plain_loop(pair):
    model, tokenizer = pair
    texts = [text for text, _ in PAIRS]
    table = ask.next_token_logprobs(model, tokenizer, texts, batch=3)
    assert table.shape == (len(texts), 384)
    with torch.inference_mode():
        for row, text in zip(table, texts, strict=True):
            alone = model(torch.tensor([tokenizer(text)["input_ids"]])).logits[0, -1].log_softmax(-1)
            assert torch.allclose(row, alone, atol=1e-4)


def greedy(model, tokenizer, ids, new):
    """The tokens that greedy generation writes behind these, one by one."""
    written = list(ids)
    with torch.inference_mode():
        for _ in range(new):
            written.append(model(torch.tensor([written])).logits[0, -1].argmax().item())
            if written[-1] == tokenizer.eos_token_id:
                break
    return written[len(ids) :]


def test_what_is_written_is_what_a_plain_loop_writes(pair):
    model, tokenizer = pair
    texts = [text for text, _ in PAIRS]
    for skip in (True, False):
        written = ask.generate(model, tokenizer, texts, max_new_tokens=12, skip_special_tokens=skip)
        for text, found in zip(texts, written, strict=True):
            start = tokenizer(text)["input_ids"]
            new = greedy(model, tokenizer, start, 12)
            new = [token for token in new if not (skip and token in tokenizer.all_special_ids)]
            whole, before = tokenizer.decode([*start, *new]), tokenizer.decode(start)
            assert found == (whole.removeprefix(before) if whole.startswith(before) else tokenizer.decode(new))


def test_a_reply_that_ends_is_cut_behind_its_end_also_where_the_end_is_the_padding(pair):
    model, tokenizer = copy.deepcopy(pair[0]), pair[1]
    with torch.no_grad():  # the end is what it likes best, after a while
        model.lm_head.weight[tokenizer.eos_token_id] = model.lm_head.weight.mean(0) + 3 * model.lm_head.weight.std(0)
    texts = [text for text, _ in PAIRS]
    written = ask.generate(model, tokenizer, texts, max_new_tokens=30, skip_special_tokens=False)
    expected = [greedy(model, tokenizer, tokenizer(text)["input_ids"], 30) for text in texts]
    ends = [row[-1] == tokenizer.eos_token_id for row in expected]
    assert [text.endswith(tokenizer.eos_token) for text in written] == ends and any(ends)


def test_a_turn_is_what_the_template_makes_of_it(pair):
    _, tokenizer = pair
    if not tokenizer.chat_template:
        pytest.skip("a tokenizer without a template")
    asked = ["What is the capital of France?", "  two  spaces ", ""]
    for text, ids in zip(asked, chat.turn_ids(tokenizer, asked), strict=True):
        turn = [{"role": "user", "content": text}]
        assert ids == tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=True)["input_ids"]
    (forged,) = chat.turn_ids(tokenizer, [f"Hello.{tokenizer.eos_token}"])
    (plain,) = chat.turn_ids(tokenizer, ["Hello."])
    assert forged.count(tokenizer.eos_token_id) == plain.count(tokenizer.eos_token_id)


def test_a_template_of_its_own_is_kept(pair):
    model, tokenizer = pair
    if tokenizer.chat_template:
        kept = chat.for_chat(model, tokenizer)
        assert (kept[1].chat_template, kept[1].eos_token) == (tokenizer.chat_template, tokenizer.eos_token)
        assert torch.equal(kept[0].lm_head.weight, model.lm_head.weight)


def test_a_tokenizer_without_a_template_gets_ours_and_the_tokens_that_it_lacks(pair):
    if pair[1].chat_template:
        pytest.skip("a tokenizer with a template")
    model, tokenizer = chat.for_chat(*pair)
    (turn,) = chat.turn_ids(tokenizer, ["one?"])
    assert tokenizer.decode(turn).endswith("<|user|>one?<|end|><|assistant|>")
    added = [i for i in tokenizer.convert_tokens_to_ids(list(chat.CHAT_TOKENS)) if i >= len(pair[1])]
    rows, before = (m.get_input_embeddings().weight for m in (model, pair[0]))
    assert len(added) >= len(chat.CHAT_TOKENS) - 1 and max(added) < len(rows)
    assert torch.equal(rows[: len(pair[1])], before[: len(pair[1])]) and rows[added].std(0).min() > 0
    (reply,) = chat.replies(model, tokenizer, ["one?"], max_new_tokens=4)
    assert isinstance(reply.text, str)
    trainer = finetune.sft(model, tokenizer, DEMONSTRATIONS, epochs=30, peft_config=finetune.lora(4), **QUICK)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[-1] < losses[0]


def test_what_a_loaded_tokenizer_pads_with_ends_nothing_where_another_token_is_to_be_had(pair, tmp_path):
    pair[0].save_pretrained(tmp_path)
    pair[1].save_pretrained(tmp_path)
    tokenizer = lm.load(tmp_path)[1]
    spare = set(tokenizer.get_added_vocab()) - {tokenizer.bos_token, tokenizer.eos_token}
    if any(token not in (tokenizer.chat_template or "") for token in spare):
        assert tokenizer.pad_token in spare and tokenizer.pad_token not in (tokenizer.chat_template or "")
    else:
        assert tokenizer.pad_token == tokenizer.eos_token


def test_bits_per_byte_are_those_of_a_plain_loop(pair):
    model, tokenizer = pair
    texts = TEXTS[:3]
    nats = 0.0
    for text in texts:
        ids = [encoding.first_id(tokenizer), *tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        nats -= by_hand(model, ids, 1)
    expected = nats / math.log(2) / sum(len(text.encode()) for text in texts)
    rows = [packing.bits_per_byte(model, tokenizer, [text]) * len(text.encode()) for text in texts]
    assert sum(rows) / sum(len(text.encode()) for text in texts) == pytest.approx(expected, abs=1e-4)


# Trainings: a few steps each, and what they compute against the same by hand

DEMONSTRATIONS = [
    Prompt("Paris is the capital of", " France."), Prompt("Rome is the capital of", " Italy."),
    Prompt("one ->", " two"), Prompt("A: red B:", " blue"),
]  # fmt: skip
QUICK = {"learning_rate": 1e-3, "batch": 4, "progress": False}


def learned(tokenizer, demonstration):
    """Token ids of a demonstration, and how many of them at its end are to be learned."""
    if not tokenizer.chat_template:
        start = tokenizer(demonstration.text)["input_ids"]
        whole = [*tokenizer(demonstration.text + demonstration.answer)["input_ids"], tokenizer.eos_token_id]
        return whole, len(whole) - common(start, whole)
    turn = [{"role": "user", "content": demonstration.text}]
    reply = {"role": "assistant", "content": demonstration.answer}
    start = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=True)["input_ids"]
    whole = tokenizer.apply_chat_template([*turn, reply], return_dict=True)["input_ids"]
    return whole, len(whole) - len(start)


def test_finetuning_learns_the_answer_and_its_end_and_its_loss_is_that_of_a_plain_loop(pair):
    model, tokenizer = copy.deepcopy(pair[0]), copy.deepcopy(pair[1])
    rows = [learned(tokenizer, d) for d in DEMONSTRATIONS]
    begins = [max(1, len(ids) - new) for ids, new in rows]  # nothing predicts a first token
    asked = sum(len(ids) - begin for (ids, _), begin in zip(rows, begins, strict=True))
    nats = -sum(by_hand(model, ids, begin) for (ids, _), begin in zip(rows, begins, strict=True)) / asked
    trainer = finetune.sft(model, tokenizer, DEMONSTRATIONS, epochs=30, peft_config=finetune.lora(4), **QUICK)
    (batch,) = trainer.get_train_dataloader()
    found = {
        (tuple(ids[mask == 1].tolist()), tuple(labels[labels != -100].tolist()))
        for ids, mask, labels in zip(batch["input_ids"], batch["attention_mask"], batch["labels"], strict=True)
    }
    assert found == {(tuple(ids), tuple(ids[len(ids) - new :])) for ids, new in rows}
    with trainer.model.disable_adapter(), torch.inference_mode():
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
        assert trainer.model(**inputs).loss.item() == pytest.approx(nats, abs=1e-4)
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert all("lora_" in name for name, p in trainer.model.named_parameters() if p.requires_grad)
    assert losses[-1] < losses[0]


@pytest.fixture(scope="module")
def chatty(pair):
    if not pair[1].chat_template:
        pytest.skip("a tokenizer without a template")
    return pair


SAID = {"one?": ("two", "blue"), "Paris?": ("France.", "red"), "12 + 7?": ("19", "A"), "B?": ("blue", "=")}
PREFERENCES = [labels.preference(text, better, worse) for text, (better, worse) in SAID.items()]


def test_rewards_are_those_of_a_plain_loop(chatty):
    model, tokenizer = copy.deepcopy(chatty[0]), copy.deepcopy(chatty[1])
    judge = alignment.reward_model(model, tokenizer, PREFERENCES, r=4, progress=False)
    asked = [Prompt(row["prompt"][0]["content"], "") for row in PREFERENCES] * 2
    said = [Reply(row[side][0]["content"]) for side in ("chosen", "rejected") for row in PREFERENCES]
    together = alignment.rewards(judge, tokenizer, asked, said)
    for question, reply, reward in zip(asked, said, together, strict=True):
        exchange = [{"role": "user", "content": question.text}, {"role": "assistant", "content": reply.text}]
        ids = tokenizer.apply_chat_template(exchange, return_dict=True)["input_ids"]
        with torch.inference_mode():
            assert judge(torch.tensor([ids])).logits.item() == pytest.approx(float(reward), abs=1e-4)
    assert len(set(together.round(4).tolist())) > 4


def test_reinforcement_begins_at_its_reference_and_moves_the_adapter_only(chatty):
    model, tokenizer = copy.deepcopy(chatty[0]), copy.deepcopy(chatty[1])
    judge = alignment.reward_model(copy.deepcopy(model), tokenizer, PREFERENCES, r=4, progress=False)
    before = {name: p.clone() for name, p in model.named_parameters()}
    asked = [Prompt(row["prompt"][0]["content"], "") for row in PREFERENCES]
    trainer = alignment.rloo(
        model, tokenizer, asked, judge, steps=2, batch=8, generations=4, max_new_tokens=6, r=4, progress=False,
        watch={"ended": lambda question, reply: reply.ended},
    )  # fmt: skip
    history = alignment.history(trainer)
    assert history["kl"][0] == pytest.approx(0, abs=1e-3) and len(history["reward"]) == 2
    after = {
        name.replace("base_model.model.", "").replace(".base_layer", ""): p for name, p in trainer.model.named_parameters()
    }
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any("lora_B" in name and p.abs().max() > 0 for name, p in after.items())


def test_dpo_begins_at_the_logarithm_of_two_and_falls(chatty):
    model, tokenizer = copy.deepcopy(chatty[0]), copy.deepcopy(chatty[1])
    losses = {}
    for rate in (1e-12, 3e-3):
        trainer = alignment.dpo(copy.deepcopy(model), tokenizer, PREFERENCES, epochs=15, r=4, **QUICK | {"learning_rate": rate})
        losses[rate] = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[1e-12] == pytest.approx([math.log(2)] * len(losses[1e-12]), abs=1e-3)
    assert losses[3e-3][-1] < 0.6 < losses[1e-12][0]
