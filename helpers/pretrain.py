"""Pretraining: documents to blocks of tokens, blocks to a model, through the transformers Trainer.

python -m helpers.pretrain --size large                     the shipped model of this size, anew, into .artifacts/large
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
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
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

from helpers import cost, files, measure, models, profiles, prompts
from helpers.errors import CourseError, require_number, require_some
from helpers.muon import MuonAdamW
from helpers.tokenizer import SMALLEST_VOCABULARY, VOCAB_SIZE, train_tokenizer
from helpers.world import facts
from helpers.world.corpus import documents

disable_progress_bars()  # of packing, which takes a second

#: What the shipped models were trained with, unless the command says otherwise.
RECIPE = {"tokens": 14_000_000, "batch": 16, "learning_rate": 6e-3, "warmup": 0.02, "weight_decay": 0.05}
#: Of the documents that no training run may use.
VALIDATION_SEED = 1_000_003
#: How often a run goes through the reader's own text, unless the command says otherwise.
PASSES = 20
#: In tokens: what the reader's own text has to hold.
FEWEST_TOKENS = 64
#: Memory that a token of the world takes while it is packed.
BYTES_PER_TOKEN = 70
BUSY = "another process is training into this folder; wait for it, or give another --out"


def pack(texts: Iterable[str], tokenizer: PreTrainedTokenizerFast, tokens: int, block: int = models.BLOCK) -> Dataset:
    """Texts as blocks of token ids, at most ``block`` long, until about ``tokens`` tokens are reached.

    Every block begins with end-of-text, and every text ends with it. Texts stay whole (best fit decreasing, by trl) unless
    they are longer than a block. Column ``input_ids``; rows differ a little in length and are padded in the batch.
    """
    rows, row, count, pieces = [], [], 0, (piece for text in texts for piece in pieces_of(text))
    options = {"add_special_tokens": False, "split_special_tokens": True, "return_attention_mask": False, "verbose": False}
    while count < tokens and (batch := some_of(pieces)):
        for ids, (_, is_last) in zip(tokenizer([piece for piece, _ in batch], **options)["input_ids"], batch, strict=True):
            row += [*ids, tokenizer.eos_token_id] if is_last else ids
            count += len(ids) + is_last
            if is_last or count >= tokens:
                rows.append(row)
                row = []
            if count >= tokens:
                break
    require_some(rows, "texts to pretrain on")
    data = Dataset.from_dict({"input_ids": rows})
    return pack_dataset(data, block - 1, "bfd_split").select_columns("input_ids")


def some_of(pieces: Iterator[tuple[str, bool]], characters: int = 500_000) -> list[tuple[str, bool]]:
    """The next thousand pieces, or fewer if they are long."""
    batch = []
    for piece in islice(pieces, 1000):
        batch.append(piece)
        characters -= len(piece[0])
        if characters < 0:
            break
    return batch


def pieces_of(text: str, longest: int = 20_000) -> Iterator[tuple[str, bool]]:
    """A text in pieces that are tokenised one by one as they would be together, and whether it is the last one: so that of a
    long text no more is tokenised than is needed. (A line that is longer than a piece is parted anywhere.)"""
    begin = 0
    while len(text) - begin > longest:
        end = begin + longest
        line = text.rfind("\n", begin, end - 1) + 1
        while line > begin and text[line] == "\n":  # an empty line stays with the text before it
            line = text.rfind("\n", begin, line - 1) + 1
        end = line if line > begin else end
        yield text[begin:end], False
        begin = end
    yield text[begin:], True


class Collator:
    """Blocks to a batch: end-of-text in front, padding behind. ``labels`` are the inputs, -100 where padded; both of shape
    (blocks, longest)."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.bos, self.pad = tokenizer.bos_token_id, tokenizer.pad_token_id

    def __call__(self, rows: Sequence[dict]) -> dict[str, torch.Tensor]:
        ids, mask = prompts.padded([[self.bos, *row["input_ids"]] for row in rows], self.pad, "right")
        return {"input_ids": ids, "labels": ids.masked_fill(mask == 0, -100)}


