"""What is in demand, from the state's decayed counts: the same for everybody, and never out of date."""

from __future__ import annotations

from typing import Literal, Self

from endcap.config import StateConfig
from endcap.errors import NotFittedError
from endcap.features.interactions import sound
from endcap.state.item import Popularity as Counts
from endcap.types import FloatArray, Interactions, Query, Ranking

Window = Literal["trending", "popular"]


class Popularity:
    """Ranks items by their decayed count in one window of ``counts``: the state's, live, or after ``fit`` its own.

    O(items) for the first query after the counts have changed, then nothing. After ``fit`` it keeps
    ``20 items`` bytes.
    """

    def __init__(self, counts: Counts | None = None, window: Window = "trending") -> None:
        self._counts = counts
        self.window = window
        self._known: tuple[int, int, FloatArray] | None = None
        """The version and the size of the counts, and the counts: what they were when they were last asked for."""

    def fit(self, interactions: Interactions) -> Self:
        counts = Counts(StateConfig())
        counts.grow(len(interactions.items))
        past = sound(interactions)
        columns = (past.item, past.weight, past.time)
        for item, weight, time in zip(*(column.tolist() for column in columns), strict=True):
            counts.add(item, weight, time)
        self._counts = counts
        return self

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:  # noqa: ARG002  # everybody gets the same
        if self._counts is None:
            raise NotFittedError(self)
        size = self._counts.size
        if self._known is None or self._known[:2] != (self._counts.version, size):
            counts = self._counts.scores(self.window)
            counts.setflags(write=False)  # it is given to everybody
            self._known = (self._counts.version, size, counts)
        return self._known[2]
