"""Pictures in a notebook with their alternative text, and a loss curve that draws itself."""

import io
import time
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import DisplayHandle, display
from matplotlib.figure import Figure
from PIL import Image
from transformers import TrainerCallback

from helpers.show.panels import Bars, Curves, Dots, Heat

STYLE = {
    "figure.dpi": 110,
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 2,
    "legend.frameon": False,
    "legend.fontsize": 10,
}


class Picture:
    """A figure as a PNG with its alternative text: on the page, where screen readers look, and as
    its text."""

    def __init__(self, fig: Figure, alt: str):
        buffer, small = io.BytesIO(), io.BytesIO()
        with plt.rc_context(STYLE):
            fig.savefig(buffer, format="png")
        # 256 colours are enough, and a third of the size: every picture is in the notebook twice,
        # since not every program that shows notebooks shows HTML.
        Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
            small, "PNG", optimize=True
        )
        self.png, self.alt = small.getvalue(), alt

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        source = b64encode(self.png).decode()
        image = f'<img alt="{escape(self.alt)}" src="data:image/png;base64,{source}">'
        return {"text/html": image, "image/png": source, "text/plain": self.alt}, {
            "image/png": {"alt": self.alt}
        }


def picture(fig: Figure, alt: str) -> None:
    """Shows a figure once and closes it. ``alt`` says in words what it shows."""
    display(Picture(fig, alt))
    plt.close(fig)


def drawn(
    *parts: Curves | Bars | Heat | Dots, alt: str = "", size: tuple[float, float] | None = None
) -> Picture:
    """Panels side by side in one picture, ``size`` inches wide and high."""
    high = 4.7 if any(isinstance(part, Heat) for part in parts) else 4.2  # squares and their titles
    wide = (7.5, high) if len(parts) == 1 else (min(13, 5.2 * len(parts)), high)
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(
            1, len(parts), figsize=size or wide, layout="constrained", squeeze=False
        )
        said = [part.draw(ax) for part, ax in zip(parts, axes[0], strict=True)]
    image = Picture(fig, " ".join([alt, *said]).strip())
    plt.close(fig)
    return image


def panels(
    *parts: Curves | Bars | Heat | Dots, alt: str = "", size: tuple[float, float] | None = None
) -> None:
    """Shows panels side by side, once. ``alt`` stands before what each panel says of itself."""
    display(drawn(*parts, alt=alt, size=size))


def curves(*arguments, alt: str = "", size: tuple | None = None, **options) -> None:
    """One panel of ``Curves``."""
    panels(Curves(*arguments, **options), alt=alt, size=size)


def bars(*arguments, alt: str = "", size: tuple | None = None, **options) -> None:
    """One panel of ``Bars``."""
    panels(Bars(*arguments, **options), alt=alt, size=size)


def heat(*arguments, alt: str = "", size: tuple | None = None, **options) -> None:
    """One panel of ``Heat``."""
    panels(Heat(*arguments, **options), alt=alt, size=size or (6.4, 5.4))


def dots(*arguments, alt: str = "", size: tuple | None = None, **options) -> None:
    """One panel of ``Dots``."""
    panels(Dots(*arguments, **options), alt=alt, size=size)


#: Drawn diagrams, in ``diagrams/``, and what each shows. Their white ground keeps them legible in a
#: dark theme.
DIAGRAMS = {
    "map": "The map of the course. Notebook 02, pretraining, makes a base model from a world of "
    "text. From it come: 01, few-shot prompting, where the task is in the prompt and nothing is "
    "trained; specialists, by full finetuning in 03 and by LoRA in 04; and by instruction "
    "finetuning in 05 an assistant, which 06, RLHF, turns into an assistant as people like it. "
    "07 launches the pretraining of 02 on rented GPUs.",
    "attention": "An induction head. A list says cup -> map, and later cup -> again. The second "
    "arrow gives nine tenths of its attention to map, which came after the first arrow, and map is "
    "what it predicts.",
    "transformer": "A transformer, from bottom to top. Token ids become rows of the embedding "
    "table. Each layer adds attention and then a feed-forward part, each after an RMSNorm. A last "
    "RMSNorm and the head, which is the same table, give the logits.",
    "mask": "A demonstration as a conversation. The user's question and the control tokens "
    "around it have the label -100 and are not in the loss. The answer, Paris, and the end of the "
    "turn are.",
    "rlhf": "The loop of RLHF. The policy draws pairs of replies, people say which is better, a "
    "reward model learns to score, RLOO pulls the policy towards reward, held near SFT by a KL "
    "penalty; then the next round begins. Gold is measured beside the loop.",
    "ring": "A ring of four processes, ranks 0 to 3, each with its numbers in four pieces. In the "
    "first round rank 0 sends piece 0 to rank 1, rank 1 piece 1 to rank 2, rank 2 piece 2 to rank "
    "3, and rank 3 piece 3 to rank 0, all at the same time.",
    "lora": "LoRA. The input x goes through the frozen matrix W, and beside it through A, down to "
    "r numbers, and through B, up again. The two results are added. Only A and B are trained.",
}


class Diagram:
    """A drawn diagram as SVG, with its alternative text."""

    def __init__(self, name: str):
        file = Path(__file__).parent / "diagrams" / f"{name}.svg"
        self.svg, self.alt = file.read_text(encoding="utf-8"), DIAGRAMS[name]

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        source = b64encode(self.svg.encode()).decode()
        image = f'<img alt="{escape(self.alt)}" src="data:image/svg+xml;base64,{source}">'
        return {"text/html": image, "text/plain": self.alt}, {}


def diagram(name: str) -> None:
    """Shows one of the ``DIAGRAMS``."""
    display(Diagram(name))


class LiveCurve(TrainerCallback):
    """A loss curve that draws itself while the Trainer works, with a progress bar and the time that
    is left.

    ``baselines`` are horizontal lines, name to loss in nats per token.
    """

    def __init__(
        self, title: str, baselines: Mapping[str, float] | None = None, seconds_between: float = 3.0
    ):
        self.title, self.baselines, self.between = title, dict(baselines or {}), seconds_between
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.handle: DisplayHandle | None = None

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        # A training that is begun anew has a curve of its own.
        self.steps, self.losses, self.handle = [], [], None
        self.started = self.drawn = time.perf_counter()

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if "loss" in (logs or {}):
            self.steps.append(state.global_step)
            self.losses.append(float(logs["loss"]))
            if time.perf_counter() - self.drawn > self.between:
                self._draw(state)

    def on_train_end(self, args, state, control, **kwargs) -> None:
        self._draw(state)

    def _draw(self, state) -> None:
        self.drawn = time.perf_counter()
        spent, share = self.drawn - self.started, max(state.global_step, 1) / state.max_steps
        bar = "█" * round(20 * share) + "░" * (20 - round(20 * share))
        progress = f"{bar} {share:.0%}, {spent:.0f} s, {spent / share - spent:.0f} s to go"
        image = drawn(
            Curves(
                {"training loss": (self.steps, self.losses)},
                title=f"{self.title}\n{progress}",
                xlabel="step",
                ylabel="loss (nats per token)",
                xlim=(0, state.max_steps),
                levels=self.baselines,
            )
        )
        if self.handle is None:
            self.handle = display(image, display_id=True)
        else:
            self.handle.update(image)
