"""Miscalibration: a list should mix the groups of items as its reader did.

Steck, Calibrated recommendations, RecSys 2018. The groups are categories where the catalogue has them, else how popular
an item is: Abdollahpouri, Mansoury, Burke, Mobasher and Malthouse, User-centered evaluation of popularity bias in
recommender systems, UMAP 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from endcap.evaluation.metrics.judged import PerCase
from endcap.types import IntArray

SMOOTHING = 0.01
"""The share of the history's own mix that is added to the list's, so that no group has share 0 (Steck's alpha)."""
HEAD, MIDDLE, TAIL = 0, 1, 2


def miscalibration(lists: IntArray, histories: Sequence[IntArray], groups: IntArray) -> PerCase:
    """(cases,) nats: the Kullback-Leibler divergence of the history's mix of groups from the list's. 0 is calibrated.

    ``lists`` (cases, k) rows padded with -1, ``histories`` (n,) rows each, ``groups`` (n_items,) numbers from 0, -1
    for none. NaN where no item of the list, or none of the history, has a group.
    """
    width = int(groups.max(initial=-1)) + 1
    sizes = np.fromiter((rows.size for rows in histories), np.int64, len(histories))
    case, place = np.nonzero(lists >= 0)
    history = np.concatenate([*histories, lists[:0, 0]])
    wanted = _mix(np.repeat(np.arange(sizes.size), sizes), groups[history], (sizes.size, width))
    shown = _mix(case, groups[lists[case, place]], (sizes.size, width))
    smoothed = (1 - SMOOTHING) * shown + SMOOTHING * wanted
    terms = np.zeros(wanted.shape)
    there = wanted > 0
    terms[there] = wanted[there] * np.log(wanted[there] / smoothed[there])
    divergence: PerCase = terms.sum(axis=1)
    divergence[np.isnan(wanted).any(axis=1) | np.isnan(shown).any(axis=1)] = np.nan
    return divergence


def _mix(case: NDArray[np.int64], group: IntArray, shape: tuple[int, int]) -> NDArray[np.float64]:
    """(cases, groups) the share of each group; NaN in a row without any."""
    known = group >= 0
    counts = np.bincount(case[known] * shape[1] + group[known], minlength=shape[0] * shape[1]).reshape(shape)
    totals = counts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(counts, totals, out=np.full(shape, np.nan), where=totals > 0)
    return shares


def popularity_groups(popularity: IntArray) -> IntArray:
    """(n_items,) HEAD, MIDDLE or TAIL: the most popular items with a third of all touches, the next ones, the rest."""
    order = np.argsort(-popularity, kind="stable")
    before = np.cumsum(popularity[order]) - popularity[order]
    total = max(int(popularity.sum()), 1)
    groups = np.empty(popularity.size, np.int32)
    groups[order] = np.where(popularity[order] > 0, np.minimum(3 * before // total, TAIL), TAIL)
    return groups
