"""Spreading a list: each next item is good, and unlike those before it.

Maximal marginal relevance: Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering
documents and producing summaries", SIGIR 1998, https://doi.org/10.1145/290941.291025.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from endcap.types import FloatArray

POOL = 5
"""Times ``k``: so many candidates are looked at for a list of ``k``."""


def spread(scores: FloatArray, vectors: FloatArray, k: int, diversity: float) -> NDArray[np.intp]:
    """(k,) places of the list in order: the next is the greatest of ``(1 - diversity) score - diversity likeness``.

    ``scores`` (n,) best first, taken over the best; ``vectors`` (n, dim) unit rows, a zero row is like nothing.
    Likeness is the greatest cosine with what stands before, at least 0. ``diversity`` 0 leaves the order, 1 looks at
    likeness alone; the best item always stands first. O(k n dim).
    """
    n = scores.size
    best = float(scores[0]) if n else 0.0
    worth = (1.0 - diversity) * (scores / best if best > 0 else scores)
    likeness = np.zeros(n, np.float32)
    left = np.ones(n, np.bool_)
    order = np.empty(min(k, n), np.intp)
    for place in range(order.size):
        value = np.where(left, worth - diversity * likeness, -np.inf) if place else worth
        order[place] = chosen = int(np.argmax(value))  # of equals the one that stood before
        left[chosen] = False
        np.maximum(likeness, vectors @ vectors[chosen], out=likeness)
    return order
