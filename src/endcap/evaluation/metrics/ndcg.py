"""NDCG@k: hits count less further down. Jarvelin and Kekalainen, Cumulated gain-based evaluation, TOIS 2002."""

from __future__ import annotations

import numpy as np

from endcap.evaluation.metrics.judged import Judged, PerCase, divide


def ndcg(judged: Judged, k: int) -> PerCase:
    """``DCG / ideal DCG`` with gain 1 for a relevant item and discount ``1 / log2(1 + rank)``.

    The ideal list has its ``min(k, |relevant|)`` first places filled, so that 1 can always be reached.
    """
    discounts = 1.0 / np.log2(np.arange(2, k + 2))  # (k,)
    hits = judged.hits[:, :k]
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])  # by the number of relevant items
    return divide(hits @ discounts[: hits.shape[1]], ideal[np.minimum(judged.sizes, k)])
