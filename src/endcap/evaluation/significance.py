"""How sure is a mean over cases? The paired bootstrap: Efron, 1979; for systems on common cases Sakai, SIGIR 2006.

A sample draws as many cases as there are, with replacement, and every model is judged on the same drawn cases: the
hard and the easy ones strike all models alike, so that differences are known better than the means themselves.
Of many comparisons some would look significant by chance: Holm, A simple sequentially rejective multiple test
procedure, Scandinavian Journal of Statistics 6, 1979.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

BLOCK = 50
"""Samples that are drawn at a time: bounds the memory."""
LEVEL = 0.05
"""The chance that we take of calling any of a family of differences significant where there is none."""
SAMPLES_A_PAIR = 100
"""So many times more samples than comparisons: a p value must be able to fall well below LEVEL / comparisons."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over the cases with its percentile interval."""

    mean: float
    low: float
    high: float


def bootstrap_means(values: Floats, samples: int, seed: int, groups: Integers | None = None) -> Floats:
    """(samples, columns): the column means of ``values`` (cases, columns) over resampled cases.

    All columns share the drawn cases. NaN means that a case has no value in that column; it is left out of that
    mean. ``groups`` (cases,) numbers from 0 what each case belongs to, a session say: the cases of one are not
    independent, so whole groups are drawn (Field, Welsh, "Bootstrapping clustered data", JRSS B 69, 2007, section 2).
    Takes O(samples * cases * columns) time, with groups for cases.
    """
    rng = np.random.default_rng(seed)
    present = np.isfinite(values)
    filled = np.where(present, values, 0.0)
    everywhere = bool(present.all()) and groups is None
    held = present.astype(np.float64)
    if groups is not None:
        filled, held = _sums(filled, groups), _sums(held, groups)  # (groups, columns)
    cases = len(filled)
    means = np.empty((samples, values.shape[1]))
    for start in range(0, samples, BLOCK):
        drawn = [rng.integers(0, cases, cases) for _ in range(min(BLOCK, samples - start))]
        counts = np.stack([np.bincount(rows, minlength=cases) for rows in drawn]).astype(np.float64)  # (block, cases)
        weights = np.full((len(drawn), 1), float(cases)) if everywhere else counts @ held
        block = np.full((len(drawn), values.shape[1]), np.nan)
        np.divide(counts @ filled, weights, out=block, where=weights > 0)
        means[start : start + len(drawn)] = block
    return means


def _sums(values: Floats, groups: Integers) -> Floats:
    """(groups, columns) of ``values`` (cases, columns)."""
    return np.stack([np.bincount(groups, weights=column) for column in values.T], axis=1)


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


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same cases."""

    better: str
    worse: str
    difference: Estimate
    """``better`` minus ``worse``, at least 0, with its 95 % interval, which is not corrected."""
    p: float
    """Of a difference at least as great if there were none."""
    adjusted: float
    """The same after Holm's correction over all comparisons."""

    @property
    def significant(self) -> bool:
        """Whether one may say that the better one beats the other."""
        return self.adjusted < LEVEL


def compare(
    values: Mapping[str, Floats], samples: int, seed: int, groups: Integers | None = None
) -> tuple[Comparison, ...]:
    """Every two models by one metric, where higher is better: ``values`` (cases,) each, by model.

    The p value is that of the paired bootstrap test with the shift method (Sakai, SIGIR 2006, figure 5), two-sided; of
    at least ``samples`` samples, more where there are many comparisons. ``groups`` as in ``bootstrap_means``. The
    surest first.
    """
    pairs = list(combinations(values, 2))
    if not pairs:
        return ()
    names = list(values)
    columns = np.stack(list(values.values()), axis=1)
    means = bootstrap_means(columns, max(samples, SAMPLES_A_PAIR * len(pairs)), seed, groups)
    found = []
    for one, other in pairs:
        drawn = means[:, names.index(one)] - means[:, names.index(other)]
        observed = mean(values[one]) - mean(values[other])
        better, worse, way = (one, other, 1.0) if observed >= 0 else (other, one, -1.0)
        as_far = np.abs(drawn - observed) >= abs(observed)
        p = (1 + int(as_far.sum())) / (1 + as_far.size)
        found.append((better, worse, estimate(way * observed, way * drawn), p))
    adjusted = holm([p for *_, p in found])
    compared = (Comparison(*one, after) for one, after in zip(found, adjusted, strict=True))
    return tuple(sorted(compared, key=lambda one: (one.p, -one.difference.mean)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values of a family of tests, corrected: below ``LEVEL``, the family errs at most that often."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)  # the smallest times all, the next one times all but one, ...
    raised = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    adjusted = np.empty(len(p_values))
    adjusted[order] = raised
    return [float(p) for p in adjusted]
