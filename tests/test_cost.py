"""Costs by formula are those that PyTorch counts."""

import copy

import pytest
import torch
from peft import get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaForCausalLM

from helpers.lm import cost, models
from helpers.lm.models import BLOCK
from helpers.training import checkpoints, finetune, muon


@pytest.fixture(params=models.SIZES)
def config(request, tokenizer):
    return models.config_for(request.param, tokenizer)


def test_parameters_are_those_of_the_model(config):
    model, parts = LlamaForCausalLM(config), cost.parameters(config)
    assert sum(parts.values()) == model.num_parameters()
    named = {name: p.numel() for name, p in model.named_parameters()}
    assert parts["embedding"] == sum(n for name, n in named.items() if "embed" in name)
    assert parts["attention"] == sum(n for name, n in named.items() if "self_attn" in name)
    assert parts["feed-forward"] == sum(n for name, n in named.items() if "mlp" in name)
    assert parts["norms"] == sum(n for name, n in named.items() if "norm" in name)


def test_parameters_with_grouped_queries_and_a_head_of_its_own(config):
    config.num_attention_heads, config.num_key_value_heads = 8, 2
    config.head_dim, config.tie_word_embeddings = config.hidden_size // 8, False
    assert sum(cost.parameters(config).values()) == LlamaForCausalLM(config).num_parameters()


def test_flops_are_those_that_torch_counts(config):
    model = LlamaForCausalLM(config)
    model.set_attn_implementation("eager")
    ids = torch.zeros(2, BLOCK, dtype=torch.long)
    with FlopCounterMode(display=False) as forward:
        loss = model(ids, labels=ids).loss
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    tokens = ids.numel()
    assert cost.forward_flops(config, BLOCK) * tokens == pytest.approx(forward.get_total_flops(), rel=0.05)
    whole = forward.get_total_flops() + backward.get_total_flops()
    assert cost.training_flops(config, BLOCK) * tokens == pytest.approx(whole, rel=0.05)


def test_state_is_what_training_keeps(config):
    model = LlamaForCausalLM(config)
    optimizer = muon.MuonAdamW(model, lr=0.01, weight_decay=0.0)
    ids = torch.zeros(1, 4, dtype=torch.long)
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    expected = cost.state_bytes(config)
    assert expected["weights"] == sum(p.nbytes for p in model.parameters())
    assert expected["gradients"] == sum(p.grad.nbytes for p in model.parameters())
    state = checkpoints.state_tensors(optimizer).items()
    assert expected["optimizer"] == sum(tensor.nbytes for name, tensor in state if not name.endswith("step"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_activations_are_what_is_alive_when_the_loss_is_computed(config, dtype):
    model, kept = LlamaForCausalLM(config), {}
    model.set_attn_implementation("eager")
    weights = {parameter.data_ptr() for parameter in model.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    ids = torch.randint(config.vocab_size, (4, BLOCK))
    low = torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), low:
        logits = model(ids, labels=ids).logits
    saved = sum(storage.nbytes() for storage in kept.values())
    alive = saved + logits.nbytes + (logits.float().nbytes if dtype == torch.bfloat16 else 0)
    assert logits.dtype == dtype
    assert cost.activation_bytes(config, *ids.shape, dtype.itemsize) == pytest.approx(alive, rel=0.05)


@pytest.mark.parametrize("r", [1, 8])
def test_the_parameters_of_lora_are_those_that_peft_makes(medium, r):
    adapted = get_peft_model(copy.deepcopy(medium[0]), finetune.lora(r))
    made = sum(p.numel() for name, p in adapted.named_parameters() if "lora_" in name)
    assert cost.lora_parameters(medium[0].config, r) == made


@pytest.mark.parametrize(("name", "billions"), [("1 B", 1.1), ("7 B", 6.74), ("70 B", 68.98)])
def test_well_known_models_have_their_published_size(name, billions):
    assert sum(cost.parameters(cost.KNOWN[name]).values()) / 1e9 == pytest.approx(billions, rel=0.01)


@pytest.mark.parametrize(
    ("name", "share"),
    [("llm.c, GPT-2 124M", 0.627), ("nanoGPT, GPT-2 124M", 0.292), ("nanochat, d24", 0.50), ("TinyLlama 1.1B", 0.56),
     ("Llama 3 8B", 0.188)],
)  # fmt: skip
def test_published_runs_are_counted_as_their_makers_count_them(name, share):
    """Shares: those that the makers state (nanochat's follows from its FLOPs, TinyLlama's is in its README), or that their
    hours imply."""
    run = cost.PUBLISHED[name]
    counted = run.tokens * cost.training_flops(run.config, run.block)
    assert run.share == pytest.approx(share, rel=0.02)
    assert run.flops is None or counted == pytest.approx(run.flops, rel=0.05)
    assert cost.card_hours(counted, run.card, run.share) == pytest.approx(run.hours)


def test_gpt2_has_as_many_parameters_as_it_is_named_by(tokenizer, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "__len__", lambda self: 50_257)
    config = models.config_for("gpt2", tokenizer)
    assert config.vocab_size == 50_304 and config.max_position_embeddings == 1024
    parts = cost.parameters(config)
    assert parts == cost.parameters(cost.GPT2) and parts["embedding"] == 38_633_472
    assert sum(parts.values()) == pytest.approx(124e6, rel=0.01)


def test_a_budget_refuses_what_makes_no_sense(course_error):
    with course_error("unknown card 'B9000'", "A100"):
        cost.card_hours(1e18, "B9000")
    with course_error("share"):
        cost.card_hours(1e18, "A100", 1.5)
