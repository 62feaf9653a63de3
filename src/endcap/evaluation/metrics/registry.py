"""The accuracy metrics by name, for many lists at once and for one list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from endcap.evaluation.metrics.average_precision import average_precision
from endcap.evaluation.metrics.hit_rate import hit_rate
from endcap.evaluation.metrics.judged import Judged, PerCase, judge
from endcap.evaluation.metrics.ndcg import ndcg
from endcap.evaluation.metrics.precision import precision
from endcap.evaluation.metrics.recall import recall
from endcap.evaluation.metrics.reciprocal_rank import reciprocal_rank
from endcap.types import IntArray

BatchMetric = Callable[[Judged, int], PerCase]
"""(judged lists, k) -> (cases,)"""

ACCURACY: Mapping[str, BatchMetric] = {
    "recall": recall,
    "precision": precision,
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
    "map": average_precision,
}


@dataclass(frozen=True, slots=True)
class AtK:
    """One metric at one ``k`` as a ``protocols.Metric``: judges a single list."""

    metric: BatchMetric
    k: int

    def __call__(self, ranking: IntArray, relevant: IntArray) -> float:
        """The value for one ``ranking`` (item rows, best first) and the ``relevant`` rows."""
        return float(self.metric(judge(ranking[None, :], [relevant]), self.k)[0])
