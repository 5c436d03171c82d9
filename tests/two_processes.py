"""What ``test_processes`` starts by torchrun: the same few steps, whatever the number of processes.

torchrun --standalone --nproc-per-node 2 tests/two_processes.py ddp FILE
torchrun --standalone --nproc-per-node 2 tests/two_processes.py command --sharded --size small
"""

import json
import sys
from itertools import islice
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, DistributedType, PartialState
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from transformers import LlamaForCausalLM

from helpers import pretrain, runtime
from helpers.lm import models
from helpers.training import common, packing, pretraining, processes
from helpers.world import corpus
from helpers.world.tokenizer import world_tokenizer

BATCH, STEPS = 8, 50


def by_trainer(folder: Path, **options) -> dict:
    """The losses that the Trainer logs, and a checksum of the weights in the end."""
    options = {"batch": BATCH, "dtype": torch.float32, "progress": False} | options
    trainer = pretraining.pretrain("small", blocks, tokenizer, folder, **options)
    ended = trainer.model.parameters() if processes.is_first() else ()
    weights = sum(weight.double().abs().sum().item() for weight in ended)
    trained = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    return {"losses": common.losses(trainer), "weights": weights, "held": held_here(trained)}


def held_here(parameters) -> int:
    """How many numbers of them this process keeps."""
    return sum((p.to_local() if isinstance(p, DTensor) else p).numel() for p in parameters)


def shard_on_a_processor() -> None:
    """accelerate 1.15 shards between GPUs only, and elsewhere says nothing. Told so, it does by gloo what it does by
    NCCL."""
    begun = AcceleratorState.__init__

    def begin(self, *args, fsdp_plugin=None, **options):
        begun(self, *args, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin:
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)

    AcceleratorState.__init__ = begin


def by_hand(sharded: bool) -> dict:
    """A bare loop with each process on its share of every batch; with ``sharded`` a process keeps its share of every
    parameter, by FSDP2."""
    torch.manual_seed(0)
    model, share = LlamaForCausalLM(models.config_for("small", tokenizer)), BATCH // processes.count()
    if sharded:
        mesh = init_device_mesh("cpu", (processes.count(),))
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    optimizer, collate, losses = torch.optim.AdamW(model.parameters(), lr=1e-3), packing.Collator(tokenizer), []
    begin = share * (distributed.get_rank() if processes.count() > 1 else 0)
    for step in range(STEPS):
        rows = [blocks[BATCH * step + begin + place] for place in range(share)]
        loss = model(**collate(rows)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        mean = loss.detach()
        if processes.count() > 1:
            distributed.all_reduce(mean)
        losses.append(mean.item() / processes.count())
    return {"losses": losses, "held": held_here(model.parameters())}


def by_command(words: list[str]) -> None:
    """``python -m helpers.pretrain`` where it takes ``--sharded`` without a GPU."""
    shard_on_a_processor()
    pretrain.check_device = lambda options: None
    pretrain.main(words)


if sys.argv[1] == "command":
    by_command(sys.argv[2:])
    sys.exit()
texts = (text for _, text in islice(corpus.documents(5), 5000))
tokenizer = world_tokenizer()
# Of one length, so that the means of shares are the mean of the batch.
blocks = packing.pack(texts, tokenizer, sys.maxsize).filter(
    lambda row: len(row["input_ids"]) == models.BLOCK - 1, keep_in_memory=True
)
blocks = blocks.select(range(BATCH * STEPS))
kind, file = sys.argv[1], Path(sys.argv[2])
with processes.together():
    if kind == "ddp":
        result = by_trainer(file.with_suffix(""))
    elif kind == "sharded":
        shard_on_a_processor()
        result = by_trainer(file.with_suffix(""), sharded=True)
    elif kind == "fast":
        shard_on_a_processor()
        options = {"dtype": torch.bfloat16, "compiled": runtime.no_compiler() is None}
        result = by_trainer(file.with_suffix(""), sharded=True, **options)
    elif kind == "accumulated":
        result = by_trainer(file.with_suffix(""), device_batch=2)
    else:
        result = by_hand(sharded=kind == "fsdp")
    if processes.is_first():
        file.write_text(json.dumps(result), encoding="utf-8")
    if kind in ("fsdp", "sharded", "fast"):
        processes.leave()
