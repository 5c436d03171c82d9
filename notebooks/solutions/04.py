"""Solutions of notebook 04. Try first! Each exercise has a right answer and a plausible wrong one.

The functions run in the notebook's kernel: names such as ``finetune_copy`` are the notebook's own.
"""

# ruff: noqa: F821


def solution_1():
    """16 for each of 4,096 rows and each of 11,008 columns."""
    return 16 * (4096 + 11008)


def wrong_1():
    """One of the two matrices forgotten."""
    return 16 * 11008


def solution_2():
    """10 GiB are 10,240 MiB."""
    return 128


def wrong_2():
    """A GiB taken for 1,000 MiB."""
    return 125


def solution_3():
    """Attention only, the recipe otherwise."""
    return finetune_copy(demonstrations, finetune.lora(8, target_modules=ATTENTION)).model


def wrong_3():
    """Small, and not trained for long enough."""
    return finetune_copy(demonstrations[:200], finetune.lora(1), epochs=1).model


def solution_4():
    """A layer in the place of another."""
    model = copy.deepcopy(base)
    for layer in model.model.layers:
        layer.self_attn.q_proj = LoRA(layer.self_attn.q_proj, r=4, alpha=8)
    return model


def wrong_4():
    """The base itself: nothing was put in its place."""
    return copy.deepcopy(base)
