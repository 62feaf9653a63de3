"""How sure is a mean over cases? The paired bootstrap: Efron, 1979; for systems on common cases Sakai, SIGIR 2006.

A sample draws as many cases as there are, with replacement, and every model is judged on the same drawn cases: the
hard and the easy ones strike all models alike, so that differences are known better than the means themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 50
"""Samples that are drawn at a time: bounds the memory."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over the cases with its percentile interval."""

    mean: float
    low: float
    high: float


def bootstrap_means(values: Floats, samples: int, seed: int) -> Floats:
    """(samples, columns): the column means of ``values`` (cases, columns) over resampled cases.

    All columns share the drawn cases. NaN means that a case has no value in that column; it is left out of that
    mean. Takes O(samples * cases * columns) time.
    """
    rng = np.random.default_rng(seed)
    cases = len(values)
    present = np.isfinite(values)
    filled = np.where(present, values, 0.0)
    everywhere = bool(present.all())
    means = np.empty((samples, values.shape[1]))
    for start in range(0, samples, BLOCK):
        drawn = [rng.integers(0, cases, cases) for _ in range(min(BLOCK, samples - start))]
        counts = np.stack([np.bincount(rows, minlength=cases) for rows in drawn]).astype(np.float64)  # (block, cases)
        weights = np.full((len(drawn), 1), float(cases)) if everywhere else counts @ present
        block = np.full((len(drawn), values.shape[1]), np.nan)
        np.divide(counts @ filled, weights, out=block, where=weights > 0)
        means[start : start + len(drawn)] = block
    return means


def mean(values: Floats) -> float:
    """The mean of the finite ones among ``values`` (cases,); NaN without any."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else float("nan")


def estimate(observed: float, means: Floats, level: float = 0.95) -> Estimate:
    """``observed`` with the central ``level`` of its resampled ``means`` (samples,)."""
    finite = means[np.isfinite(means)]
    if not finite.size:
        return Estimate(observed, float("nan"), float("nan"))
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(observed, float(low), float(high))