class Pretrainer(Trainer):
    """The Trainer, with checkpoints that appear whole or not at all and hold no pickle."""

    def _save_checkpoint(self, model, trial) -> None:
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        earlier = checkpoints(folder.parent)
        with files.replacing(folder, "checkpoint") as beside:
            self.model.save_pretrained(beside)
            save_file(self.optimizer.optimizer.tensors(), beside / "optimizer.safetensors")
            rates = {"last_lr": self.lr_scheduler.get_last_lr()}
            (beside / "scheduler.json").write_text(json.dumps(rates), encoding="utf-8")
            self.state.save_to_json(str(beside / "trainer_state.json"))
        for old in earlier:
            files.remove(old, "checkpoint")

    def _load_optimizer_and_scheduler(self, checkpoint) -> None:
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        # Copies: the file stays mapped as long as its own tensors live, and what is mapped cannot be removed on Windows.
        state = {name: tensor.clone() for name, tensor in load_file(folder / "optimizer.safetensors").items()}
        self.optimizer.optimizer.load_tensors(state)
        self.lr_scheduler.last_epoch = self.lr_scheduler._step_count = self.state.global_step
        rates = json.loads((folder / "scheduler.json").read_text(encoding="utf-8"))["last_lr"]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
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


class DivergedError(CourseError):
    """A training whose loss is no number any more, or far above that of a model that knows nothing."""


class StopAtDivergence(TrainerCallback):
    """Raises DivergedError as soon as it is seen."""

    def __init__(self, vocabulary: int):
        self.limit = 2 * math.log(vocabulary)

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        loss = float((logs or {}).get("loss", (logs or {}).get("train_loss", 0.0)))
        if not loss <= self.limit:
            raise DivergedError(
                f"the run diverged: its loss is {loss:.4g} at step {state.global_step}, where knowing nothing costs "
                f"{self.limit / 2:.1f}; nothing was saved, try a lower --learning-rate than {args.learning_rate:g}"
            )


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in a folder, the latest last."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal()]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


