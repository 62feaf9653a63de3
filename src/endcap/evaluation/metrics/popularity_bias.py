"""Popularity bias: how much better known the listed items are than what the same person took before.

The difference of the group average popularities of Abdollahpouri, Mansoury, Burke and Mobasher, The unfairness of
popularity bias in recommendation, RMSE workshop 2019, case by case instead of for a group, so that it has an interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from endcap.evaluation.metrics.judged import PerCase
from endcap.types import IntArray


def popularity_bias(lists: IntArray, histories: Sequence[IntArray], popularity: IntArray, n_users: int) -> PerCase:
    """(cases,) mean share of people who know a listed item, less that of an item of the history. 0: true to taste.

    ``lists`` (cases, k) rows padded with -1, ``histories`` (n,) rows each, ``popularity`` (n_items,) of ``n_users`` in
    the training data. NaN where the list or the history is empty.
    """
    share = np.append(popularity / max(n_users, 1), 0.0)  # the last one stands for the padding -1
    sizes = np.fromiter((rows.size for rows in histories), np.int64, len(histories))
    case = np.repeat(np.arange(sizes.size), sizes)
    known = share[np.concatenate([*histories, lists[:0, 0]])]
    before = np.bincount(case, known, minlength=sizes.size).astype(np.float64)
    listed = share[lists].sum(axis=1, dtype=np.float64)
    bias: PerCase = np.subtract(_means(listed, (lists >= 0).sum(axis=1)), _means(before, sizes))
    return bias


def _means(totals: PerCase, counts: NDArray[np.integer]) -> PerCase:
    means: PerCase = np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
    return means
