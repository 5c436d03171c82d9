"""What a model is asked: prompts as well as pairs, and the first line of what it writes."""

from helpers import data
from helpers.data import Prompt, Reply
from helpers.lm import ask


def test_prompts_are_scored_as_their_text_and_answer(small):
    prompts = [Prompt("Q: What is the capital of France? A:", " Paris"), Prompt("The opposite of hot is", " cold.")]
    assert ask.score(*small, prompts) == ask.score(*small, [(p.text, p.answer) for p in prompts])


def test_a_first_line_is_the_first_with_text_in_it(small):
    texts = ["What is the capital of France?", "Q: What is the capital of Japan? A:"]
    written = ask.generate(*small, texts, max_new_tokens=16)
    lines = ask.first_lines(*small, texts)
    assert lines == [text.strip().split("\n")[0].strip() for text in written]
    assert all(lines) and not any("\n" in line for line in lines)


def test_texts_are_those_of_prompts_and_of_replies():
    assert data.texts([Prompt("a", "b"), Reply("c")]) == ["a", "c"]
