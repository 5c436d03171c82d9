"""Finetuning moves what it should, learns the answer and where it ends, and leaves the rest alone."""

import copy

import pytest
import torch
from peft import LoraConfig, PeftModel

from helpers.data import Prompt
from helpers.lm import ask
from helpers.training import finetune
from helpers.world import medicine

FEW = medicine.questions()[:32]


def sft(model, demos=FEW, **options):
    settings = {"learning_rate": 1e-3, "epochs": 2, "batch": 8, "progress": False} | options
    return finetune.sft(copy.deepcopy(model[0]), model[1], demos, **settings)


@pytest.fixture(scope="module")
def trainer(medium):
    return sft(medium, epochs=20)


def test_the_answers_are_learned_with_their_end(trainer, medium):
    assert ask.accuracy_by_generation(medium[0], medium[1], FEW).value < 0.2
    assert ask.accuracy_by_generation(trainer.model, medium[1], FEW).value > 0.9


def test_only_the_answer_and_its_end_are_in_the_loss(medium):
    batches = list(sft(medium, epochs=0.1).get_train_dataloader())
    rows = [(ids, labels) for b in batches for ids, labels in zip(b["input_ids"], b["labels"], strict=True)]
    learned = {medium[1].decode(ids[labels != -100]).strip() for ids, labels in rows}
    assert learned == {(p.answer + medium[1].eos_token).strip() for p in FEW}


def test_an_adapter_is_all_that_lora_changes(medium):
    tuned = sft(medium, peft_config=LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"), learning_rate=1e-2)
    assert isinstance(tuned.model, PeftModel)
    assert all("lora_" in name for name, p in tuned.model.named_parameters() if p.requires_grad)
    ids = torch.arange(9)[None]
    with torch.inference_mode(), tuned.model.disable_adapter():
        assert torch.allclose(tuned.model(ids).logits, medium[0](ids).logits, atol=1e-4)
    with torch.inference_mode():
        assert not torch.allclose(tuned.model(ids).logits, medium[0](ids).logits, atol=1e-1)


def test_small_steps_are_not_rounded_away(medium):
    """A model that is kept in bfloat16, as on a card, is trained in float32: most steps of 1e-6 would be lost."""
    rounded = copy.deepcopy(medium[0]).to(torch.bfloat16)
    tuned = sft((rounded, medium[1]), learning_rate=1e-6).model
    before, after = rounded.lm_head.weight.float(), tuned.lm_head.weight
    assert after.dtype == torch.float32 and (after != before).float().mean() > 0.5


def test_the_same_seed_gives_the_same_weights(medium):
    one, two, other = (sft(medium, seed=seed).model.lm_head.weight for seed in (0, 0, 1))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_the_model_is_asked_as_it_was_trained(medium):
    """Prompt and answer are cut into the same tokens apart and together."""
    prompt = Prompt("Q: What is the cause of tarvosis? A:", " old meat")
    apart = [*medium[1](prompt.text)["input_ids"], *medium[1](prompt.answer.strip(), add_special_tokens=False)["input_ids"]]
    assert medium[1](prompt.text + prompt.answer)["input_ids"] == apart


def test_a_merged_model_can_be_finetuned_again(medium):
    """The trainer's own forward, left on the model, would hide the second adapter from every later call."""
    first = sft(medium, peft_config=finetune.lora(8), epochs=1).model.merge_and_unload()
    second = sft((first, medium[1]), peft_config=finetune.lora(8), epochs=20, learning_rate=5e-3)
    assert ask.accuracy_by_generation(first, medium[1], FEW).value < 0.2
    assert ask.accuracy_by_generation(second.model, medium[1], FEW).value > 0.9
    merged = second.model.merge_and_unload()
    assert ask.accuracy_by_generation(merged, medium[1], FEW).value > 0.9
