"""Recall@k: the share of what was wanted that the list holds."""

from __future__ import annotations

from endcap.evaluation.metrics.judged import Judged, PerCase, divide


def recall(judged: Judged, k: int) -> PerCase:
    """``|top k and relevant| / |relevant|``.

    The divisor is the number of relevant items even where that is more than ``k``, so that 1 cannot be reached
    there: the convention of trec_eval, ranx and RecTools. (Some papers divide by ``min(k, |relevant|)``.)
    """
    return divide(judged.hits[:, :k].sum(axis=1).astype(float), judged.sizes)
