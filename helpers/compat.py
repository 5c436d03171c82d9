"""Every patch of a library: what it changes, why, and since when. None is applied on import, and a
test of each fails when the library no longer needs it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import LogRecord

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel, Trainer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils import logging
from trl.trainer import utils as trl_utils

FLOAT_ATTENTION = "sdpa_in_float32"


def quiet() -> None:
    """transformers 5.24 draws a bar for a file of 7 MB, read before one could see it, warns of a
    name that peft 0.21 still calls it by, and says that torch.compile pays on GPUs, where it pays
    on processors too. For this process all are hushed: for models that come from a network the bars
    are wanted."""
    logging.disable_progress_bar()
    logging.get_logger("transformers.training_args").addFilter(_not_of_dynamo)
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")


def _not_of_dynamo(record: LogRecord) -> bool:
    return "torchdynamo" not in record.getMessage()


@contextmanager
def labels_scored_only() -> Iterator[None]:
    """trl 1.16 scores every token where there is no Triton, those without a label too, and throws
    their scores away. In here it leaves them out, as it does on GPUs: the same loss, and on a
    processor a fifth less time. (Where trl has no such switch any more nothing is changed.)"""
    before = getattr(trl_utils, "_use_triton", None)
    if before:
        trl_utils._use_triton = lambda device: True
    try:
        yield
    finally:
        if before:
            trl_utils._use_triton = before


def float_attention(module, query, key, value, mask, **options):
    """transformers' own attention in float32, also where the rest is in bfloat16."""
    with torch.autocast("cpu", enabled=False):
        mixed, weights = sdpa_attention_forward(
            module, query.float(), key.float(), value.float(), mask, **options
        )
    return mixed.to(query.dtype), weights


@contextmanager
def attention_in_float32(*models: PreTrainedModel) -> Iterator[None]:
    """torch 2.13's fused attention in bfloat16 is slow on a processor. On texts as short as ours
    float32 is two to three times as quick, and takes a fifth off a training step. In here models on
    a processor use it; those on a GPU, and those with another attention, are left alone."""
    AttentionInterface.register(FLOAT_ATTENTION, float_attention)
    AttentionMaskInterface.register(FLOAT_ATTENTION, sdpa_mask)
    slow = [m for m in models if m.device.type == "cpu" and m.config._attn_implementation == "sdpa"]
    for model in slow:
        model.config._attn_implementation = FLOAT_ATTENTION
    try:
        yield
    finally:
        for model in slow:
            model.config._attn_implementation = "sdpa"


def count_no_operations(trainer: Trainer) -> None:
    """transformers 5.24 counts the operations of each step, which takes a twentieth of it, and
    nobody here reads them."""
    trainer.floating_point_ops = lambda inputs: 0


def as_it_was(trainer: Trainer) -> nn.Module:
    """The trained model without what accelerate 1.15 leaves on it: mixed precision, and a forward
    of its own on every module, with which a copy would go on."""
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    for module in model.modules():
        module.__dict__.pop("forward", None)
    return model
