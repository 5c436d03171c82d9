"""Panels of a figure: curves, bars, grids and dots, which draw themselves and say what they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np

from helpers.stats import Mean, Rate

#: Colour-blind safe (Okabe and Ito 2008); always with a marker, a dash or a hatch as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")
HATCHES = ("", "//", "..", "xx")

#: A number, or an estimate that has ``value``, ``low`` and ``high``.
Number = float | Rate | Mean


def middle(number: Number) -> float:
    """The number itself, or an estimate's value."""
    return float(getattr(number, "value", number))


def ends(number: Number) -> tuple[float, float]:
    """The interval of an estimate; of a plain number nothing is left and right of it."""
    return getattr(number, "low", middle(number)), getattr(number, "high", middle(number))


def words(number: Number) -> str:
    """The number as the alternative text says it: a rate in percent."""
    return f"{number.value:.0%}" if isinstance(number, Rate) else f"{middle(number):.3g}"


@dataclass
class Curves:
    """Lines over ``x``: ``series`` maps a name to as many numbers as ``x`` has (1, 2, 3... where
    none is given), or to a pair (xs, ys) of its own. Estimates have their interval as a band, and
    rates percent on the axis.

    ``points`` are drawn without a line, ``guides`` dashed and grey, each name to (xs, ys);
    ``levels`` are horizontal lines, name to height, ``marks`` vertical ones, name to place.
    ``chance`` is a level too. ``log`` is "x", "y" or "xy"; with ``even`` the values of x stand at
    equal distances.
    """

    series: Mapping[str, Sequence]
    x: Sequence[float] = ()
    xlabel: str = ""
    ylabel: str = ""
    title: str = ""
    log: str = ""
    even: bool = False
    chance: float | None = None
    points: Mapping[str, tuple] = field(default_factory=dict)
    guides: Mapping[str, tuple] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
    marks: Mapping[str, float] = field(default_factory=dict)
    xlim: tuple | None = None
    ylim: tuple | None = None

    def draw(self, ax: plt.Axes) -> str:
        """Draws the panel, and says it in words."""
        said = []
        for number, (name, values) in enumerate(self.series.items()):
            own = isinstance(values, tuple) and len(values) == 2 and np.ndim(values[0]) == 1
            xs, ys = values if own else (self._places(values), values)
            colour, few = COLOURS[number % 7], len(ys) <= 30
            look = {"marker": MARKERS[number % 7]} if few else {"linestyle": DASHES[number % 4]}
            ax.plot(xs, [middle(y) for y in ys], color=colour, label=name, **look)
            if any(ends(y)[0] < ends(y)[1] for y in ys):
                low, high = zip(*map(ends, ys), strict=True)
                ax.fill_between(xs, low, high, color=colour, alpha=0.15)
            shown = ys if len(ys) <= 8 else [ys[0], ys[-1]]
            said.append(f"{name}: {(', ' if len(ys) <= 8 else ' to ').join(map(words, shown))}")
        for number, (name, (xs, ys)) in enumerate(self.points.items(), len(self.series)):
            look = {"color": COLOURS[number % 7], "markersize": 8 if len(xs) < 50 else 4}
            ax.plot(xs, ys, MARKERS[number % 7], label=name, **look)
        for name, (xs, ys) in self.guides.items():
            ax.plot(xs, ys, "--", color="grey", linewidth=1.5, label=name)
        self._lines(ax)
        self._axes(ax)
        if len(ax.get_legend_handles_labels()[1]) > 1 or self.points:
            ax.legend()
        said += [*self.points, *self.guides, *self.levels, *self.marks]
        title = self.title.partition("\n")[0]
        what = ": ".join(filter(None, (title, self.ylabel)))
        return f"{what} against {self.xlabel}. {'; '.join(said)}."

    def _places(self, values: Sequence) -> Sequence[float]:
        if self.even:
            return range(len(values))
        return self.x if len(self.x) else range(1, len(values) + 1)

    def _lines(self, ax: plt.Axes) -> None:
        if self.chance is not None:
            ax.axhline(self.chance, color="grey", linestyle=":", label="chance")
        for number, (name, height) in enumerate(self.levels.items()):
            ax.axhline(
                height, color="black", linestyle=DASHES[1 + number % 3], linewidth=1, label=name
            )
        for name, place in self.marks.items():
            ax.axvline(place, color="grey", linestyle=":", label=name)

    def _axes(self, ax: plt.Axes) -> None:
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel, title=self.title)
        if "x" in self.log:
            ax.set_xscale("log")
        if "y" in self.log:
            ax.set_yscale("log")
            if ax.get_ylim()[1] < 10 * ax.get_ylim()[0]:  # too short for powers of ten
                ax.yaxis.set_major_formatter("{x:.2g}")
                ax.yaxis.set_minor_formatter("{x:.2g}")
        if self.even or ("x" in self.log and 0 < len(self.x) <= 8):
            ax.set_xticks(range(len(self.x)) if self.even else self.x, [f"{x:,g}" for x in self.x])
            ax.minorticks_off()
        if any(isinstance(y, Rate) for values in self.series.values() for y in values):
            ax.set_ylim(-0.02, 1.02)
            ax.yaxis.set_major_formatter("{x:.0%}")
        elif not self.log and not self.ylim:
            ax.set_ylim(bottom=min(0, ax.get_ylim()[0]))
        ax.set(**{name: limit for name in ("xlim", "ylim") if (limit := getattr(self, name))})


