"""A chain: what the first has nothing to say about, the next one answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from endcap.protocols import Recommender
from endcap.types import Query, Ranking

STEP = 0.999
"""The next member's best item scores this share of the last item before it, so that the order stays by score."""


class Fallback:
    """Ranks by the first of ``members``, then fills up to ``k`` with what the next ones propose, no item twice."""

    def __init__(self, members: Sequence[Recommender]) -> None:
        self._members = tuple(members)

    def recommend(self, query: Query, k: int) -> Ranking:
        found = Ranking()
        for member in self._members:
            if len(found) >= k:
                break
            found = _joined(found, member.recommend(query, k), k)
        return found


def _joined(first: Ranking, then: Ranking, k: int) -> Ranking:
    fresh = ~np.isin(then.items, first.items)
    items, scores = then.items[fresh][: k - len(first)], then.scores[fresh][: k - len(first)]
    if not len(first) or not items.size:
        return first if len(first) else Ranking(items, scores)
    ceiling = float(first.scores[-1])
    ceiling = ceiling * STEP if ceiling > 0 else ceiling - 1.0
    span = float(scores[0] - scores[-1])
    lowered = ceiling - (scores[0] - scores) / (span or 1.0) * abs(ceiling or 1.0) / 2  # into [ceiling/2, ceiling]
    return Ranking(np.concatenate([first.items, items]), np.concatenate([first.scores, lowered.astype(np.float32)]))
