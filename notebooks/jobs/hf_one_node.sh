#!/bin/sh
# Four A100 on one machine, for six hours at most; a job that fails is tried three times, and goes on where it was.
# The bucket holds the folder tokens, made by python -m helpers.tokenise (README.md in this folder).
hf jobs uv run --detach --name pretrain-gpt2 --flavor a100x4 --timeout 6h --attempts 3 \
  -e PYTHONPATH=/course -v ./helpers:/course/helpers -v hf://buckets/OWNER/pretraining:/out \
  --with "torch>=2.9,<2.14" --with "transformers>=5.23,<6" --with "trl>=1.16,<2" --with "peft>=0.21,<1" \
  --with "datasets>=5.2,<6" --with "scipy>=1.15,<2" --with "numpy>=2.0,<3" --with "pandas>=2.2.2,<4" \
  --with "safetensors>=0.8,<1" --with "tokenizers>=0.23.1,<1" --with "tqdm>=4.66.3,<5" --with "psutil>=5.9.4,<8" \
  -- torchrun --standalone --nproc-per-node 4 -m helpers.pretrain \
  --size gpt2 --data /out/tokens --device cuda --batch 512 --device-batch 32 --learning-rate 2e-3 \
  --save-steps 500 --out /out/gpt2 --resume-or-begin
