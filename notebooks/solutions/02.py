"""Solutions of notebook 02. Try first! Each exercise has a right answer and a plausible wrong one.

The functions run in the notebook's kernel: names such as ``flops`` are the notebook's own.
"""

# ruff: noqa: F821


def solution_1():
    """After ·the, ·that's pieces are ·th and a: that pair occurs three times, once per ·that."""
    return five_merges[4]


def wrong_1():
    """The fourth merge once more."""
    return five_merges[3]


def solution_2():
    """V w + d (4 w² + 6 w² + 2 w) + w with V = 3,840, w = 512 and d = 8."""
    V, w, d = 3840, 512, 8
    return V * w + d * (4 * w**2 + 6 * w**2 + 2 * w) + w


def wrong_2():
    """The table counted twice: with tied embeddings the head adds none."""
    return solution_2() + 3840 * 512


def solution_3():
    """C = 6 N · 20 N = 120 N²."""
    return (flops / 120) ** 0.5


def wrong_3():
    """The tokens, not the parameters."""
    return 20 * solution_3()


def solution_4():
    """One token at a time."""

    def greedy(model, ids, n):
        ids = list(ids)
        for _ in range(n):
            with torch.inference_mode():
                ids.append(model(torch.tensor([ids])).logits[0, -1].argmax().item())
        return ids

    return greedy


def wrong_4():
    """Only the new tokens."""
    return lambda model, ids, n: solution_4()(model, ids, n)[len(ids) :]


def solution_5():
    """The same training without sheets. A tenth of the tokens is enough to see it."""
    del LIVE_MIX["sheet"]
    few = packing.pack(live_texts(SEED), tokenizer, TOKENS // 10)
    LIVE_MIX["sheet"] = 4
    with tempfile.TemporaryDirectory() as folder:
        options = {"seed": SEED, "batch": BATCH, "learning_rate": LEARNING_RATE, "progress": False}
        return pretraining.pretrain("medium", few, tokenizer, Path(folder), **options).model


def wrong_5():
    """The model of the live run: its text held sheets."""
    return live
