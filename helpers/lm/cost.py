"""What a training run costs, by formula: parameters, FLOPs, memory, time, money."""

from dataclasses import dataclass

from transformers import LlamaConfig

from helpers.errors import CourseError, require_number


def shape(
    width: int, inner: int, layers: int, heads: int, groups: int, vocabulary: int, tied: bool
) -> LlamaConfig:
    """The configuration of a model by its sizes; ``groups`` of key and value heads."""
    return LlamaConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
    )


#: Shapes of well-known models, by their size.
KNOWN = {
    name: shape(*sizes, 32_000, tied=False)
    for name, sizes in {
        "1 B": (2048, 5632, 22, 32, 4),  # TinyLlama
        "7 B": (4096, 11008, 32, 32, 32),  # Llama 2
        "70 B": (8192, 28672, 80, 64, 8),  # Llama 2
    }.items()
}

#: Products of dense matrices in bfloat16 (the T4: float16), FLOP/s, as its maker states them.
PEAKS = {"T4": 65e12, "L4": 121e12, "A100": 312e12, "H100": 989e12}


@dataclass(frozen=True)
class Run:
    """A pretraining that somebody has published: its model, how many tokens back a token looks (the
    mean over the layers), its tokens, and the hours of all its cards together. ``flops`` are those
    that its makers counted, None where they name none."""

    config: LlamaConfig
    block: int
    tokens: float
    card: str
    hours: float
    flops: float | None
    source: str

    @property
    def share(self) -> float:
        """The share of the cards' peak that its hours imply."""
        counted = self.tokens * training_flops(self.config, self.block)
        return counted / (self.hours * 3600 * PEAKS[self.card])


#: GPT-2 has two matrices of 4 x width where SwiGLU has three: as many numbers as 8/3 x width here.
GPT2 = shape(768, 2048, 12, 12, 12, 50_304, tied=True)
PUBLISHED = {
    "llm.c, GPT-2 124M": Run(
        GPT2, 1024, 18_865 * 524_288, "A100", 8 * 1.5, None, "llm.c, discussion 481"
    ),
    "nanoGPT, GPT-2 124M": Run(
        GPT2, 1024, 600_000 * 491_520, "A100", 8 * 96, None, "nanoGPT, README"
    ),
    # Three layers of four look back 1,024 tokens, the fourth 2,048.
    "nanochat, d24": Run(
        shape(1536, 4096, 24, 12, 12, 32_768, tied=False), 1280, 16_704 * 524_288, "H100",
        8 * 3.0415, 4.330784e19, "nanochat, dev/LEADERBOARD.md, run 1",
    ),
    "TinyLlama 1.1B": Run(
        KNOWN["1 B"], 2048, 3e12, "A100", 16 * 24 * 90, None, "TinyLlama, README (56 % of peak)"
    ),
    "Llama 3 8B": Run(
        shape(4096, 14_336, 32, 32, 8, 128_256, tied=False), 8192, 15e12, "H100", 1.3e6, None,
        "Llama 3, model card",
    ),
}  # fmt: skip


def card_hours(flops: float, card: str, share: float = 0.4) -> float:
    """Hours that one card takes for so many FLOPs at this share of its peak; that of several, all
    together. CourseError for an unknown card."""
    if card not in PEAKS:
        raise CourseError(f"unknown card {card!r}; the cards are {', '.join(PEAKS)}")
    require_number("share", share, 1e-6, 1)
    return flops / (share * PEAKS[card]) / 3600


def parameters(config: LlamaConfig) -> dict[str, int]:
    """Number of parameters by part. The output head counts as embedding, unless they are tied and
    it adds none."""
    width, layers = config.hidden_size, config.num_hidden_layers
    # Numbers in all keys of a token.
    grouped = width * config.num_key_value_heads // config.num_attention_heads
    return {
        "embedding": config.vocab_size * width * (1 if config.tie_word_embeddings else 2),
        "attention": layers * 2 * width * (width + grouped),
        "feed-forward": layers * 3 * width * config.intermediate_size,
        "norms": (2 * layers + 1) * width,
    }


def lora_parameters(config: LlamaConfig, r: int) -> int:
    """Parameters of LoRA of rank r on every matrix of the layers: r for each row and column."""
    width, inner = config.hidden_size, config.intermediate_size
    grouped = width * config.num_key_value_heads // config.num_attention_heads
    sides = 2 * (width + width) + 2 * (width + grouped) + 3 * (width + inner)
    return r * config.num_hidden_layers * sides


def forward_flops(config: LlamaConfig, block: int) -> int:
    """FLOPs of one forward pass, per token: 2 per parameter of every matrix, the output head
    included, and 4 x block x width a layer for the attention scores and their sum (Kaplan et al.
    2020, arXiv:2001.08361, section 2.1)."""
    parts = parameters(config)
    matrices = config.vocab_size * config.hidden_size + parts["attention"] + parts["feed-forward"]
    return 2 * matrices + 4 * block * config.hidden_size * config.num_hidden_layers


def training_flops(config: LlamaConfig, block: int) -> int:
    """FLOPs of one training step, per token: the backward pass costs two forward passes."""
    return 3 * forward_flops(config, block)


def state_bytes(config: LlamaConfig) -> dict[str, int]:
    """Bytes that last from step to step, all in float32: Muon keeps one number a parameter, AdamW
    two."""
    parts = parameters(config)
    inside = parts["attention"] + parts["feed-forward"]
    outside = parts["embedding"] + parts["norms"]
    total = 4 * (inside + outside)
    return {"weights": total, "gradients": total, "optimizer": 4 * (inside + 2 * outside)}


def activation_bytes(config: LlamaConfig, batch: int, block: int, element: int = 2) -> int:
    """Bytes alive when the loss has been computed, ``element`` bytes a number in the matrices: 4 in
    float32, 2 in bfloat16.

    After Korthikanti et al. 2022 (arXiv:2205.05198, section 4.1), for this architecture. Per token
    and layer: two norms, each with its input and the normalised one (4 bytes); the inputs of the
    matrices; queries, keys and values; the softmax of every head (4 bytes); what SwiGLU multiplies.
    At the end a norm, the logits, and their log-softmax (4 bytes). Below float32 every matrix keeps
    a copy of its input of its own, and softmax and logits exist in both precisions.
    """
    width, inner, mixed = config.hidden_size, config.intermediate_size, element < 4
    matrices = (6 if mixed else 3) * width + inner
    attention = 3 * element * width + config.num_attention_heads * block * (4 + element * mixed)
    layer = 2 * 8 * width + element * matrices + attention + 3 * element * inner
    head = (8 + element) * width + (element + 4 + 4 * mixed) * config.vocab_size
    return batch * block * (config.num_hidden_layers * layer + head)
