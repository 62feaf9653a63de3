"""Precision@k: the share of the list that was wanted."""

from __future__ import annotations

from endcap.evaluation.metrics.judged import Judged, PerCase


def precision(judged: Judged, k: int) -> PerCase:
    """``|top k and relevant| / k``; the divisor is ``k`` for a shorter list too, as in trec_eval."""
    found: PerCase = judged.hits[:, :k].sum(axis=1) / k
    return found
