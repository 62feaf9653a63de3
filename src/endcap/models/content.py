"""Content similarity: items that mean something near to what the visitor touched, or say the same words of it.

Needs no events of others. An item without any event is proposed by its words at once, and by its meaning as soon as
its vector is there. Meaning finds "timepiece" near clocks; words tell series of products that an encoder takes for the
same. Both shares, and how far back the history is heard, were chosen on items of two shops that no reported figure is
of (benchmarks/coldstart.py; ``docs/how-to/cold-start.md`` has the figures).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from endcap.encoders.cache import ItemVectors
from endcap.features.interactions import sound_weights
from endcap.features.words import WordIndex
from endcap.types import BoolArray, FloatArray, IntArray, Query, Ranking

WORDS = 0.4
"""Share of the words in how near two items are; the rest is meaning."""
SHARPNESS = 4
"""The power of the meaning: ten items somewhat near say less than one that is very near."""
FEW = 10
"""So many items that have nothing in common are thought to be there beside the shop's: among a handful of items the
mean cosine says little of what is ordinary."""


class Content:
    """Ranks items by the weighted mean of how near they are to the history's last ``recent`` items.

    How near two items are: of meaning, how far their cosine is above the mean one of the first of them, as a share of
    what is left to 1, to the power of SHARPNESS (so encoders all of whose vectors lie close together are read like
    others); of ``words``, the cosine of their TF-IDF. None: words are not compared.

    Each step back in the history counts ``decay`` times as much. An item of the history speaks for its ``neighbours``
    nearest only: they are computed when it is first asked for (one product with the matrix and the rows that share a
    word, 0.4 ms for 4,000 items of 512 dimensions) and kept, ``8 items neighbours`` bytes when all were asked for,
    until vectors or words change. After that, a history of ten costs 0.05 ms. One thread at a time.
    """

    def __init__(
        self,
        vectors: ItemVectors,
        words: WordIndex | None = None,
        neighbours: int = 30,
        recent: int = 100,
        decay: float = 0.98,
    ) -> None:
        self._vectors = vectors
        self._words = WordIndex() if words is None else words
        self._share = 0.0 if words is None else WORDS
        self._neighbours = neighbours
        self._recent = recent
        self._decay = decay
        self._forget()

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        self._renew()
        places = self._heard(query)
        if places.size == 0:
            return np.empty(0, np.float32)
        near, similarities = self._near(query.history[places])
        parts = similarities * self._shares(query, places)[:, np.newaxis]
        return np.bincount(near.ravel(), weights=parts.ravel(), minlength=self._has.size).astype(np.float32)

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): the parts whose sum over the history is the score of each of ``items``."""
        self._renew()
        result = np.zeros((query.history.size, items.size), np.float32)
        places = self._heard(query)
        known = (items >= 0) & (items < self._has.size)
        near, similarities = self._near(query.history[places])
        dense = np.zeros(self._has.size, np.float32)
        for place, share, rows, values in zip(places, self._shares(query, places), near, similarities, strict=True):
            np.add.at(dense, rows, values * share)  # row 0 may be there as an unused place too
            result[place, known] = dense[items[known]]
            dense[rows] = 0.0
        return result

    def _heard(self, query: Query) -> NDArray[np.intp]:
        """Places in the history that count: the last ``recent`` whose item has a vector or words."""
        history, has = query.history, self._has
        inside = (history >= 0) & (history < has.size)
        inside[inside] = has[history[inside]]
        return np.flatnonzero(inside)[-self._recent :]

    def _shares(self, query: Query, places: NDArray[np.intp]) -> FloatArray:
        """(places,) how much each place counts; they add up to 1."""
        steps_back = np.arange(places.size - 1, -1, -1)
        shares = self._decay**steps_back
        if query.weights.size:
            shares *= sound_weights(query.weights[places])
        total = shares.sum()
        return (shares / total if total > 0 else shares).astype(np.float32)

    def _near(self, rows: IntArray) -> tuple[IntArray, FloatArray]:
        """(rows, neighbours) the nearest of each row, and how near; unused places are row 0, not near at all."""
        for row in rows[~self._known[rows]].tolist():
            self._look_up(row)
        return self._near_rows[rows], self._nearness[rows]

    def _look_up(self, row: int) -> None:
        found = np.zeros(self._has.size, np.float32)
        if row < len(self._vectors):
            meaning = self._meaning(row)
            found[: meaning.size] = (1.0 - self._share) * meaning
        if self._share:
            words = self._words.like(row)
            found[: words.size] += self._share * words
        found[row] = 0.0  # an item does not speak for itself
        near = Ranking.top(found, self._neighbours, above=0.0)
        self._near_rows[row, : len(near)] = near.items
        self._nearness[row, : len(near)] = near.scores
        self._known[row] = True

    def _meaning(self, row: int) -> FloatArray:
        """(vectors,) how near each item is to ``row`` by its vector."""
        matrix = self._vectors.matrix
        cosines = matrix @ matrix[row]
        ordinary = max(float(cosines.sum() - cosines[row]) / (np.count_nonzero(self._vectors.has) + FEW), 0.0)
        above: FloatArray = np.maximum((cosines - ordinary) / (1.0 - ordinary), 0.0)
        return above**SHARPNESS

    def _renew(self) -> None:
        if self._version != (self._vectors.version, self._words.version):
            self._forget()

    def _forget(self) -> None:
        # The versions first: what another thread sets meanwhile is seen at the next query.
        self._version = self._vectors.version, self._words.version
        size = max(len(self._vectors), len(self._words))
        self._has: BoolArray = np.zeros(size, np.bool_)
        for has in (self._vectors.has[:size], self._words.has[:size]):
            self._has[: has.size] |= has
        shape = (self._has.size, self._neighbours)
        self._known = np.zeros(shape[0], np.bool_)
        self._near_rows: IntArray = np.zeros(shape, np.int32)  # the system gives memory to touched rows only
        self._nearness: FloatArray = np.zeros(shape, np.float32)
