"""What the course makes works in other people's hands: with transformers, peft and trl alone, no helper imported."""

import copy
import json
import subprocess
import sys

import pytest
from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

from helpers import stages
from helpers.lm import ask, chat, models
from helpers.training import finetune
from helpers.world import instructions, medicine, news, skills
from helpers.world.relations import RELATIONS

#: Runs by itself, in a folder without the course, on what it reads from standard input.
ALONE = """
import json, sys
import torch, transformers
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline
transformers.logging.set_verbosity_error()
given = json.load(sys.stdin)
base = given["base"]
writer = pipeline("text-generation", model=base)
greedy = {"do_sample": False, "max_new_tokens": given["new"]}

def lines(model, tokenizer, texts):
    ids = [tokenizer(text, return_tensors="pt") for text in texts]
    return [tokenizer.decode(model.generate(**i, **greedy)[0]) for i in ids]

stage_tokenizer = AutoTokenizer.from_pretrained(given["adapter"])
tuned = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), given["adapter"])

def reply(text):
    turn = [{"role": "user", "content": text}]
    ids = stage_tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=True, return_tensors="pt")
    whole = tuned.generate(**ids, **greedy, eos_token_id=stage_tokenizer.eos_token_id)[0]
    return stage_tokenizer.decode(whole[ids["input_ids"].shape[1]:], skip_special_tokens=True)

tokenizer, stage = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(given["stage"])
found = {
    "pipeline": [writer(text, **greedy)[0]["generated_text"] for text in given["bare"]],
    "generate": lines(AutoModelForCausalLM.from_pretrained(base), tokenizer, given["quiz"]),
    "stage": lines(stage, AutoTokenizer.from_pretrained(given["stage"]), given["news"]),
    "chat": [reply(text) for text in given["chat"]],
    "helpers": [name for name in sys.modules if name.startswith("helpers")],
}
print(json.dumps(found))
"""
BARE = [RELATIONS["capital"].fill(RELATIONS["capital"].questions[0], *pair) for pair in RELATIONS["capital"].pairs[:20]]


@pytest.fixture(scope="module")
def made(large, tmp_path_factory):
    """A stage of all weights and one with an adapter for chat, each trained for a moment and saved: models and folders."""
    folder = tmp_path_factory.mktemp("stages")
    headlines = news.sentiment(320)
    quick = {"learning_rate": 5e-4, "epochs": 1, "batch": 16, "progress": False}
    full = finetune.sft(copy.deepcopy(large[0]), large[1], headlines, **quick).model
    stages.save(full, large[1], folder / "full", {})
    base, tokenizer = chat.for_chat(*large)
    shown = instructions.demonstrations(320)
    tuned = finetune.sft(base, tokenizer, shown, **quick | {"learning_rate": 3e-3}, peft_config=finetune.lora(16)).model
    stages.save(tuned, tokenizer, folder / "adapter", {})
    return {"full": (full, large[1]), "adapter": (tuned, tokenizer), "folder": folder}


def test_transformers_and_peft_alone_see_what_the_notebooks_see(made, large, tmp_path):
    quiz = [prompt.text for prompt in skills.quiz_prompts("capital", prose_only=True)[:10]]
    headlines = [prompt.text for prompt in news.sentiment(10, part="test")]
    asked = [i.text for i in instructions.held_out_facts(prose_only=False)[:10]]
    places = {"base": models.PRETRAINED / "large"} | {
        name: made["folder"] / folder / "model" for name, folder in (("stage", "full"), ("adapter", "adapter"))
    }
    texts = {"bare": BARE, "quiz": quiz, "news": headlines, "chat": asked, "new": 12}
    given = {name: str(place) for name, place in places.items()} | texts
    done = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=tmp_path, input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["helpers"] == []
    written = [whole.removeprefix(text) for whole, text in zip(found["pipeline"], BARE, strict=True)]
    assert written == ask.generate(*large, BARE, max_new_tokens=12)
    assert [text.strip().split("\n")[0] for text in written if not text.strip().split("\n")[0].endswith("?")] == []  # 20 of 20
    bos, eos = large[1].bos_token, large[1].eos_token
    for name, texts, model in (("generate", quiz, large), ("stage", headlines, made["full"])):
        ours = ask.generate(*model, texts, max_new_tokens=12)
        assert [whole.removeprefix(bos).removesuffix(eos) for whole in found[name]] == [
            text + more for text, more in zip(texts, ours, strict=True)
        ]
    ours = chat.replies(*made["adapter"], asked, max_new_tokens=12)
    assert found["chat"] == [reply.text for reply in ours]
    assert sum(reply.ended for reply in ours) >= 8


def test_a_saved_adapter_is_loaded_by_the_course_as_it_was(made, large):
    base, tokenizer = chat.for_chat(*large)
    loaded = stages.load(made["folder"] / "adapter", base, {})
    asked = [i.text for i in instructions.held_out_facts(prose_only=False)[:10]]
    assert chat.replies(loaded, tokenizer, asked) == chat.replies(*made["adapter"], asked)


def test_trl_alone_trains_on_what_the_notebooks_train_on(small, tmp_path):
    few = medicine.questions()[:8]
    rows = [{"prompt": p.text, "completion": p.answer} for p in few]
    arguments = SFTConfig(
        tmp_path, use_cpu=True, bf16=False, activation_checkpointing=False, dataloader_pin_memory=False, report_to="none"
    )
    alone = SFTTrainer(
        model=copy.deepcopy(small[0]), args=arguments, train_dataset=Dataset.from_list(rows), processing_class=small[1]
    )
    ours = finetune.sft(copy.deepcopy(small[0]), small[1], few, learning_rate=1e-6, epochs=0.1, progress=False)

    def batches(trainer):
        return {
            (tuple(ids[mask == 1].tolist()), tuple(labels[mask == 1].tolist()))
            for batch in trainer.get_train_dataloader()
            for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True)
        }

    assert batches(alone) == batches(ours)
    bos = small[1].bos_token_id
    assert all(ids[0] == bos and ids[1] != bos for ids, _ in batches(ours))


def test_a_tokenizer_of_the_course_is_read_without_a_token_type(tokenizer):
    assert set(AutoTokenizer.from_pretrained(models.PRETRAINED / "large")("Paris")) == {"input_ids", "attention_mask"}
