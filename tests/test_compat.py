"""Every patch does what it says, is undone, and is still needed: where a library has changed, one of these tests fails."""

import copy
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from peft import get_peft_model
from transformers import AttentionInterface, Trainer, TrainingArguments
from trl import SFTConfig, SFTTrainer
from trl.trainer import utils as trl_utils

from helpers import compat
from helpers.data import Prompt
from helpers.training import finetune
from helpers.world import medicine

ROOT = Path(__file__).parent.parent
FEW = [Prompt(p.text, p.answer) for p in medicine.questions()[:8]]


@pytest.fixture
def trainer(small, tmp_path):
    """A trainer of trl that nothing has been done to."""
    arguments = SFTConfig(
        tmp_path, use_cpu=True, bf16=True, activation_checkpointing=False, dataloader_pin_memory=False, report_to="none",
        max_steps=2, logging_steps=1, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    rows = [finetune.trl_row(p, small[1]) for p in FEW]
    return SFTTrainer(
        model=copy.deepcopy(small[0]), args=arguments, train_dataset=Dataset.from_list(rows), processing_class=small[1]
    )


def losses(trainer):
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def test_trl_scores_what_has_no_label_and_leaving_it_out_gives_the_same_loss(small, tmp_path, monkeypatch):
    assert not trl_utils._use_triton(torch.device("cpu"))  # still needed
    scored = []
    plain = trl_utils._ChunkedLogProbFunction.apply
    function = type("Counting", (), {"apply": lambda hidden, *rest: (scored.append(len(hidden)), plain(hidden, *rest))[1]})
    monkeypatch.setattr(trl_utils, "_ChunkedLogProbFunction", function)
    options = {"learning_rate": 1e-4, "epochs": 4, "batch": 8, "progress": False}
    with_patch = losses(finetune.sft(copy.deepcopy(small[0]), small[1], FEW, **options))
    few = sum(scored)
    scored.clear()
    monkeypatch.setattr(compat, "labels_scored_only", compat.attention_in_float32)  # which takes no model either
    without = losses(finetune.sft(copy.deepcopy(small[0]), small[1], FEW, **options))
    assert few < sum(scored) / 2 and with_patch == pytest.approx(without, rel=1e-4)


def test_trl_is_as_it_was_afterwards():
    before = trl_utils._use_triton
    with pytest.raises(KeyError), compat.labels_scored_only():
        assert trl_utils._use_triton is not before
        raise KeyError
    assert trl_utils._use_triton is before


def test_a_trl_without_the_switch_goes_its_own_way(monkeypatch):
    monkeypatch.delattr(trl_utils, "_use_triton")
    with compat.labels_scored_only():
        assert not hasattr(trl_utils, "_use_triton")


def test_attention_is_in_float32_where_the_rest_is_in_bfloat16(small):
    torch.manual_seed(0)
    turns = torch.randn(3, 2, 4, 6, 16, dtype=torch.bfloat16)  # queries, keys and values: (batch, heads, tokens, width)
    layer, found = small[0].model.layers[0].self_attn, {}
    query, key, value = turns.float()
    weights = (query @ key.mT / 4).masked_fill(torch.ones(6, 6).triu(1).bool(), -torch.inf).softmax(-1)
    right = (weights @ value).transpose(1, 2).bfloat16()
    with compat.attention_in_float32(), torch.autocast("cpu", dtype=torch.bfloat16):
        for name in ("sdpa", compat.FLOAT_ATTENTION):
            mixed, _ = AttentionInterface()[name](layer, *turns, None, scaling=0.25)
            found[name] = (mixed == right).float().mean()
    assert found[compat.FLOAT_ATTENTION] > 0.99 and found["sdpa"] < 0.95  # the fused kernel's; rounding may differ


def test_only_models_on_a_processor_with_the_usual_attention_take_it_and_only_for_a_while(small):
    usual, eager = copy.deepcopy(small[0]), copy.deepcopy(small[0])
    eager.set_attn_implementation("eager")
    with pytest.raises(KeyError), compat.attention_in_float32(usual, eager):
        kinds = [model.config._attn_implementation for model in (usual, eager)]
        raise KeyError
    assert kinds == [compat.FLOAT_ATTENTION, "eager"]
    assert [model.config._attn_implementation for model in (usual, eager)] == ["sdpa", "eager"]


def test_masks_are_the_same_under_both_kinds_of_attention(small):
    ids, mask = torch.arange(20, 44).reshape(2, 12), torch.ones(2, 12, dtype=torch.long)
    mask[0, :5] = 0
    model, logits = copy.deepcopy(small[0]), []
    with torch.inference_mode():
        logits.append(model(input_ids=ids, attention_mask=mask).logits)
        with compat.attention_in_float32(model):
            logits.append(model(input_ids=ids, attention_mask=mask).logits)
    assert torch.equal(logits[0][mask == 1], logits[1][mask == 1])


@pytest.mark.parametrize("patched", [True, False])
def test_operations_are_counted_unless_that_is_switched_off(trainer, monkeypatch, patched):
    if patched:
        compat.count_no_operations(trainer)
    trainer.train()
    assert (trainer.state.total_flos == 0) == patched


def test_accelerate_leaves_a_forward_on_the_model_and_it_is_taken_away(trainer):
    trainer.train()
    assert any("forward" in module.__dict__ for module in trainer.model.modules())  # still needed
    model = compat.as_it_was(trainer)
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert model(torch.arange(5)[None]).logits.dtype == torch.float32


def test_the_usual_trainer_saves_pickles(small, tmp_path):
    """SafeTrainer is still needed; what it saves and loads is tested with pretraining."""
    arguments = TrainingArguments(
        tmp_path, use_cpu=True, max_steps=1, save_steps=1, report_to="none", disable_tqdm=True, dataloader_pin_memory=False
    )
    rows = Dataset.from_dict({"input_ids": [[5, 6, 7]] * 8, "labels": [[5, 6, 7]] * 8})
    Trainer(copy.deepcopy(small[0]), arguments, train_dataset=rows).train()
    assert list(tmp_path.glob("checkpoint-1/optimizer.pt")) and list(tmp_path.glob("checkpoint-1/rng_state*.pth"))


def test_peft_calls_transformers_by_a_name_that_warns_and_the_profile_hushes_it(small):
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        get_peft_model(copy.deepcopy(small[0]), finetune.lora(2))
    assert any("is_gradient_checkpointing" in str(warning.message) for warning in heard)  # still needed
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        compat.quiet()
        get_peft_model(copy.deepcopy(small[0]), finetune.lora(2))
    assert not [warning for warning in heard if "is_gradient_checkpointing" in str(warning.message)]


def test_transformers_says_that_compiling_is_for_gpus_and_the_profile_hushes_it(tmp_path, caplog, monkeypatch):
    logger = logging.getLogger("transformers.training_args")
    monkeypatch.setattr(logger, "filters", [])
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    for quiet in (False, True):
        if quiet:
            compat.quiet()
        caplog.clear()
        TrainingArguments(tmp_path, use_cpu=True, torch_compile=True, report_to="none")
        assert ("torchdynamo" in caplog.text) != quiet  # still needed


def test_nothing_is_changed_by_an_import():
    script = (
        "import torch; threads = torch.get_num_threads()\n"
        "from helpers import stages, show, pretrain, profiles\n"
        "from transformers.utils import logging\n"
        "print(logging.is_progress_bar_enabled(), torch.get_num_threads() == threads)\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.split() == ["True", "True"], found.stdout