def latest_checkpoint(folder: Path) -> Path | None:
    """The latest checkpoint in a folder, None if there is none. Raises CourseError, naming the file, for a damaged one."""
    found = checkpoints(folder)
    for name in ("model.safetensors", "optimizer.safetensors", "scheduler.json", "trainer_state.json") if found else ():
        file = found[-1] / name
        try:
            if file.suffix == ".json":
                json.loads(file.read_text(encoding="utf-8"))
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
    ``trainer.state.log_history``. Raises CourseError for no blocks, numbers out of range, an unknown optimizer, and a run that
    diverges.
    """
    require_some(blocks, "blocks to train on")
    require_number("batch", batch, 1)
    require_number("learning_rate", learning_rate, 1e-12)
    require_number("epochs", epochs, 1e-12)
    require_number("seed", seed, 0, 2**32 - 1)
    keep_memory()
    latest = latest_checkpoint(folder) if resume else None
    torch.manual_seed(seed)
    model = LlamaForCausalLM(models.config_for(size, tokenizer))
    on_cpu = profiles.current().device == "cpu"  # also beside a GPU
    if on_cpu:
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
        use_cpu=on_cpu,
        bf16=dtype == torch.bfloat16,
        dataloader_pin_memory=False,
        logging_steps=10,
        logging_nan_inf_filter=False,  # a loss that is no number is to be seen
        save_strategy="steps" if save_steps else "no",
        save_steps=save_steps or 0,
        report_to="none",
        disable_tqdm=True,
    )
    optimizers = {
        "muon": lambda: MuonAdamW(model, learning_rate, RECIPE["weight_decay"], dtype),
        "adamw": lambda: torch.optim.AdamW(model.parameters(), learning_rate, betas=(0.9, 0.98), fused=True),
    }
    if optimizer not in optimizers:
        raise CourseError(f"unknown optimizer {optimizer!r}; the optimizers are {', '.join(optimizers)}")
    trainer = Pretrainer(
        model=model,
        args=arguments,
        train_dataset=blocks,
        data_collator=Collator(tokenizer),
        processing_class=tokenizer,
        optimizers=(optimizers[optimizer](), None),
        callbacks=[*callbacks, StopAtDivergence(len(tokenizer))],
    )
    trainer.remove_callback(PrinterCallback)
    if progress:
        trainer.add_callback(ProgressBar)
    trainer.train(resume_from_checkpoint=str(latest) if latest else None)
    trainer.model.eval()
    return trainer


@torch.inference_mode()
def bits_per_byte(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], batch: int = 32) -> float:
    """Cross-entropy of the texts and their ends in bits, per byte of UTF-8: comparable between tokenizers. CourseError for no
    text."""
    require_some("".join(texts), "characters to predict")
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


def own_texts(paths: Sequence[Path], most: int = 10**8) -> tuple[list[str], list[str]]:
    """Training and validation texts of the reader's own UTF-8 files: of each file the last tenth is for validation.

    Of long files only the beginnings of both parts are read: ``most`` bytes in all for training, a megabyte each for
    validation. Raises CourseError, naming the file, for one that is missing, empty, binary or not UTF-8, or too short to
    divide.
    """
    sizes = [_size(Path(path)) for path in paths]
    training, validation = [], []
    for path, size in zip(paths, sizes, strict=True):
        cut, share = size * 9 // 10, math.ceil(most * size / max(1, sum(sizes)))
        parts = [_read(Path(path), 0, min(cut, share)), _read(Path(path), cut, min(size, cut + 10**6))]
        length = sum(len(part.strip()) for part in parts)
        if length < 1000:
            raise CourseError(f"{path}: {'too short' if length else 'empty'}; give at least 1,000 characters")
        for texts, part in zip((training, validation), parts, strict=True):
            texts.append(part)
    return training, validation


def _size(path: Path) -> int:
    try:
        if path.exists() and not path.is_file():
            raise CourseError(f"{path}: not a file; give plain text")
        return path.stat().st_size
    except (OSError, ValueError) as error:
        raise CourseError(f"{path}: cannot be read ({getattr(error, 'strerror', error)}); check its name") from None


def _read(path: Path, begin: int, end: int) -> str:
    """The characters that begin between these bytes of a file."""
    try:
        with path.open("rb") as file:
            file.seek(begin)
            data, more = file.read(end - begin), file.read(3)
    except OSError as error:
        raise CourseError(f"{path}: cannot be read ({error.strerror}); check its name") from None
    while begin and data and 0x80 <= data[0] < 0xC0:  # the rest of a character that begins before
        data, begin = data[1:], begin + 1
    while more and 0x80 <= more[0] < 0xC0 and data:  # the rest of the last one
        data, more = data + more[:1], more[1:]
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CourseError(f"{path}: not UTF-8 text; save it as UTF-8, and give no binary files") from None
    if "\0" in text:
        raise CourseError(f"{path}: a binary file; give plain text")
    return text


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
        cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
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


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> None:
        self.exit(2, f"error: {message}; see python -m helpers.pretrain --help\n")


def number(kind: type, low: float, high: float) -> Callable[[str], float]:
    """For argparse: a number of this kind from ``low`` to ``high``."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {low:,} to {high:,}")
        return value

    return parse


def main(arguments: Sequence[str] | None = None) -> None:
    """The command ``python -m helpers.pretrain``."""
    parser = Parser(prog="python -m helpers.pretrain", description="Pretrains a model of the course.")
    whole = functools.partial(number, int)
    parser.add_argument("--size", default="small", help=f"one of {', '.join(models.SIZES)} (default: small)")
    parser.add_argument(
        "--seed", type=whole(0, 2**32 - 1), default=0, help="of the documents, the weights and their order (default: 0)"
    )
    parser.add_argument(
        "--tokens",
        type=whole(1, 10**9),
        help=f"to train on (default: {RECIPE['tokens']:,}; own text: {PASSES} passes, at most as many)",
    )
    parser.add_argument("--text", type=Path, nargs="+", metavar="FILE", help="pretrain on these UTF-8 texts instead")
    parser.add_argument(
        "--vocab-size", type=whole(SMALLEST_VOCABULARY, 2**18), help=f"of the tokenizer for --text (default: {VOCAB_SIZE})"
    )
    parser.add_argument("--out", type=Path, help="folder of the model (default: .artifacts/SIZE)")
    parser.add_argument("--replace-shipped", action="store_true", help="put the model in the place of the shipped one")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon")
    parser.add_argument("--batch", type=whole(1, 4096), default=RECIPE["batch"], help="blocks in a step")
    parser.add_argument("--learning-rate", type=number(float, 1e-12, 1e12), default=RECIPE["learning_rate"])
    parser.add_argument("--save-steps", type=whole(1, 10**9), default=200, help="steps between two checkpoints")
    parser.add_argument("--threads", type=whole(1, 1024), help="processor threads (default: one a core)")
    parser.add_argument("--resume", action="store_true", help="go on where an interrupted run stopped")
    parser.add_argument("--benchmark", action="store_true", help="measure this machine and stop")
    options = parser.parse_args(arguments)
    options.words = sys.argv[1:] if arguments is None else arguments
    if options.seed == VALIDATION_SEED:
        parser.error(f"argument --seed: {VALIDATION_SEED} makes the documents of the validation; give another seed")
    if options.vocab_size and not options.text:
        parser.error("argument --vocab-size: is for --text; the world has a tokenizer of its own")
    if options.replace_shipped and (options.text or options.out):
        parser.error("argument --replace-shipped: a shipped model is of the course's own text, and at its own place")
    if options.threads:
        torch.set_num_threads(options.threads)
    for stream in (sys.stdout, sys.stderr):  # a name that this terminal cannot write is no reason to stop
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        benchmark() if options.benchmark else run(options)
    except CourseError as error:
        sys.exit(f"error: {error}")


