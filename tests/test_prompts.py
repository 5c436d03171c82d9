"""Prompts are what a person would have written, and scores what a single forward pass says."""

import re
from random import Random

import pytest
import torch

from helpers.data import Format, LabelTask, Prompt
from helpers.lm import ask
from helpers.world import prompts
from helpers.world.held_out import RESERVED_LABELS
from helpers.world.lists import label_tasks
from helpers.world.relations import RELATIONS

SHOTS = [("France", "Paris"), ("Peru", "Lima")]


@pytest.mark.parametrize(
    ("form", "text", "rest"),
    [
        (Format(), "France -> Paris\nPeru -> Lima\nJapan ->", " Tokyo"),
        (Format("{x}: {y}", "; "), "France: Paris; Peru: Lima; Japan:", " Tokyo"),
        (Format("Q: {x} A: {y}", "\n\n"), "Q: France A: Paris\n\nQ: Peru A: Lima\n\nQ: Japan A:", " Tokyo"),
        (Format("{x}\n{y}"), "France\nParis\nPeru\nLima\nJapan\n", "Tokyo"),
        (Format("Text: {x}\nLabel: {y}"), "Text: France\nLabel: Paris\nText: Peru\nLabel: Lima\nText: Japan\nLabel:", " Tokyo"),
    ],
)
def test_a_few_shot_prompt_is_as_written_by_hand(form, text, rest):
    assert form.few_shot(SHOTS, "Japan") == text
    assert form.continuation("Tokyo") == rest
    assert text + rest == form.joint.join(form.line(*pair) for pair in [*SHOTS, ("Japan", "Tokyo")])


def test_without_examples_a_prompt_is_the_opening_alone():
    assert Format().few_shot([], "Japan") == "Japan ->"


def test_a_relation_prompt_asks_for_what_its_examples_do_not_say():
    relation = RELATIONS["capital"]
    for seed in range(50):
        prompt = prompts.relation_prompt(relation, "France", "Paris", 8, Random(seed))
        *examples, last = [line.split(" -> ") for line in (prompt.text + prompt.answer).splitlines()]
        assert last == ["France", "Paris"] and prompt.answer == " Paris\n"
        assert len(examples) == 8 and all(tuple(example) in relation.listed for example in examples)
    listed = relation.listed[0]
    for seed in range(200):
        prompt = prompts.relation_prompt(relation, *listed, 8, Random(seed), closed=False)
        assert prompt.text.count(listed[0]) == 1 and prompt.answer == f" {listed[1]}"


def label_prompt(name, shots, seed, **options):
    (prompt,) = prompts.label_prompts(label_tasks()[name], shots, Random(seed), **options)
    return prompt


@pytest.mark.parametrize("name", ["news", "category", "tense"])
@pytest.mark.parametrize("shots", [0, 2, 4, 9])
def test_a_label_prompt_is_fair(name, shots):
    classes, answers = min(3, len(label_tasks()[name].classes)), []
    for seed in range(60):
        prompt = label_prompt(name, shots, seed, classes=classes)
        assert prompt.answer in prompt.choices and len(set(prompt.choices)) == classes
        assert all(choice.removeprefix(" ") in RESERVED_LABELS for choice in prompt.choices)
        *examples, query = prompt.text.split("\n")
        texts, labels = zip(*(line.split(" -> ") for line in examples), strict=True) if examples else ((), ())
        assert len(examples) == shots and query.endswith(" ->")
        assert query.removesuffix(" ->") not in texts
        assert {f" {label}" for label in labels} <= set(prompt.choices)
        assert len(set(labels)) == classes or shots < classes
        answers.append(prompt.choices.index(prompt.answer))
    assert all(60 / classes * 0.4 < answers.count(place) < 60 / classes * 1.7 for place in range(classes))


def test_a_label_prompt_labels_every_example_by_its_class():
    category = dict(RELATIONS["category"].pairs)
    for seed in range(60):
        prompt = label_prompt("category", 8, seed)
        pairs = [line.split(" -> ") for line in (prompt.text + prompt.answer).split("\n")]
        labels = {}
        for text, label in pairs:
            assert labels.setdefault(category[text], label) == label
        assert len(set(labels.values())) == len(labels) == 3


def test_the_queries_of_one_draw_share_its_examples():
    drawn = prompts.label_prompts(label_tasks()["category"], 6, Random(0), queries=20)
    assert len({prompt.text.rpartition("\n")[0] for prompt in drawn}) == 1
    assert len({prompt.text for prompt in drawn}) > 10 and len({prompt.answer for prompt in drawn}) == 3


