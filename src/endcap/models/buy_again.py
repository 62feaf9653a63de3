"""Buying again: which bought items somebody is likely to buy once more now, and from when on.

The modified Poisson-Gamma model with the repeat customer probability of Bhagat, Muralidharan, Lobzhanidze and
Vishwanath: Buy It Again: Modeling Repeat Purchase Recommendations, KDD 2018. There each product's Gamma prior is fitted
by maximum likelihood; here it has the shape PRIOR and the product's own typical interval, which most products have too
few repeats to tell apart from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from endcap.errors import ModelError, NotFittedError
from endcap.features.interactions import sound
from endcap.protocols import Arrays
from endcap.state.shop import NEVER
from endcap.types import MS_PER_DAY, FloatArray, IntArray, Interactions, Query, Ranking, TimeArray

SAME_DAYS = 0.5
"""Purchases of one item by one user less than that apart are one purchase: a correction, or a second line."""
STRENGTH = 5.0
"""The shop's own interval and rate count as much as that many observations of an item."""
PRIOR = 2.0
"""Purchases that an item's typical interval counts as, beside the user's own: of 0.5 to 4 the best for Online Retail
and The Complete Journey, the two shops of benchmarks/buy_again.py; 1 and 4 are within 4 % of it."""


@dataclass(frozen=True, slots=True)
class _Bought:
    """What one user bought: (n,) columns, an item each."""

    rows: IntArray
    times: IntArray
    """How many times."""
    since: FloatArray | None
    """Days since the last; None where times are not known."""


class BuyAgain:
    """Ranks what the user has bought by how likely it is bought again now. Says nothing of anything else.

    ``fit`` takes O(n log n) for n interactions; a query O(history + items); the model keeps ``8 items`` bytes. Without
    times each item is as if just due.
    """

    _rate: FloatArray | None = None

    def __init__(self, due_after: float = 0.25) -> None:
        """``due_after``: the share of the typical interval after which what was bought is due again."""
        self.due_after = due_after
        self._interval: FloatArray = np.zeros(0, np.float32)
        self._typical = np.float32(np.inf)

    def fit(self, interactions: Interactions) -> Self:
        past = sound(interactions)
        bought = past.where(past.bought) if past.bought.size else past
        order = np.lexsort((bought.time, bought.item, bought.user))
        user, item = bought.user[order], bought.item[order]
        days = np.diff(bought.time[order]) / MS_PER_DAY
        same = (user[1:] == user[:-1]) & (item[1:] == item[:-1])
        again = same & (days >= SAME_DAYS)
        starts = np.flatnonzero(np.concatenate([np.ones(min(1, item.size), np.bool_), ~same]))
        size = len(interactions.items)
        repeated = np.unique(np.searchsorted(starts, np.flatnonzero(again) + 1, side="right") - 1)
        buyers, back = (np.bincount(item[at], minlength=size) for at in (starts, starts[repeated]))
        share = repeated.size / max(starts.size, 1)
        self._rate = ((back + STRENGTH * share) / (buyers + STRENGTH)).astype(np.float32)
        logs, of = np.log(days[again]), item[1:][again]
        typical = float(logs.mean()) if logs.size else np.inf
        sums, counts = np.bincount(of, logs, size), np.bincount(of, minlength=size)
        self._interval = np.exp((sums + STRENGTH * typical) / (counts + STRENGTH)).astype(np.float32)
        self._typical = np.float32(np.exp(typical))
        return self

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        if self._rate is None:
            raise NotFittedError(self)
        scores = np.zeros(self._rate.size, np.float32)
        bought = _purchases(query, self._rate.size)
        interval = self._interval[bought.rows]
        if not bought.rows.size or not np.isfinite(self._typical):
            return scores
        since = interval if bought.since is None else bought.since
        # Right after a purchase the next one is not near: the rate rises towards the typical interval, then falls.
        waited = np.where(since < 2 * interval, np.abs(interval - since), since)
        scores[bought.rows] = self._rate[bought.rows] * (bought.times + PRIOR) / (waited + PRIOR * interval)
        return scores

    def due(self, query: Query) -> tuple[IntArray, TimeArray]:
        """The rows of what was bought, each once, and from when on (milliseconds since 1970) each is due again.

        An item that is newer than the model is taken for a typical one; where nobody ever bought again, nothing is
        ever due.
        """
        if self._rate is None:
            raise NotFittedError(self)
        rows, last = _last_bought(query)
        interval = np.full(rows.size, self._typical, np.float64)
        known = rows < self._interval.size
        interval[known] = self._interval[rows[known]]
        wait = np.where(np.isfinite(interval), interval, 0.0) * self.due_after * MS_PER_DAY
        return rows, np.where(np.isfinite(interval), last + wait.astype(np.int64), NEVER)

    def to_arrays(self) -> Arrays:
        if self._rate is None:
            raise NotFittedError(self)
        return {"rate": self._rate, "interval": self._interval, "typical": np.array([self._typical], np.float32)}

    def from_arrays(self, arrays: Arrays) -> Self:
        found = {name: np.asarray(arrays.get(name, ()), np.float32) for name in ("rate", "interval", "typical")}
        if len({one.shape for one in (found["rate"], found["interval"])}) > 1 or found["typical"].shape != (1,):
            raise ModelError("this is not what buy-again learns: run endcap train")
        self._rate, self._interval = found["rate"], found["interval"]
        self._typical = np.float32(found["typical"][0])
        return self


def not_due(model: BuyAgain, query: Query) -> IntArray:
    """The rows of what was bought and is not due again at ``query.now``."""
    rows, due = model.due(query)
    return rows[due > query.now]


def seen_before(model: BuyAgain, query: Query) -> IntArray:
    """The rows of the history, each once, without what was bought and is due again at ``query.now``."""
    rows, due = model.due(query)
    return np.setdiff1d(query.history, rows[due <= query.now]).astype(np.int32)


def _own(query: Query) -> tuple[IntArray, TimeArray]:
    """The purchases of the history, with their times (0 where they are not known)."""
    times = query.times if query.times.size else np.zeros(query.history.size, np.int64)
    kept = query.history >= 0
    if query.bought.size:
        kept &= query.bought
    return query.history[kept], times[kept]


def _last_bought(query: Query) -> tuple[IntArray, TimeArray]:
    rows, times = _own(query)
    found, at = np.unique(rows, return_inverse=True)
    last = np.zeros(found.size, np.int64)
    np.maximum.at(last, at, times)
    return found.astype(np.int32), last


def _purchases(query: Query, size: int) -> _Bought:
    """What was bought of the first ``size`` items."""
    rows, times = _own(query)
    rows, times = rows[rows < size], times[rows < size]
    order = np.lexsort((times, rows))
    rows, times = rows[order], times[order]
    found, first, counts = np.unique(rows, return_index=True, return_counts=True)
    if not query.times.size:
        return _Bought(found, counts.astype(np.int32), None)
    last = first + counts - 1
    other = np.diff(times, prepend=times[:1]) >= SAME_DAYS * MS_PER_DAY
    other[first] = True
    numbers = np.add.reduceat(other, first, dtype=np.int32) if found.size else np.zeros(0, np.int32)
    since = np.maximum((query.now - times[last]) / MS_PER_DAY, 0.0).astype(np.float32)
    return _Bought(found, numbers, since)