def run(options: argparse.Namespace) -> None:
    """One whole run of the command: data, training with checkpoints, the model with its card."""
    out = target(options)
    most = options.tokens or RECIPE["tokens"]
    given = sum(map(_size, options.text or ()))
    needed = BYTES_PER_TOKEN * (min(most, given // 3) if options.text else most)
    if needed > (free := psutil.virtual_memory().available):
        raise CourseError(f"--tokens {most}: {needed / 1e9:.1f} GB of memory are needed, {free / 1e9:.1f} are free; take fewer")
    # Eight bytes a token are enough of any text, but of one that repeats itself, and there more would teach nothing either.
    texts = own_texts(options.text, 8 * most + 100_000) if options.text else None
    folder = run_folder(out, options, texts)
    with files.locked(folder / "settings.json", BUSY):
        try:
            train(options, out, folder, texts)
        except CourseError as error:
            if isinstance(error, DivergedError) or not checkpoints(folder):
                files.remove(folder, "run")  # nobody could go on from here
            raise


def target(options: argparse.Namespace) -> Path:
    """The folder that the model goes to. Raises CourseError if anything is there but a model that this command made, if it is
    a shipped one and that was not asked for, or if the disk is too full."""
    shipped = models.PRETRAINED.resolve()
    if options.replace_shipped:
        out = shipped / options.size
    else:
        out = Path(os.path.abspath(options.out or files.ARTIFACTS / options.size))  # noqa: PTH100 (``..`` has no name)
        if "\0" in str(out) or str(out).encode(errors="ignore").decode() != str(out):
            raise CourseError(f"--out {str(options.out)!r}: no name that a model can be saved under; give another")
        if shipped in (real := Path(os.path.realpath(out)), real.parent):
            raise CourseError(f"{out}: here are the shipped models; give another --out, or --replace-shipped without --out")
    files.check_replaceable(out, "model")
    size, vocabulary = models.size_named(options.size), options.vocab_size or VOCAB_SIZE
    weights = 4 * (vocabulary * size.width + 10 * size.depth * size.width**2)
    files.check_space(out, 8 * weights)  # two checkpoints with the state of the optimizer, and the model
    return out


def train(options: argparse.Namespace, out: Path, folder: Path, texts: tuple[list[str], list[str]] | None) -> None:
    """Pretrains on these texts, or on the world, with checkpoints in ``folder``, and saves the model at ``out``."""
    most = options.tokens or RECIPE["tokens"]
    if texts:
        training, validation = texts
        sample = (piece for text in training for piece, _ in islice(pieces_of(text), math.ceil(200 / len(training))))
        tokenizer = train_tokenizer(sample, vocab_size=options.vocab_size or VOCAB_SIZE)
        blocks = pack(training, tokenizer, most)
        if token_count(blocks) < FEWEST_TOKENS:
            raise CourseError(
                f"{options.text[0]}: says so little that it is {token_count(blocks)} tokens, {FEWEST_TOKENS} are needed; give "
                "another text, or a smaller --vocab-size"
            )
        epochs = options.tokens / token_count(blocks) if options.tokens else min(PASSES, most / token_count(blocks))
    else:
        tokenizer, validation, epochs = world_tokenizer(), validation_texts(), 1
        blocks = pack(world_texts(options.seed), tokenizer, most)
    tokens = round(token_count(blocks) * epochs)
    print(f"{tokens:,} tokens; {machine()}")
    start = time.perf_counter()
    trainer = pretrain(
        options.size, blocks, tokenizer, folder, seed=options.seed, batch=options.batch, epochs=epochs,
        learning_rate=options.learning_rate, optimizer=options.optimizer, resume=options.resume,
        save_steps=options.save_steps, dtype=getattr(torch, settings_of(folder)["dtype"]),
    )  # fmt: skip
    minutes, model = (time.perf_counter() - start) / 60, trainer.model
    measured = bits_per_byte(model, tokenizer, validation)
    if not math.isfinite(measured):
        raise DivergedError(f"the run diverged: {measured} bits per byte; nothing was saved, try a lower --learning-rate")
    about = {
        "command": f"`python -m helpers.pretrain {shlex.join(map(str, options.words))}`",
        "seed": str(options.seed),
        "tokens": f"{tokens:,} in {trainer.state.global_step:,} steps",
        "parameters": f"{model.num_parameters():,}, of which embeddings {model.get_input_embeddings().weight.numel():,}",
        "wall time": f"{minutes:.1f} minutes" + (" since it was resumed" if options.resume else ""),
        "machine": machine(),
        "validation": f"{measured:.4f} bits per byte",
        "licence of the text": "the reader's own text" if texts else "generated by this course",
    }
    models.save(model, tokenizer, out, card(about, {} if texts else results(model, tokenizer)))
    files.remove(folder, "run")
    print(f"{out}: {about['validation']}, {about['wall time']}")


def token_count(blocks: Dataset) -> int:
    """Number of tokens in packed blocks."""
    return sum(len(row) for row in blocks["input_ids"])


def run_folder(out: Path, options: argparse.Namespace, texts: tuple[list[str], list[str]] | None) -> Path:
    """The folder beside ``out`` for the checkpoints of this run, emptied unless it is resumed.

    Raises CourseError where ``--resume`` finds nothing to go on with, or a run of other settings or of another text, where
    another process is at work, and where anything else is there.
    """
    folder = out.with_name(f".{out.name}.run")
    keys = ("size", "seed", "optimizer", "batch", "learning_rate", "tokens", "vocab_size")
    settings = {key.replace("_", "-"): getattr(options, key) for key in keys}
    settings["checksum of the text"] = text_checksum(texts)
    if options.resume:
        if not folder.is_dir():
            raise CourseError(f"{folder}: no checkpoint to resume from; run the command without --resume")
        found = settings_of(folder)
        if other := [key for key, value in settings.items() if found.get(key) != value]:
            asked = f"{other[0]} {found.get(other[0])}, not {settings[other[0]]}"
            raise CourseError(f"{folder}: holds a run of {asked}; repeat its options and text, or run without --resume")
        return folder
    files.check_replaceable(folder, "run")
    if (folder / "settings.json").exists():
        with files.locked(folder / "settings.json", BUSY):
            files.remove(folder, "run")
    with files.replacing(folder, "run") as beside:
        saved = settings | {"dtype": str(fastest_dtype()).removeprefix("torch.")}
        (beside / "settings.json").write_text(json.dumps(saved), encoding="utf-8")
    return folder


def text_checksum(texts: tuple[list[str], list[str]] | None) -> str:
    """The first digits of a SHA-256 of the reader's own texts, or of the facts of the world."""
    found = sha256()
    for text in [text for part in texts for text in part] if texts else map(repr, map(facts.table, facts.names())):
        found.update(text.encode() + b"\0")
    return found.hexdigest()[:12]


def settings_of(folder: Path) -> dict:
    """What the run in this folder was started with. Raises CourseError, naming the file, where it cannot be read."""
    file = folder / "settings.json"
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(f"{file}: damaged or missing ({error}); run the command without --resume") from None


if __name__ == "__main__":
    main()