def test_too_many_shots_for_a_class_are_an_error(course_error):
    two = LabelTask("two", ("a", "b"), lambda rng, group: f"the {group}")
    with course_error("two", "fewer shots"):
        prompts.label_prompts(two, 4, Random(0), classes=2)


def test_prompts_are_the_same_for_the_same_seed_only():
    first, again, other = (label_prompt("news", 6, seed) for seed in (1, 1, 2))
    assert first == again != other


def by_hand(model, tokenizer, text, rest):
    """Log-probability and greediness of a continuation, from one unbatched pass."""
    start, ids = tokenizer(text)["input_ids"], tokenizer(text + rest)["input_ids"]  # begin-of-text in front
    with torch.no_grad():
        table = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    begin = next((i for i, (a, b) in enumerate(zip(start, ids, strict=False)) if a != b), len(start))  # " " is part of " Now"
    places = range(begin, len(ids))
    return sum(table[i - 1, ids[i]].item() for i in places), all(table[i - 1].argmax() == ids[i] for i in places)


def test_a_score_is_what_a_single_forward_pass_says(large):
    pairs = [
        ("", "The capital of France is Paris."),
        ("The capital of France is", " Paris"),
        ("Spain -> Madrid\nFrance ->", " Paris\n"),
        ("Q: What is the capital of New Zealand? A:", " Wellington\n"),
        ("garden\n", "house"),
        ("A long beginning. " * 12, "Now Anna has the book."),
    ]
    for batch in (1, 4, 32):
        scores = ask.score(*large, pairs, batch)
        for score, pair in zip(scores, pairs, strict=True):
            logprob, greedy = by_hand(*large, *pair)
            assert score.logprob == pytest.approx(logprob, abs=1e-3)
            assert score.greedy == greedy


def test_exact_agrees_with_generation(large):
    rng, asked = Random(0), []
    for name in ("plural", "capital", "colour", "sum"):
        relation = RELATIONS[name]
        asked += [prompts.relation_prompt(relation, x, y, 5, rng) for x, y in rng.sample(relation.listed, 12)]
    written = ask.generate(*large, [prompt.text for prompt in asked], max_new_tokens=10)
    exact = ask.exact(*large, asked)
    assert exact == [text.startswith(prompt.answer) for text, prompt in zip(written, asked, strict=True)]
    assert sum(exact) > 0


def test_generation_continues_each_text_as_it_does_alone(large):
    texts = ["The capital of France", "Q: What is 3 + 4? A:", "Anna had a", "hot -> cold\nbig ->"]
    together = ask.generate(*large, texts, max_new_tokens=8)
    assert together == [ask.generate(*large, [text], max_new_tokens=8)[0] for text in texts]
    ids = large[1](texts[0], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        for _ in range(8):
            ids = torch.cat([ids, large[0](ids).logits[:, -1:].argmax(-1)], dim=1)
    whole = large[1].decode(ids[0], skip_special_tokens=True)
    assert whole == texts[0] + together[0]


@pytest.mark.parametrize("choices", [(" garden", " cup", " map"), (" Paris", " the capital", " seven", " xyz")])
def test_choose_takes_the_most_probable_choice(large, choices):
    texts = ["The capital of France is", "dog -> garden\ncat -> garden\nhorse ->", "x -> cup\ny -> map\nz ->"]
    best = []
    for text in texts:
        logprobs = [score.logprob for score in ask.score(*large, [(text, choice) for choice in choices])]
        best.append(choices[logprobs.index(max(logprobs))])
    asked = [Prompt(text, choice, choices) for text in texts for choice in choices]
    assert ask.choose(*large, asked) == [choice == top for top in best for choice in choices]


def test_log_probabilities_of_the_next_token_are_those_of_a_single_pass(large):
    model, tokenizer = large
    texts = ["The capital of France is", "Anna", "hot -> cold\nbig -> small\nnew ->"]
    table = ask.next_token_logprobs(model, tokenizer, texts)
    for row, text in zip(table, texts, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            alone = model(ids).logits[0, -1].log_softmax(-1)
        assert torch.allclose(row, alone, atol=1e-3)


def test_labels_of_a_prompt_do_not_stand_in_its_texts():
    for seed in range(100):
        prompt = label_prompt("news", 8, seed)
        labels = {choice.strip() for choice in prompt.choices}
        texts = " ".join(line.partition(" ->")[0] for line in prompt.text.splitlines())
        assert not labels & set(re.findall(r"\w+", texts))
