"""Hit rate@k: whether the list holds anything that was wanted."""

from __future__ import annotations

from endcap.evaluation.metrics.judged import Judged, PerCase


def hit_rate(judged: Judged, k: int) -> PerCase:
    """1 if the top ``k`` hold a relevant item, else 0; with one relevant item the same as recall."""
    return judged.hits[:, :k].any(axis=1).astype(float)
