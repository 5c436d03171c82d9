#!/bin/sh
# One T4 for ten minutes. README.md in this folder says how to log in, look, stop, and where the model lies.
hf jobs uv run --detach --name pretrain-smallest --flavor t4-small --timeout 10m \
  -e PYTHONPATH=/course -v ./helpers:/course/helpers -v hf://buckets/OWNER/pretraining:/out \
  --with "torch>=2.9,<2.14" --with "transformers>=5.23,<6" --with "trl>=1.16,<2" --with "peft>=0.21,<1" \
  --with "datasets>=5.2,<6" --with "scipy>=1.15,<2" --with "numpy>=2.0,<3" --with "pandas>=2.2.2,<4" \
  --with "safetensors>=0.8,<1" --with "tokenizers>=0.23.1,<1" --with "tqdm>=4.66.3,<5" --with "psutil>=5.9.4,<8" \
  -- torchrun --standalone --nproc-per-node 1 -m helpers.pretrain \
  --size medium --tokens 4000000 --device cuda --save-steps 100 --out /out/medium --resume-or-begin
