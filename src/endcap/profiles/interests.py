"""What people are interested in, found without labels: themes, which are groups of items that mean something near.

A theme is a cluster of item vectors, named by the words that set its texts apart (features/clusters.py). A profile is
how much of what somebody did lies in each theme, older events weighing less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from endcap.errors import ModelError
from endcap.features.clusters import best_clusters, keywords, nearest
from endcap.protocols import Arrays
from endcap.state.packing import pack_json, unpack_json
from endcap.types import FloatArray, IntArray, Interactions, Query

KEYWORDS = 5
"""Words that name a theme."""


class Themes:
    """The themes of a shop, by number, and which item is of which. Without any until ``fit`` or ``from_arrays``.

    ``half_life_ms``: after so long an event counts half in a profile.
    """

    def __init__(self, half_life_ms: float) -> None:
        self.half_life_ms = half_life_ms
        self.names: tuple[tuple[str, ...], ...] = ()
        """(themes,) the words of each, the best first."""
        self.people: IntArray = np.zeros(0, np.int32)
        """(themes,) users who did something with one of its items, up to the training."""
        self._centres: FloatArray = np.zeros((0, 0), np.float32)
        self._of: IntArray = np.zeros(0, np.int32)

    def __len__(self) -> int:
        return len(self.names)

    def fit(self, texts: Sequence[tuple[int, str]], vectors: FloatArray, past: Interactions, seed: int) -> Self:
        """Find the themes of ``texts`` (item row, text) by their unit ``vectors`` (rows, dim); zero: none of any.

        The same seed, the same themes. A shop with fewer than 16 items that say anything has none.
        """
        told = [(row, text) for row, text in texts if row < len(vectors) and vectors[row].any()]
        rows = np.array([row for row, _ in told], np.int32)
        self._centres = best_clusters(vectors[rows], seed)
        k = len(self._centres)
        self._of = np.full(len(past.items), -1, np.int32)
        labels = nearest(vectors[rows], self._centres) if k else np.zeros(0, np.int32)
        self._of[rows[: labels.size]] = labels
        self.names = tuple(map(tuple, keywords([text for _, text in told] if k else [], labels, k, KEYWORDS)))
        self.people = (self.profiles(past) > 0).sum(axis=0).astype(np.int32)
        return self

    def of(self, rows: IntArray, vectors: FloatArray | None = None) -> IntArray:
        """(rows,) the theme of each; -1: none. Items that are newer than the themes go by ``vectors`` (items, dim)."""
        found = np.full(rows.size, -1, np.int32)
        learnt = (rows >= 0) & (rows < self._of.size)
        found[learnt] = self._of[rows[learnt]]
        if vectors is not None and len(self):
            newer = np.flatnonzero((rows >= self._of.size) & (rows < len(vectors)))
            newer = newer[vectors[rows[newer]].any(axis=1)]
            found[newer] = nearest(vectors[rows[newer]], self._centres)
        return found

    def profile(self, query: Query, vectors: FloatArray | None = None) -> FloatArray:
        """(themes,) the share of each in ``query.history`` at ``query.now``; they add up to 1, or are all 0."""
        weights = query.weights if query.weights.size else np.ones(query.history.size, np.float32)
        ages = query.now - query.times if query.times.size else np.zeros(query.history.size)
        counted = weights * self._kept(ages)
        nobody = np.zeros(query.history.size, np.int32)
        shares: FloatArray = self._shares(nobody, self.of(query.history, vectors), counted, 1)[0]
        return shares

    def profiles(self, past: Interactions) -> FloatArray:
        """(users, themes) the profile of every user of ``past`` at its newest event: features for a model."""
        newest = int(past.time.max()) if len(past) else 0
        counted = past.weight * self._kept(newest - past.time)
        return self._shares(past.user, self.of(past.item), counted, len(past.users))

    def _kept(self, ages: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.exp2(-np.maximum(ages.astype(np.float64), 0.0) / self.half_life_ms)

    def _shares(self, user: IntArray, theme: IntArray, weight: NDArray[np.generic], users: int) -> FloatArray:
        """(users, themes) the sums of ``weight`` over the events, over what each user has in all."""
        told, k = theme >= 0, len(self)
        sums = np.bincount(user[told].astype(np.int64) * k + theme[told], weight[told], users * k).reshape(users, k)
        totals = np.maximum(sums.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        shares: FloatArray = (sums / totals).astype(np.float32)
        return shares

    def to_arrays(self) -> Arrays:
        return {"centres": self._centres, "of": self._of, "people": self.people, "names": pack_json(self.names)}

    def from_arrays(self, arrays: Arrays) -> Self:
        try:
            names = tuple(map(tuple, unpack_json(np.asarray(arrays["names"], np.uint8))))
            centres, of = np.asarray(arrays["centres"], np.float32), np.asarray(arrays["of"], np.int32)
            people = np.asarray(arrays["people"], np.int32)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError("this is not what themes are kept as: run endcap train") from error
        if not len(names) == len(centres) == people.size or of.max(initial=-1) >= len(names):
            raise ModelError("the themes do not fit one another: run endcap train")
        self.names, self.people, self._centres, self._of = names, people, centres, of
        return self
