"""Figures of the course: one style, axes with units, alternative text with every picture."""

import io
import time
from collections.abc import Mapping, Sequence
from html import escape

import matplotlib.pyplot as plt
from IPython.display import HTML, DisplayHandle, Image, display
from matplotlib.figure import Figure
from transformers import TrainerCallback

from helpers.measure import Rate
from helpers.scoreboard import SKILLS

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
    """A figure in the course's style, with one axis or several side by side. ``options`` as for ``plt.subplots``."""
    with plt.rc_context(STYLE):
        options = {"figsize": (7.5 if columns == 1 else 5 * columns, 4.2), "layout": "constrained"} | options
        return plt.subplots(1, columns, **options)


def picture(fig: Figure, alt: str) -> Image:
    """The figure as a PNG with alternative text."""
    buffer = io.BytesIO()
    with plt.rc_context(STYLE):
        fig.savefig(buffer, format="png")
    return Image(buffer.getvalue(), format="png", alt=alt)


def show(fig: Figure, alt: str) -> None:
    """Displays the figure once and closes it. ``alt`` says in words what it shows."""
    display(picture(fig, alt))
    plt.close(fig)


def rates(ax: plt.Axes, x: Sequence[float], series: Mapping[str, Sequence[Rate]], chance: float | None = None) -> None:
    """Lines of rates with their intervals as bands; a dotted line at the level of chance."""
    for number, (name, points) in enumerate(series.items()):
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        ax.plot(x, [p.value for p in points], color=colour, marker=marker, label=name)
        ax.fill_between(x, [p.low for p in points], [p.high for p in points], color=colour, alpha=0.15)
    if chance is not None:
        ax.axhline(chance, color="grey", linestyle=":", label="chance")
    ax.set_ylim(-0.02, 1.02)
    ax.yaxis.set_major_formatter("{x:.0%}")


def table(rows: Sequence[Mapping[str, object]], caption: str = "") -> HTML:
    """Rows of equal keys as a small table; numbers keep the form they come in."""
    heads = "".join(f"<th style='text-align:left'>{escape(key)}</th>" for key in rows[0])
    cell = "<td style='text-align:left;white-space:pre-wrap'>{}</td>"
    body = "".join("<tr>" + "".join(cell.format(escape(str(v))) for v in row.values()) + "</tr>" for row in rows)
    title = f"<caption style='text-align:left'>{escape(caption)}</caption>" if caption else ""
    return HTML(f"<table>{title}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>")


def scoreboard(board: Mapping[str, Mapping[str, Rate]]) -> HTML:
    """The scoreboard as a table; what is not measured yet is a dash."""
    skills = [*SKILLS, *dict.fromkeys(skill for row in board.values() for skill in row if skill not in SKILLS)]
    rows = [{"stage": stage} | {skill: str(row.get(skill, "–")) for skill in skills} for stage, row in board.items()]
    return table(rows or [{"stage": "nothing measured yet"}], "Scoreboard: rate [95 % interval]")


class LiveCurve(TrainerCallback):
    """A loss curve that draws itself while the Trainer works, with a progress bar and the time that is left.

    ``baselines`` are horizontal lines, name to loss in nats per token.
    """

    def __init__(self, title: str, baselines: Mapping[str, float] | None = None, seconds_between: float = 3.0):
        self.title, self.baselines, self.between = title, dict(baselines or {}), seconds_between
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.handle: DisplayHandle | None = None

    def on_train_begin(self, args, state, control, **kwargs) -> None:
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
        spent, share = self.drawn - self.started, state.global_step / state.max_steps
        fig, ax = figure()
        ax.plot(self.steps, self.losses, color=COLOURS[0])
        for number, (name, loss) in enumerate(self.baselines.items()):
            ax.axhline(loss, color="grey", linestyle=(":", "--", "-.")[number % 3])
            ax.text(state.max_steps, loss, name, ha="right", va="bottom", color="dimgrey")
        ax.set(xlim=(0, state.max_steps), ylim=(0, None), xlabel="step", ylabel="training loss (nats per token)")
        bar = "█" * round(20 * share) + "░" * (20 - round(20 * share))
        left = spent / share - spent
        ax.set_title(f"{self.title}\n{bar} {share:.0%}, {spent:.0f} s, {left:.0f} s to go", loc="left", fontsize=11)
        alt = f"Training loss over steps, {self.losses[0]:.1f} at first, {self.losses[-1]:.2f} now." if self.losses else ""
        image = picture(fig, alt)
        plt.close(fig)
        if self.handle is None:
            self.handle = display(image, display_id=True)
        else:
            self.handle.update(image)
