"""How fast this machine trains models of the course: ``python -m helpers.pretrain --benchmark``."""

import statistics
import tempfile
from pathlib import Path

import psutil
import torch

from helpers import runtime
from helpers.lm import cost, models
from helpers.training.common import StepTimes
from helpers.training.packing import pack
from helpers.training.pretraining import RECIPE, pretrain
from helpers.world.corpus import world_texts
from helpers.world.tokenizer import world_tokenizer


def benchmark(device: str = "cpu", compiled: bool = False, steps: int = 12) -> None:
    """Prints, for every size, tokens/s, FLOP/s with its share of this machine's matmul peak, and
    peak memory."""
    print(runtime.machine(), *([torch.cuda.get_device_name()] if device == "cuda" else []))
    peaks = {}
    fast = torch.bfloat16 if device == "cpu" else runtime.fastest_dtype(device)
    for dtype in (torch.float32, fast):
        sides = (256, 512, 1024, 2048) if device == "cpu" else (2048, 4096, 8192)
        peaks[dtype] = max(runtime.matmul_flops(n, n, n, dtype, device=device) for n in sides)
        print(f"matmul peak, {str(dtype)[6:]:9}{peaks[dtype] / 1e9:6.0f} GFLOP/s")
    tokenizer = world_tokenizer()
    blocks = pack(world_texts(0), tokenizer, steps * RECIPE["batch"] * models.BLOCK)
    for size in models.SIZES:
        config = models.config_for(size, tokenizer)
        for dtype in peaks:
            times = StepTimes()
            with tempfile.TemporaryDirectory() as folder:
                pretrain(
                    size,
                    blocks,
                    tokenizer,
                    Path(folder),
                    dtype=dtype,
                    device=device,
                    compiled=compiled,
                    callbacks=[times],
                    progress=False,
                )
            speed = RECIPE["batch"] * models.BLOCK / statistics.median(times.seconds[2:])
            flops = speed * cost.training_flops(config, models.BLOCK)
            memory = psutil.Process().memory_info()
            peak = getattr(memory, "peak_wset", None) or runtime.resource_peak()
            if device == "cuda":
                peak = torch.cuda.max_memory_allocated()
            print(
                f"{size:7} {str(dtype)[6:]:9}{speed:7,.0f} tokens/s {flops / 1e9:5.0f} GFLOP/s "
                f"{flops / peaks[dtype]:4.0%} of the peak, memory so far {peak / 2**30:.1f} GiB"
            )
