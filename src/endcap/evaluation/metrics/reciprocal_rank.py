"""MRR@k: how far down is the first hit? Voorhees, The TREC-8 question answering track report, 1999."""

from __future__ import annotations

import numpy as np

from endcap.evaluation.metrics.judged import Judged, PerCase


def reciprocal_rank(judged: Judged, k: int) -> PerCase:
    """``1 / rank`` of the first relevant item in the top ``k``, 0 without one; its mean over the cases is the MRR."""
    hits = judged.hits[:, :k]
    if hits.shape[1] == 0:
        return np.zeros(len(hits))
    found: PerCase = hits.any(axis=1) / (1.0 + hits.argmax(axis=1))
    return found