@dataclass
class Bars:
    """Horizontal bars, name to number; estimates with their interval. With a mapping for each name,
    of group to number, the groups of a name stand together. ``marks`` are vertical lines, name to
    place; ``striped`` names bars that are to be told from the others."""

    values: Mapping[str, Number | Mapping[str, Number]]
    xlabel: str = ""
    title: str = ""
    log: bool = False
    marks: Mapping[str, float] = field(default_factory=dict)
    striped: Sequence[str] = ()
    xlim: tuple | None = None

    def draw(self, ax: plt.Axes) -> str:
        """Draws the panel, and says it in words."""
        groups = self.values.items()
        rows = {name: v if isinstance(v, Mapping) else {"": v} for name, v in groups}
        inner, said = list(dict.fromkeys(key for row in rows.values() for key in row)), []
        height = 0.8 / len(inner)
        for place, (name, row) in enumerate(rows.items()):
            for key, number in row.items():
                kind = inner.index(key) or int(name in self.striped)
                y = place + height * (inner.index(key) - (len(inner) - 1) / 2)
                look = {"color": COLOURS[kind], "hatch": HATCHES[kind % 4], "edgecolor": "white"}
                ax.barh(y, middle(number), height * 0.95, **look, label=key if not place else None)
                low, high = ends(number)
                if low < high:
                    error = [[max(0, middle(number) - low)], [max(0, high - middle(number))]]
                    ax.errorbar(middle(number), y, xerr=error, color="black", capsize=4)
            said.append(f"{name}: {', '.join(f'{k} {words(v)}'.strip() for k, v in row.items())}")
        for name, place in self.marks.items():
            ax.axvline(place, color="black", linestyle="--", linewidth=1)
            ax.text(place, -0.6, f" {name}", fontsize=10, va="bottom")
        ax.set(xlabel=self.xlabel, title=self.title)
        ax.set_yticks(range(len(rows)), list(rows))
        ax.invert_yaxis()
        ax.grid(visible=False, axis="y")
        if self.log:
            ax.set_xscale("log")
        if all(isinstance(v, Rate) for row in rows.values() for v in row.values()):
            ax.set_xlim(0, 1.02)
            ax.xaxis.set_major_formatter("{x:.0%}")
        if self.xlim:
            ax.set_xlim(*self.xlim)
        if len(inner) > 1:
            ax.legend()
        return f"{self.title or 'Bars'}, {self.xlabel}. {'; '.join(said)}."


@dataclass
class Heat:
    """A grid of numbers as colours, from 0 to ``top``; small ones with the numbers in them.
    ``squares`` frames cells: name to (columns, rows)."""

    grid: Sequence[Sequence[float]]
    xlabel: str = ""
    ylabel: str = ""
    title: str = ""
    top: float | None = None
    columns: Sequence[str] = ()
    rows: Sequence[str] = ()
    squares: Mapping[str, tuple] = field(default_factory=dict)

    def draw(self, ax: plt.Axes) -> str:
        """Draws the panel, and says it in words."""
        grid = np.asarray(self.grid)
        top = self.top or grid.max()
        image = ax.imshow(grid, cmap="Blues", vmin=0, vmax=top)
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel, title=self.title)
        ax.grid(visible=False)
        for name, (xs, ys) in self.squares.items():
            look = {"markerfacecolor": "none", "markeredgecolor": COLOURS[1]}
            ax.plot(xs, ys, "s", markersize=7, **look, label=name)
            ax.legend(loc="upper right")
        if self.columns:
            ax.set_xticks(range(len(self.columns)), self.columns)
            ax.set_yticks(range(len(self.rows)), self.rows)
        if grid.size > 36:
            ax.figure.colorbar(image)
            return (
                f"{self.title}: {self.ylabel} by {self.xlabel}, {grid.shape[0]} x {grid.shape[1]}."
            )
        for (row, column), value in np.ndenumerate(grid):
            colour = "white" if value > top / 2 else "black"
            ax.text(column, row, f"{value:,g}", ha="center", va="center", color=colour, fontsize=14)
        rows = [", ".join(f"{value:,g}" for value in row) for row in grid]
        lines = [f"{name} [{row}]" for name, row in zip(self.rows, rows, strict=False)]
        return f"{self.title}, {self.ylabel} by {self.xlabel}: {'; '.join(lines)}."


@dataclass
class Dots:
    """For each name a row of dots, one a number, from which their spread can be seen."""

    values: Mapping[str, Sequence[float]]
    xlabel: str = ""
    ylabel: str = ""
    title: str = ""
    chance: float | None = None

    def draw(self, ax: plt.Axes) -> str:
        """Draws the panel, and says it in words."""
        for number, numbers in enumerate(self.values.values()):
            heights = number + np.linspace(-0.25, 0.25, len(numbers))
            ax.plot(numbers, heights, MARKERS[number % 7], color=COLOURS[number % 7], alpha=0.6)
        if self.chance is not None:
            ax.axvline(self.chance, color="grey", linestyle=":")
            ax.set_xlim(-0.02, 1.02)
            ax.xaxis.set_major_formatter("{x:.0%}")
        ax.set_yticks(range(len(self.values)), list(self.values))
        ax.invert_yaxis()
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel, title=self.title)
        said = [f"{name}: {min(v):.3g} to {max(v):.3g}" for name, v in self.values.items()]
        return f"{self.ylabel}, {self.xlabel}. {'; '.join(said)}."
