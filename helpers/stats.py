"""Rates and means, with intervals that say how much of them is luck."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers.errors import require_some


@dataclass(frozen=True)
class Rate:
    """A share of successes with its 95 % interval. Of no trials there is none: CourseError."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, results: Sequence[bool]) -> "Rate":
        """From independent trials, each 1 or 0; the interval is Wilson's (1927), by scipy."""
        require_some(results, "trials to take a rate of")
        n = len(results)
        low, high = stats.binomtest(int(sum(results)), n).proportion_ci(method="wilson")
        return cls(sum(results) / n, float(low), float(high), n)

    @classmethod
    def of_draws(cls, results: np.ndarray, seed: int = 0) -> "Rate":
        """From a table (draws of the examples, prompts of each draw): the interval is a bootstrap
        of 2,000 samples that draws rows, then prompts within each row, so that it covers both kinds
        of chance (Davison and Hinkley 1997, 3.8)."""
        rng, table = np.random.default_rng(seed), np.asarray(results, dtype=float)
        require_some(table.ravel(), "trials to take a rate of")
        draws, queries = table.shape
        rows = rng.integers(0, draws, (2000, draws, 1))
        means = table[rows, rng.integers(0, queries, (2000, draws, queries))].mean(axis=(1, 2))
        low, high = np.percentile(means, [2.5, 97.5])
        return cls(float(table.mean()), float(low), float(high), table.size)

    @classmethod
    def of_groups(cls, results: Sequence[float], groups: Sequence[str], seed: int = 0) -> "Rate":
        """From trials that come in groups, as questions about one country do: the interval is a
        bootstrap of 2,000 samples that draws whole groups (Davison and Hinkley 1997, 3.8), by
        scipy. A trial may be half, of a tie."""
        require_some(results, "trials to take a rate of")
        names, group = np.unique(groups, return_inverse=True)
        won, size = np.bincount(group, weights=results), np.bincount(group)
        value = float(np.mean(results))
        if len(names) == 1:  # nothing to draw from
            return cls(value, value, value, len(results))
        options = {"n_resamples": 2000, "paired": True, "vectorized": True, "method": "percentile"}
        drawn = stats.bootstrap((won, size), _share, rng=np.random.default_rng(seed), **options)
        return cls(value, *map(float, drawn.confidence_interval), len(results))

    def __str__(self) -> str:
        return f"{self.value:.0%} [{self.low:.0%}, {self.high:.0%}]"


@dataclass(frozen=True)
class Mean:
    """The mean of numbers with its 95 % interval. Of no numbers there is none: CourseError."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "Mean":
        """From independent numbers; the interval is Student's (1908), by scipy. One has none."""
        require_some(numbers, "numbers to take a mean of")
        n, mean = len(numbers), float(np.mean(numbers))
        error = float(stats.sem(numbers)) if n > 1 else 0.0
        reach = error * stats.t.ppf(0.975, n - 1) if error else 0.0
        return cls(mean, mean - reach, mean + reach, n)

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def _share(won: np.ndarray, size: np.ndarray, axis: int) -> np.ndarray:
    return won.sum(axis) / size.sum(axis)
