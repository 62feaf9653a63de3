"""Feature selection: which one-hot columns are worth learning from, where most of thousands are of a few items.

What a column is worth is judged by pairs of items that came together: ``visits`` (visits, items) holds each item's
share of its visit, and two items of a visit are a pair with the product of their shares.

- variance: how unevenly the column is spread over the items that are touched; needs no pairs.
- mutual information, in nats, between "one item of a pair has it" and "the other one has it": Cover and Thomas,
  "Elements of Information Theory", 2006, section 2.3.
- group lasso (Yuan and Lin, JRSS B 68, 2006): a row of a projection is a group. With the objective of
  ``models/projection.py`` the penalised optimum shrinks each row of the cross-covariance by the same length, so that
  rows stay in the order of their norms: the ``n`` longest are those that the penalty would keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from endcap.types import IntArray

Numbers = NDArray[np.float64]
Selection = Literal["variance", "mutual_information", "group_lasso"]


def select(table: csr_array, visits: csr_array, how: Selection, n: int) -> IntArray:
    """The ``n`` best columns of ``table`` (items, columns), ascending; fewer where fewer say anything at all."""
    scores = SELECTIONS[how](table, visits)
    best = np.argsort(-scores, kind="stable")[:n]
    return np.sort(best[scores[best] > 0]).astype(np.int32)


def variance(table: csr_array, visits: csr_array) -> Numbers:
    """(columns,) of the value in the items that were touched, each as often as it is in a pair."""
    marginal = pair_marginals(visits)
    total = max(float(marginal.sum()), 1e-12)
    first, second = (marginal @ table) / total, (marginal @ (table * table)) / total
    spread: Numbers = np.maximum(second - first**2, 0.0)
    return spread


def mutual_information(table: csr_array, visits: csr_array) -> Numbers:
    """(columns,) nats; a column that every item has, or none, tells nothing."""
    has = _binary(table)
    marginal = pair_marginals(visits)
    total = max(float(marginal.sum()), 1e-12)
    one = (marginal @ has) / total
    both = np.clip(_pairs_with_both(has, visits) / total, 0.0, one)
    neither = np.clip(1.0 - 2.0 * one + both, 0.0, 1.0)
    return _term(both, one * one) + 2.0 * _term(one - both, one * (1.0 - one)) + _term(neither, (1.0 - one) ** 2)


def group_lasso(table: csr_array, visits: csr_array) -> Numbers:
    """(columns,) norms of the rows of the cross-covariance of standardised columns."""
    marginal = pair_marginals(visits)
    total = max(float(marginal.sum()), 1e-12)
    mean = (marginal @ table) / total
    spread = np.sqrt(variance(table, visits))
    at_once = visits @ table  # (visits, columns)
    own = _own_pairs(visits)
    together = (at_once.T @ at_once - table.T @ (table * own[:, None])).toarray() / total  # (columns, columns)
    together -= np.outer(mean, mean)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-12)
    return np.linalg.norm(together * scale, axis=1) * scale  # type: ignore[no-any-return]


SELECTIONS: Mapping[str, Callable[[csr_array, csr_array], Numbers]] = {
    "variance": variance,
    "mutual_information": mutual_information,
    "group_lasso": group_lasso,
}


def pair_marginals(visits: csr_array) -> Numbers:
    """(items,) how often each item is one side of a pair of two different items."""
    return np.asarray(visits.sum(axis=0), np.float64).ravel() - _own_pairs(visits)


def _own_pairs(visits: csr_array) -> Numbers:
    """(items,) how often an item would be paired with itself."""
    squares = visits.data.astype(np.float64) ** 2
    return np.bincount(visits.indices, squares, minlength=visits.shape[1]).astype(np.float64)


def _pairs_with_both(has: csr_array, visits: csr_array) -> Numbers:
    shares = visits @ has  # (visits, columns) the share of the visit that has it
    squares = np.bincount(shares.indices, shares.data.astype(np.float64) ** 2, minlength=has.shape[1])
    return squares - _own_pairs(visits) @ has  # type: ignore[no-any-return]


def _binary(table: csr_array) -> csr_array:
    return csr_array((np.ones(table.nnz), table.indices, table.indptr), shape=table.shape)


def _term(joint: Numbers, independent: Numbers) -> Numbers:
    ratio = np.divide(joint, independent, out=np.ones_like(joint), where=(joint > 0) & (independent > 0))
    return joint * np.log(ratio)
