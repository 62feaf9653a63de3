"""MAP@k: the precision at every hit, averaged. Manning, Raghavan, Schuetze, Introduction to IR, 2008, section 8.4."""

from __future__ import annotations

import numpy as np

from endcap.evaluation.metrics.judged import Judged, PerCase, divide


def average_precision(judged: Judged, k: int) -> PerCase:
    """The sum of ``precision@rank`` over the hits in the top ``k``, divided by ``|relevant|``.

    The divisor is not cut at ``k``, as in trec_eval's ``map_cut`` and in ranx. The mean over the cases is the MAP.
    """
    hits = judged.hits[:, :k]
    at_rank = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)  # (cases, k) precision at every place
    return divide((hits * at_rank).sum(axis=1), judged.sizes)
