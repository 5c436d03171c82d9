"""Pretraining: documents to blocks of tokens, blocks to a model, through the transformers Trainer.

python -m helpers.pretrain --size large                     the shipped model of this size, anew
python -m helpers.pretrain --size small --seed 1 --out x    another seed, into x/
python -m helpers.pretrain --size medium --text my.txt      the reader's own text, with a tokenizer of its own
python -m helpers.pretrain --size large --resume            go on where an interrupted run stopped
python -m helpers.pretrain --benchmark                      tokens/s, FLOP/s and memory on this machine
"""

import argparse
import contextlib
import ctypes
import functools
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import psutil
import torch
from datasets import Dataset, disable_progress_bars
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from transformers import (
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from trl import pack_dataset

from helpers import cost, measure, models
from helpers.errors import CourseError
from helpers.muon import MuonAdamW
from helpers.scoreboard import ARTIFACTS
from helpers.tokenizer import VOCAB_SIZE, train_tokenizer
from helpers.world.corpus import documents

disable_progress_bars()  # of packing, which takes a second

#: What the shipped models were trained with, unless the command says otherwise.
RECIPE = {"tokens": 14_000_000, "batch": 16, "learning_rate": 6e-3, "warmup": 0.02, "weight_decay": 0.05}
VALIDATION_SEED = 1_000_003


def pack(texts: Iterable[str], tokenizer: PreTrainedTokenizerFast, tokens: int, block: int = models.BLOCK) -> Dataset:
    """Texts as blocks of token ids, at most ``block`` long, until about ``tokens`` tokens are reached.

    Every block begins with end-of-text, and every text ends with it. Texts stay whole (best fit decreasing, by trl) unless
    they are longer than a block. Column ``input_ids``; rows differ a little in length and are padded in the batch.
    """
    rows, count, texts = [], 0, iter(texts)
    while count < tokens and (batch := list(islice(texts, 1000))):
        for ids in tokenizer(batch, return_attention_mask=False, verbose=False)["input_ids"]:
            rows.append([*ids, tokenizer.eos_token_id])
            count += len(rows[-1])
            if count >= tokens:
                break
    data = Dataset.from_dict({"input_ids": rows})
    return pack_dataset(data, block - 1, "bfd_split").select_columns("input_ids")


class Collator:
    """Blocks to a batch: end-of-text in front, padding behind. ``labels`` are the inputs, -100 where padded."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.bos, self.pad = tokenizer.bos_token_id, tokenizer.pad_token_id

    def __call__(self, rows: Sequence[dict]) -> dict[str, torch.Tensor]:
        ids = [torch.tensor([self.bos, *row["input_ids"]]) for row in rows]
        ids = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=self.pad)
        return {"input_ids": ids, "labels": ids.masked_fill(ids == self.pad, -100)}


class Pretrainer(Trainer):
    """The Trainer, with checkpoints that appear whole or not at all and hold no pickle."""

    def _save_checkpoint(self, model, trial) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        earlier = checkpoints(folder.parent)
        with models.replacing(folder) as beside:
            self.model.save_pretrained(beside)
            save_file(self.optimizer.optimizer.tensors(), beside / "optimizer.safetensors")
            (beside / "scheduler.json").write_text(json.dumps({"last_lr": self.lr_scheduler.get_last_lr()}))
            self.state.save_to_json(str(beside / "trainer_state.json"))
        for old in earlier:
            models.remove(old)

    def _load_optimizer_and_scheduler(self, checkpoint) -> None:
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        self.optimizer.optimizer.load_tensors(load_file(folder / "optimizer.safetensors"))
        self.lr_scheduler.last_epoch = self.lr_scheduler._step_count = self.state.global_step
        for group, rate in zip(
            self.optimizer.param_groups, json.loads((folder / "scheduler.json").read_text())["last_lr"], strict=True
        ):
            group["lr"] = rate

    def _load_rng_state(self, checkpoint) -> None:
        """Nothing to load: the model has no dropout, and the order of the blocks follows from the seed."""


class ProgressBar(ProgressCallback):
    """The Trainer's progress bar with the time that is left; the loss stands in the bar instead of on a line of its own.

    It is text everywhere. A widget would be gone when the notebook is opened again, or read and not run.
    """

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.training_bar, self.current_step = tqdm(total=state.max_steps, dynamic_ncols=True), 0

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if self.training_bar is not None and "loss" in (logs or {}):
            self.training_bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in a folder, the latest last."""
    return sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


def latest_checkpoint(folder: Path) -> Path | None:
    """The latest checkpoint in a folder, None if there is none. Raises CourseError, naming the file, for a damaged one."""
    found = checkpoints(folder)
    for name in ("model.safetensors", "optimizer.safetensors", "scheduler.json", "trainer_state.json") if found else ():
        file = found[-1] / name
        try:
            if file.suffix == ".json":
                json.loads(file.read_text())
            else:
                with safe_open(file, "pt"):  # compares the length of the file with its head
                    pass
        except (OSError, ValueError, SafetensorError) as error:
            raise CourseError(f"{file}: a damaged checkpoint ({error}); run the command without --resume") from None
    return found[-1] if found else None


def keep_memory() -> None:
    """Tells glibc to keep freed memory for the next step instead of handing it to the kernel and asking again.

    Page faults cost a quarter of a training step on a CPU otherwise. Does nothing where the C library is another.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap too
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD in bytes: the heap shrinks only beyond 2 GiB of free space
        mallopt(-2, 2**28)  # M_TOP_PAD in bytes: it grows by 256 MiB at a time


@functools.cache
def fastest_dtype() -> torch.dtype:
    """bfloat16 where this machine multiplies matrices faster in it than in float32, else float32. Measured once."""
    return max((torch.float32, torch.bfloat16), key=lambda dtype: matmul_flops(512, 512, 512, dtype, seconds=0.02))


def matmul_flops(rows: int, inner: int, columns: int, dtype: torch.dtype, seconds: float = 0.2) -> float:
    """FLOP/s of this machine in (rows, inner) @ (inner, columns), measured for about ``seconds``."""
    a, b = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    for _ in range(3):
        a @ b
    start, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        a @ b
        count += 1
    return 2 * rows * inner * columns * count / spent


def pretrain(
    size: str,
    blocks: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    *,
    seed: int = 0,
    batch: int = RECIPE["batch"],
    learning_rate: float = RECIPE["learning_rate"],
    optimizer: str = "muon",
    epochs: float = 1,
    resume: bool = False,
    save_steps: int | None = None,
    dtype: torch.dtype | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    progress: bool = True,
) -> Pretrainer:
    """Trains a model of this size from random weights, ``epochs`` times over ``blocks``, and returns its Trainer.

    ``folder`` takes the checkpoints, one every ``save_steps`` steps (none if None). ``dtype`` is what matrices are
    multiplied in, by default the faster; weights and optimizer stay in float32. The model is ``trainer.model``, the losses
    ``trainer.state.log_history``.
    """
    keep_memory()
    latest = latest_checkpoint(folder) if resume else None
    torch.manual_seed(seed)
    model = LlamaForCausalLM(models.config_for(size, tokenizer))
    if not torch.cuda.is_available():
        model.set_attn_implementation("eager")  # with short blocks on a CPU a third faster than the fused kernel
    dtype = dtype or fastest_dtype()
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=batch,
        learning_rate=learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=RECIPE["warmup"],
        max_grad_norm=1.0,
        seed=seed,
        data_seed=seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=dtype == torch.bfloat16,
        dataloader_pin_memory=False,
        logging_steps=10,
        save_strategy="steps" if save_steps else "no",
        save_steps=save_steps or 0,
        report_to="none",
        disable_tqdm=True,
    )
    optimizers = {
        "muon": lambda: MuonAdamW(model, learning_rate, RECIPE["weight_decay"], dtype),
        "adamw": lambda: torch.optim.AdamW(model.parameters(), learning_rate, betas=(0.9, 0.98), fused=True),
    }
    trainer = Pretrainer(
        model=model,
        args=arguments,
        train_dataset=blocks,
        data_collator=Collator(tokenizer),
        processing_class=tokenizer,
        optimizers=(optimizers[optimizer](), None),
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    if progress:
        trainer.add_callback(ProgressBar)
    trainer.train(resume_from_checkpoint=str(latest) if latest else None)
    trainer.model.eval()
    return trainer


@torch.inference_mode()
def bits_per_byte(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], batch: int = 32) -> float:
    """Cross-entropy of the texts in bits, per byte of UTF-8: comparable between tokenizers."""
    blocks = pack(texts, tokenizer, tokens=sys.maxsize)
    collate, nats = Collator(tokenizer), 0.0
    for start in range(0, len(blocks), batch):
        inputs = collate([blocks[i] for i in range(start, min(start + batch, len(blocks)))])
        inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        tokens = (inputs["labels"][:, 1:] != -100).sum().item()
        nats += model(**inputs).loss.item() * tokens
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def world_texts(seed: int) -> Iterator[str]:
    """Texts of the world's documents, without end."""
    return (document.text for document in documents(seed))


def world_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer that all shipped models share: trained on the first 40,000 documents of seed 0. Takes 3 s."""
    return train_tokenizer(islice(world_texts(0), 40_000))


def validation_texts(how_many: int = 2000) -> list[str]:
    """Documents of the world of a seed that no training run uses."""
    return list(islice(world_texts(VALIDATION_SEED), how_many))


def own_texts(files: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Training and validation texts of the reader's own UTF-8 files: of each file the last tenth is for validation.

    Raises CourseError, naming the file, for one that is missing, empty, binary or not UTF-8, or too short to divide.
    """
    training, validation = [], []
    for path in files:
        try:
            text = Path(path).read_bytes().decode()
        except UnicodeDecodeError:
            raise CourseError(f"{path}: not UTF-8 text; save it as UTF-8, and give no binary files") from None
        except OSError as error:
            raise CourseError(f"{path}: cannot be read ({error.strerror}); check its name") from None
        if "\0" in text:
            raise CourseError(f"{path}: a binary file; give plain text")
        if len(text.strip()) < 1000:
            raise CourseError(f"{path}: {'empty' if not text.strip() else 'too short'}; give at least 1,000 characters")
        cut = len(text) * 9 // 10
        training.append(text[:cut])
        validation.append(text[cut:])
    return training, validation


def results(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> dict[str, str]:
    """The model's results on the measures of the course, for its card."""
    facts, bare = measure.facts(model, tokenizer), measure.bare_questions(model, tokenizer)
    return {
        "grammar, combinations never generated": str(measure.grammar(lambda t: measure.logprobs(model, tokenizer, t))["all"]),
        "capitals that quizzes held": str(facts["quizzes"]),
        "capitals known from prose only": str(facts["prose"]),
        "bare question continued with a question": str(bare["question"]),
        "who has it at the end of a story": str(measure.context(model, tokenizer)),
        **{
            f"{task} under reserved labels, {shots} shots": str(measure.fresh_labels(model, tokenizer, task, shots))
            for task in ("category", "continent", "news")
            for shots in (0, 8, 16)
        },
    }


def card(facts: dict[str, str], rates: dict[str, str]) -> str:
    """A model card in Markdown: how the model was made and what it can do."""
    lines = ["# Model card", "", "Made by this course, from random weights. For teaching only: its world is small.", ""]
    lines += ["| | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in facts.items()), ""]
    if rates:
        lines += ["| measure | rate [95 % interval] |", "| --- | --- |"]
        lines += [f"| {name} | {text} |" for name, text in rates.items()]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """This machine in words: processor, cores, memory, versions."""
    name = platform.processor()
    with contextlib.suppress(OSError):
        cpu = Path("/proc/cpuinfo").read_text()
        name = next(line.split(":")[1].strip() for line in cpu.splitlines() if line.startswith("model name"))
    memory = psutil.virtual_memory().total / 2**30
    return f"{name}, {torch.get_num_threads()} threads, {memory:.0f} GiB, torch {torch.__version__}"


class StepTimes(TrainerCallback):
    """Seconds of each training step, in ``self.seconds``."""

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        self.seconds: list[float] = []

    def on_step_begin(self, args, state, control, **kwargs) -> None:
        self.begun = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.seconds.append(time.perf_counter() - self.begun)


def benchmark(steps: int = 12) -> None:
    """Prints, for every size, tokens/s, FLOP/s with its share of this machine's matmul peak, and peak memory."""
    print(machine())
    peaks = {}
    for dtype in (torch.float32, torch.bfloat16):
        peaks[dtype] = max(matmul_flops(n, n, n, dtype) for n in (256, 512, 1024, 2048))
        print(f"matmul peak, {str(dtype)[6:]:9}{peaks[dtype] / 1e9:6.0f} GFLOP/s")
    tokenizer = world_tokenizer()
    blocks = pack(world_texts(0), tokenizer, steps * RECIPE["batch"] * models.BLOCK)
    for size in models.SIZES:
        config = models.config_for(size, tokenizer)
        for dtype in peaks:
            times = StepTimes()
            with tempfile.TemporaryDirectory() as folder:
                pretrain(size, blocks, tokenizer, Path(folder), dtype=dtype, callbacks=[times], progress=False)
            speed = RECIPE["batch"] * models.BLOCK / statistics.median(times.seconds[2:])
            flops = speed * cost.training_flops(config, models.BLOCK)
            memory = psutil.Process().memory_info()
            peak = getattr(memory, "peak_wset", None) or resource_peak()
            print(
                f"{size:7} {str(dtype)[6:]:9}{speed:7,.0f} tokens/s {flops / 1e9:5.0f} GFLOP/s "
                f"{flops / peaks[dtype]:4.0%} of the peak, memory so far {peak / 2**30:.1f} GiB"
            )


def resource_peak() -> int:
    """Largest resident memory of this process so far, in bytes."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(arguments: Sequence[str] | None = None) -> None:
    """The command ``python -m helpers.pretrain``."""
    parser = argparse.ArgumentParser(prog="python -m helpers.pretrain", description="Pretrains a model of the course.")
    parser.add_argument("--size", default="small", help=f"one of {', '.join(models.SIZES)} (default: small)")
    parser.add_argument("--seed", type=int, default=0, help="of the documents, the weights and their order (default: 0)")
    parser.add_argument("--tokens", type=int, help=f"to train on (default: {RECIPE['tokens']:,}; own text: 20 epochs)")
    parser.add_argument("--text", type=Path, nargs="+", metavar="FILE", help="pretrain on these UTF-8 texts instead")
    parser.add_argument("--vocab-size", type=int, default=VOCAB_SIZE, help="of the tokenizer for --text")
    parser.add_argument("--out", type=Path, help="folder of the model (default: the shipped one; own text: .artifacts/own)")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--batch", type=int, default=RECIPE["batch"], help="blocks in a step")
    parser.add_argument("--learning-rate", type=float, default=RECIPE["learning_rate"])
    parser.add_argument("--save-steps", type=int, default=200, help="steps between two checkpoints")
    parser.add_argument("--threads", type=int, help="processor threads (default: one a core)")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run stopped")
    parser.add_argument("--benchmark", action="store_true", help="measure this machine and stop")
    options = parser.parse_args(arguments)
    options.words = sys.argv[1:] if arguments is None else arguments
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        benchmark() if options.benchmark else run(options)
    except CourseError as error:
        sys.exit(f"error: {error}")


def run(options: argparse.Namespace) -> None:
    """One whole run of the command: data, training with checkpoints, the model with its card."""
    models.size_named(options.size)
    out = options.out or (ARTIFACTS / "own" if options.text else models.PRETRAINED / options.size)
    if options.text:
        training, validation = own_texts(options.text)
        tokenizer = train_tokenizer(training, vocab_size=options.vocab_size)
        blocks = pack(training, tokenizer, sys.maxsize)
        epochs = options.tokens / token_count(blocks) if options.tokens else 20
    else:
        tokenizer, validation, epochs = world_tokenizer(), validation_texts(), 1
        blocks = pack(world_texts(options.seed), tokenizer, options.tokens or RECIPE["tokens"])
    tokens = round(token_count(blocks) * epochs)
    print(f"{tokens:,} tokens; {machine()}")
    folder = run_folder(out, options, tokens)
    dtype = getattr(torch, settings_of(folder)["dtype"])
    start = time.perf_counter()
    trainer = pretrain(
        options.size, blocks, tokenizer, folder, seed=options.seed, batch=options.batch, epochs=epochs,
        learning_rate=options.learning_rate, optimizer=options.optimizer, resume=options.resume,
        save_steps=options.save_steps, dtype=dtype,
    )  # fmt: skip
    minutes = (time.perf_counter() - start) / 60
    model = trainer.model
    facts = {
        "command": f"`python -m helpers.pretrain {' '.join(options.words)}`",
        "seed": str(options.seed),
        "tokens": f"{tokens:,} in {trainer.state.global_step:,} steps",
        "parameters": f"{model.num_parameters():,}, of which embeddings {model.get_input_embeddings().weight.numel():,}",
        "wall time": f"{minutes:.1f} minutes" + (" since it was resumed" if options.resume else ""),
        "machine": machine(),
        "validation": f"{bits_per_byte(model, tokenizer, validation):.4f} bits per byte",
        "licence of the text": "the reader's own text" if options.text else "generated by this course",
    }
    models.save(model, tokenizer, out, card(facts, {} if options.text else results(model, tokenizer)))
    models.remove(folder)
    print(f"{out}: {facts['validation']}, {facts['wall time']}")


def token_count(blocks: Dataset) -> int:
    """Number of tokens in packed blocks."""
    return sum(len(row) for row in blocks["input_ids"])


def run_folder(out: Path, options: argparse.Namespace, tokens: int) -> Path:
    """The folder beside ``out`` for the checkpoints of this run, emptied unless it is resumed.

    Raises CourseError where ``--resume`` finds nothing to go on with, or a run of other settings.
    """
    folder = out.with_name(f".{out.name}.run")
    keys = ("size", "seed", "optimizer", "batch", "learning_rate")
    settings = {key: getattr(options, key) for key in keys} | {"tokens": tokens}
    if options.resume:
        if not checkpoints(folder):
            raise CourseError(f"{folder}: no checkpoint to resume from; run the command without --resume")
        found = settings_of(folder)
        if found | settings != found:
            raise CourseError(f"{folder}: holds a run of other settings; repeat its options, or run without --resume")
        return folder
    models.remove(folder)
    with models.replacing(folder) as beside:
        (beside / "settings.json").write_text(json.dumps(settings | {"dtype": str(fastest_dtype()).removeprefix("torch.")}))
    return folder


def settings_of(folder: Path) -> dict:
    """What the run in this folder was started with. Raises CourseError, naming the file, where it cannot be read."""
    file = folder / "settings.json"
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CourseError(f"{file}: damaged or missing ({error}); run the command without --resume") from None


if __name__ == "__main__":
    main()
