"""Intra-list diversity: how different the items of one list are from each other.

Ziegler et al., Improving recommendation lists through topic diversification, WWW 2005 (there as similarity).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from endcap.evaluation.metrics.judged import PerCase
from endcap.types import IntArray, Interactions

BLOCK = 1_000
"""Lists that are worked on at a time: bounds the memory."""


def diversity(lists: IntArray, vectors: Any) -> PerCase:
    """(cases,) ``1 -`` the mean cosine over all pairs of items of each list; NaN where a list has no pair.

    ``vectors``: (n_items, dim), numpy or scipy sparse, unit rows; an item with a zero row (nothing is known of its
    content) is in no pair. No pair is looked at by itself: for unit vectors the sum of the cosines of all pairs
    is ``(|sum of vectors|^2 - n) / 2``.
    """
    known = np.append(_square_norms(vectors) > 0, False)  # the last one stands for the padding -1
    values = np.empty(len(lists))
    for start in range(0, len(lists), BLOCK):
        block = lists[start : start + BLOCK]
        case, place = np.nonzero(known[block])
        n = known[block].sum(axis=1)
        members = csr_array(
            (np.ones(case.size, np.float32), (case, block[case, place])), shape=(len(block), vectors.shape[0])
        )
        values[start : start + BLOCK] = _mean_distance(_square_norms(members @ vectors), n)
    return values


def _mean_distance(total: NDArray[np.float64], n: NDArray[np.int64]) -> PerCase:
    pairs = n * (n - 1)
    mean: PerCase = np.divide(total - n, pairs, out=np.full(n.size, np.nan), where=pairs > 0)
    return 1.0 - mean


def _square_norms(rows: Any) -> NDArray[np.float64]:
    squares = rows.multiply(rows).sum(axis=1) if isinstance(rows, csr_array) else np.square(rows).sum(axis=1)
    return np.asarray(squares, np.float64)


def cooccurrence_vectors(interactions: Interactions) -> Any:
    """(n_items, users) sparse unit rows: who touched the item. The cosine of two rows is the items' co-occurrence.

    For a shop without content vectors: items are alike if the same people touch them.
    """
    cells = np.unique(interactions.item.astype(np.int64) * len(interactions.users) + interactions.user)
    item, user = np.divmod(cells, len(interactions.users)) if cells.size else (cells, cells)
    counts = np.bincount(item, minlength=len(interactions.items))
    values = 1.0 / np.sqrt(counts[item])
    return csr_array((values.astype(np.float32), (item, user)), shape=(counts.size, max(len(interactions.users), 1)))
