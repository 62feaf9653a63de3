"""Content similarity: items whose text means something near to what the visitor touched. Needs no events of others.

An item without any event is proposed as soon as its vector is there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from endcap.encoders.cache import ItemVectors
from endcap.types import FloatArray, IntArray, Query, Ranking


class Content:
    """Ranks items by the weighted mean of their cosine with the history's last ``recent`` items.

    Each step back in the history counts ``decay`` times as much. An item of the history speaks for its
    ``neighbours`` nearest only (30 find more of what the demo's customers buy next than 100 do): they are computed
    when it is first asked for (one product with the matrix, 0.3 ms for 4,000 items of 512 dimensions) and kept, 8
    bytes each, until the vectors change. After that, a history of ten costs 0.05 ms. One thread at a time.
    """

    def __init__(self, vectors: ItemVectors, neighbours: int = 30, recent: int = 50, decay: float = 0.95) -> None:
        self._vectors = vectors
        self._neighbours = neighbours
        self._recent = recent
        self._decay = decay
        self._forget()

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        places = self._heard(query)
        if places.size == 0:
            return np.empty(0, np.float32)
        near, similarities = self._near(query.history[places])
        parts = similarities * self._shares(query, places)[:, np.newaxis]
        return np.bincount(near.ravel(), weights=parts.ravel(), minlength=len(self._vectors)).astype(np.float32)

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): the parts whose sum over the history is the score of each of ``items``."""
        result = np.zeros((query.history.size, items.size), np.float32)
        places = self._heard(query)
        known = (items >= 0) & (items < len(self._vectors))
        near, similarities = self._near(query.history[places])
        dense = np.zeros(len(self._vectors), np.float32)
        for place, share, rows, values in zip(places, self._shares(query, places), near, similarities, strict=True):
            np.add.at(dense, rows, values * share)  # row 0 may be there as an unused place too
            result[place, known] = dense[items[known]]
            dense[rows] = 0.0
        return result

    def _heard(self, query: Query) -> NDArray[np.intp]:
        """Places in the history that count: the last ``recent`` whose item has a vector."""
        history, has = query.history, self._vectors.has
        inside = (history >= 0) & (history < has.size)
        inside[inside] = has[history[inside]]
        return np.flatnonzero(inside)[-self._recent :]

    def _shares(self, query: Query, places: NDArray[np.intp]) -> FloatArray:
        """(places,) how much each place counts; they add up to 1."""
        steps_back = np.arange(places.size - 1, -1, -1)
        shares = self._decay**steps_back
        if query.weights.size:
            shares *= query.weights[places]
        total = shares.sum()
        return (shares / total if total > 0 else shares).astype(np.float32)

    def _near(self, rows: IntArray) -> tuple[IntArray, FloatArray]:
        """(rows, neighbours) the nearest of each row, and their cosines; unused places are row 0 with cosine 0."""
        if self._version != self._vectors.version:
            self._forget()
        for row in rows[~self._known[rows]].tolist():
            self._look_up(row)
        return self._near_rows[rows], self._near_cosines[rows]

    def _look_up(self, row: int) -> None:
        matrix = self._vectors.matrix
        cosines = matrix @ matrix[row]  # (n_items,)
        cosines[row] = 0.0  # an item does not speak for itself
        near = Ranking.top(cosines, self._neighbours, above=0.0)
        self._near_rows[row, : len(near)] = near.items
        self._near_cosines[row, : len(near)] = near.scores
        self._known[row] = True

    def _forget(self) -> None:
        # The version first: what another thread sets meanwhile is seen at the next query.
        self._version = self._vectors.version
        shape = (len(self._vectors), self._neighbours)
        self._known = np.zeros(shape[0], np.bool_)
        self._near_rows: IntArray = np.zeros(shape, np.int32)  # the system gives memory to touched rows only
        self._near_cosines: FloatArray = np.zeros(shape, np.float32)
