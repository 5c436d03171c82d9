"""Figures of the course: one style, axes with units, alternative text with every picture."""

import io
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import HTML, DisplayHandle, display
from matplotlib.figure import Figure
from PIL import Image
from transformers import TrainerCallback

from helpers.errors import require_some
from helpers.scoreboard import SKILLS
from helpers.stats import Rate

#: Colour-blind safe (Okabe and Ito 2008); always with a marker or a dash pattern as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

STYLE = {
    "figure.figsize": (7.5, 4.2),
    "figure.dpi": 110,
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 2,
    "legend.frameon": False,
}


def figure(columns: int = 1, **options) -> tuple[Figure, plt.Axes | Sequence[plt.Axes]]:
    """A figure in the course's style, with one axis or several side by side. ``options`` as for
    ``plt.subplots``."""
    with plt.rc_context(STYLE):
        options = {
            "figsize": (7.5 if columns == 1 else 5 * columns, 4.2),
            "layout": "constrained",
        } | options
        return plt.subplots(1, columns, **options)


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


def show(fig: Figure, alt: str) -> None:
    """Displays the figure once and closes it. ``alt`` says in words what it shows."""
    display(Picture(fig, alt))
    plt.close(fig)


def rates(
    ax: plt.Axes,
    x: Sequence[float],
    series: Mapping[str, Sequence[Rate]],
    chance: float | None = None,
) -> None:
    """Lines of rates with their intervals as bands; a dotted line at the level of chance."""
    for number, (name, points) in enumerate(series.items()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        ax.plot(x, [p.value for p in points], color=colour, marker=marker, label=name)
        ax.fill_between(
            x, [p.low for p in points], [p.high for p in points], color=colour, alpha=0.15
        )
    if chance is not None:
        ax.axhline(chance, color="grey", linestyle=":", label="chance")
    ax.set_ylim(-0.02, 1.02)
    ax.yaxis.set_major_formatter("{x:.0%}")


class Table(HTML):
    """A table drawn by pandas, that can be read as text too."""

    def __init__(self, frame: pd.DataFrame, caption: str = ""):
        with pd.option_context("display.max_colwidth", None):  # nothing is cut off
            # Or the end of a line would be written as two characters.
            lines = [str] * len(frame.columns)
            # A dollar is a dollar, whichever of them a page knows.
            plain = ["tex2jax_ignore", "mathjax_ignore"]
            drawn = frame.to_html(
                index=False, border=0, justify="left", formatters=lines, classes=plain
            )
            self.text = f"{caption}\n{frame.to_string(index=False, justify='left')}".strip()
        for kind in ("th", "td"):
            drawn = drawn.replace(
                f"<{kind}>", f"<{kind} style='text-align:left;white-space:pre-wrap'>"
            )
        title = f"<caption style='text-align:left'>{escape(caption)}</caption>"
        super().__init__(drawn.replace("<thead>", f"{title if caption else ''}<thead>", 1))

    def __repr__(self) -> str:
        return self.text


def table(rows: Sequence[Mapping[str, object]], caption: str = "") -> Table:
    """Rows of equal keys as a small table; numbers keep the form they come in. CourseError for no
    rows."""
    require_some(rows, "rows of a table")
    return Table(
        pd.DataFrame([{key: str(value) for key, value in row.items()} for row in rows]), caption
    )


def scoreboard(board: Mapping[str, Mapping[str, Rate]]) -> Table:
    """The scoreboard as a table, with what its columns mean; what is not measured yet is a dash."""
    measured = dict.fromkeys(skill for row in board.values() for skill in row)
    known = {skill: meaning for skill, meaning in SKILLS.values() if skill in measured}
    skills = [*known, *(skill for skill in measured if skill not in known)]
    rows = [
        {"stage": stage} | {skill: row.get(skill, "–") for skill in skills}
        for stage, row in board.items()
    ]
    meanings = "".join(f"; {skill}: {meaning}" for skill, meaning in known.items())
    return table(
        rows or [{"stage": "nothing measured yet"}], f"Scoreboard, rate [95 % interval]{meanings}"
    )


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
        fig, ax = figure()
        ax.plot(self.steps, self.losses, color=COLOURS[0])
        for number, (name, loss) in enumerate(self.baselines.items()):
            ax.axhline(loss, color="grey", linestyle=(":", "--", "-.")[number % 3])
            ax.text(state.max_steps, loss, name, ha="right", va="bottom", color="dimgrey")
        ax.set(
            xlim=(0, state.max_steps),
            ylim=(0, None),
            xlabel="step",
            ylabel="training loss (nats per token)",
        )
        bar = "█" * round(20 * share) + "░" * (20 - round(20 * share))
        left = spent / share - spent
        ax.set_title(
            f"{self.title}\n{bar} {share:.0%}, {spent:.0f} s, {left:.0f} s to go",
            loc="left",
            fontsize=11,
        )
        alt = "Training loss over steps: none yet."
        if self.losses:
            first, now = self.losses[0], self.losses[-1]
            alt = f"Training loss over steps, {first:.1f} at first, {now:.2f} now."
        image = Picture(fig, alt)
        plt.close(fig)
        if self.handle is None:
            self.handle = display(image, display_id=True)
        else:
            self.handle.update(image)
