"""Which item of the history an explanation cites for a part: one without which the part would be smaller.

What an item adds to a score, as a model shares it out, is not what would be missing without it. Session kNN without it
hears an older item and other neighbours, and a blend scales every member by its best. So the items that say most are
taken away in turn, and the proposals made again.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from endcap.models.ensemble import Blend, Proposals
from endcap.protocols import Evidence
from endcap.types import FloatArray, IntArray, Query

CANDIDATES = 5
"""Items of the history tried for a place, from the one that says most on; if all fail, none is cited."""
MOST = 16
"""Items taken away for one list, one or two milliseconds each: an explanation holds up other requests no longer."""


class Witnesses:
    """The items that may be cited for what ``blend`` proposes to ``query``. Each one taken away costs one proposal."""

    def __init__(self, blend: Blend, query: Query) -> None:
        self._blend = blend
        self._query = query
        self._whole = blend.propose(query)
        self._without: dict[int, Proposals] = {}

    def cited(self, name: str, evidence: Evidence, rows: IntArray, places: IntArray) -> dict[int, int]:
        """By place in the list ``rows``, of ``places``: the item of the history that part ``name`` rests on, if any."""
        history = self._query.history
        if history.size == 0 or places.size == 0 or name not in self._whole.names:
            return {}
        part = self._whole.names.index(name)
        shares = evidence.contributions(self._query, rows[places])  # (history, places)
        found = {}
        for place, said in zip(places.tolist(), shares.T, strict=True):
            item = self._first_that_matters(part, int(rows[place]), said)
            if item is not None:
                found[place] = item
        return found

    def _first_that_matters(self, part: int, row: int, said: FloatArray) -> int | None:
        most = np.argsort(-said, kind="stable")[: int((said > 0).sum())]
        items = list(dict.fromkeys(self._query.history[most].tolist()))[:CANDIDATES]
        share, score = _share(self._whole, part, row), _score(self._whole, row)
        for item in items:
            after = self._taken_away(item)
            if after is not None and _share(after, part, row) < share and _score(after, row) < score:
                return int(item)
        return None

    def _taken_away(self, item: int) -> Proposals | None:
        found = self._without.get(item)
        if found is None and len(self._without) < MOST:
            found = self._without[item] = self._blend.propose(without(self._query, item))
        return found


def without(query: Query, item: int) -> Query:
    """``query`` by somebody who never touched ``item``."""
    kept = query.history != item
    return replace(
        query,
        history=query.history[kept],
        weights=query.weights[kept] if query.weights.size else query.weights,
        times=query.times[kept] if query.times.size else query.times,
        session=query.session[query.session != item],
    )


def _share(proposals: Proposals, part: int, row: int) -> float:
    return float(proposals.parts[part, row]) if row < proposals.parts.shape[1] else 0.0


def _score(proposals: Proposals, row: int) -> float:
    return float(proposals.parts[:, row].sum()) if row < proposals.parts.shape[1] else 0.0
