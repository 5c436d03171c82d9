"""Solutions of notebook 05. Try first! Each exercise has a right answer and a plausible wrong one.

The functions run in the notebook's kernel: names such as ``finetune_copy`` are the notebook's own.
"""

# ruff: noqa: F821
from random import Random


def solution_1():
    """The tokens of the answer, and the end of the turn."""
    return counted


def wrong_1():
    """The end forgotten."""
    return counted - 1


def solution_2():
    """A question that was never shown, with an order that was."""
    return "Tell me the capital of France. Answer in a full sentence."


def wrong_2():
    """No form is asked for, so the reply is one word."""
    return "What is the capital of France?"


def solution_3():
    """Four messages."""
    second = [{"role": "user", "content": "And of Japan?"}, {"role": "assistant", "content": "Tokyo."}]
    return planted_tokenizer.apply_chat_template(messages + second, tokenize=False)


def wrong_3():
    """One turn only."""
    return planted_tokenizer.apply_chat_template(messages, tokenize=False)


def solution_4():
    """256 sentences about other nouns, on top of what the assistant has learned."""
    task, rng = instructions.tasks()["sentence in the plural"], Random(0)
    tested = {instruction.word for instruction in TESTS[plural_task]}
    items = [item for item in task.items if item.word not in tested and not item.prose_only]
    shown = [instructions.instruction(task, "plain", rng.choice(items), rng) for _ in range(256)]
    start = copy.deepcopy(tuned).merge_and_unload()
    return finetune_copy(shown, start, epochs=4)


def wrong_4():
    """The assistant as it is: it was never told to do this."""
    return tuned
