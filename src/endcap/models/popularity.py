"""What is in demand, from the state's decayed counts: the same for everybody, and never out of date."""

from __future__ import annotations

from typing import Literal, Self

from endcap.config import StateConfig
from endcap.errors import NotFittedError
from endcap.state.item import Popularity as Counts
from endcap.types import Interactions, Query, Ranking

Window = Literal["trending", "popular"]


class Popularity:
    """Ranks items by their decayed count in one window of ``counts``: the state's, live, or after ``fit`` its own.

    O(items) for the first query after the counts have changed, then nothing.
    """

    def __init__(self, counts: Counts | None = None, window: Window = "trending") -> None:
        self._counts = counts
        self.window = window
        self._ranked: tuple[int, int, Ranking] | None = None
        """The version of the counts, how many items were asked for, and the ranking: the newest one that was made."""

    def fit(self, interactions: Interactions) -> Self:
        counts = Counts(StateConfig())
        counts.grow(len(interactions.items))
        columns = (interactions.item, interactions.weight, interactions.time)
        for item, weight, time in zip(*(column.tolist() for column in columns), strict=True):
            counts.add(item, weight, time)
        self._counts = counts
        return self

    def recommend(self, query: Query, k: int) -> Ranking:  # noqa: ARG002  # everybody gets the same
        if self._counts is None:
            raise NotFittedError(self)
        version = self._counts.version
        if self._ranked is None or self._ranked[0] != version or self._ranked[1] < k:
            self._ranked = (version, k, _shared(Ranking.top(self._counts.scores(self.window), k, above=0.0)))
        _, made_for, ranking = self._ranked
        return ranking if made_for == k else Ranking(ranking.items[:k], ranking.scores[:k])


def _shared(ranking: Ranking) -> Ranking:
    """``ranking``, safe to give to everybody."""
    ranking.items.setflags(write=False)
    ranking.scores.setflags(write=False)
    return ranking
