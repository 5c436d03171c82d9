"""What a training run costs, by formula: parameters, FLOPs, memory, time, money."""

from transformers import LlamaConfig


def parameters(config: LlamaConfig) -> dict[str, int]:
    """Number of parameters by part; with tied embeddings the output head adds none."""
    width, layers = config.hidden_size, config.num_hidden_layers
    return {
        "embedding": config.vocab_size * width,
        "attention": layers * 4 * width * width,
        "feed-forward": layers * 3 * width * config.intermediate_size,
        "norms": (2 * layers + 1) * width,
    }


def forward_flops(config: LlamaConfig, block: int) -> int:
    """FLOPs of one forward pass, per token: 2 per parameter of every matrix, the output head included, and
    4 x block x width a layer for the attention scores and their sum (Kaplan et al. 2020, arXiv:2001.08361, section 2.1)."""
    parts = parameters(config)
    matrices = parts["embedding"] + parts["attention"] + parts["feed-forward"]
    return 2 * matrices + 4 * block * config.hidden_size * config.num_hidden_layers


def training_flops(config: LlamaConfig, block: int) -> int:
    """FLOPs of one training step, per token: the backward pass costs two forward passes."""
    return 3 * forward_flops(config, block)


def state_bytes(config: LlamaConfig) -> dict[str, int]:
    """Bytes that last from step to step, all in float32: Muon keeps one number a parameter, AdamW two."""
    parts = parameters(config)
    inside = parts["attention"] + parts["feed-forward"]
    outside = parts["embedding"] + parts["norms"]
    total = 4 * (inside + outside)
    return {"weights": total, "gradients": total, "optimizer": 4 * (inside + 2 * outside)}


def activation_bytes(config: LlamaConfig, batch: int, block: int, element: int = 2) -> int:
    """Bytes alive when the loss has been computed, ``element`` bytes a number in the matrices (2 for bfloat16).

    After Korthikanti et al. 2022 (arXiv:2205.05198, section 4.1), for this architecture: per token and layer the inputs of
    all seven matrices and of the norms, the attention scores of every head before and after the softmax (4 bytes, then
    ``element``), and at the end the logits (``element`` bytes, and 4 each for their float32 copy and log-softmax).
    """
    width, inner = config.hidden_size, config.intermediate_size
    norms = 2 * (4 + 4 + element) * width
    attention = (4 * element + 2 * 4) * width + config.num_attention_heads * block * (4 + 2 * element)
    feed_forward = 4 * element * inner
    layers = config.num_hidden_layers * (norms + attention + feed_forward)
    return batch * block * (layers + (element + 8) * config.vocab_size)
