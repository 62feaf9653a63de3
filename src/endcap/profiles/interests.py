"""What people are interested in, found without labels: themes, of which each item has a share in one or a few.

A theme is a topic (features/topics.py) or a cluster of item vectors (features/clusters.py), named by the words that set
its texts apart. A profile is how much of what somebody did lies in each theme, older events weighing less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from endcap.errors import ModelError
from endcap.features.clusters import best_clusters, keywords, nearest
from endcap.features.topics import topics
from endcap.protocols import Arrays
from endcap.state.packing import pack_json, unpack_json
from endcap.types import FloatArray, IntArray, Interactions, Query

KEYWORDS = 5
"""Words that name a theme."""


class Themes:
    """The themes of a shop, by number, and the shares that items have in them. None until ``fit`` or ``from_arrays``.

    ``half_life_ms``: after so long an event counts half in a profile. ``kind``: topics, at ``most`` so many, or
    clusters, whose number is found.
    """

    def __init__(self, half_life_ms: float, kind: Literal["topics", "clusters"] = "topics", most: int = 64) -> None:
        self.half_life_ms = half_life_ms
        self.kind = kind
        self.most = most
        self.names: tuple[tuple[str, ...], ...] = ()
        """(themes,) the words of each, the best first."""
        self.people: IntArray = np.zeros(0, np.int32)
        """(themes,) users who did something with one of its items (see ``of``), up to the training."""
        self._centres: FloatArray = np.zeros((0, 0), np.float32)
        self._take(csr_array((0, 0), dtype=np.float32))

    def __len__(self) -> int:
        return len(self.names)

    def fit(self, texts: Sequence[tuple[int, str]], vectors: FloatArray, past: Interactions, seed: int) -> Self:
        """Find the themes of ``texts`` (item row, text), unit ``vectors`` (rows, dim; zero: unknown) and ``past``.

        A cluster is of items that have both a text and a vector, a topic of those that have a text or a past. The same
        seed gives the same themes. A shop with fewer than 16 such items has none.
        """
        texts = [(row, text) for row, text in texts if row < len(past.items)]
        if self.kind == "topics":
            self._take(topics(texts, past, self.most, seed))
            self._centres = _mean_directions(self._shares, vectors)
        else:
            self._take(self._clustered(texts, vectors, len(past.items), seed))
        rows = np.array([row for row, _ in texts], np.int32)
        self.names = tuple(map(tuple, keywords([text for _, text in texts], self._shares[rows], KEYWORDS)))
        theme, k = self.of(past.item), len(self)
        met = np.unique(past.user[theme >= 0].astype(np.int64) * k + theme[theme >= 0])
        self.people = np.bincount(met % max(k, 1), minlength=k).astype(np.int32)
        return self

    def _clustered(self, texts: Sequence[tuple[int, str]], vectors: FloatArray, items: int, seed: int) -> csr_array:
        rows = np.array([row for row, _ in texts if row < len(vectors) and vectors[row].any()], np.int32)
        self._centres = best_clusters(vectors[rows], seed)
        of = np.full(items, -1, np.int32)
        if len(self._centres):
            of[rows] = nearest(vectors[rows], self._centres)
        return _wholly(of, len(self._centres))

    def _take(self, shares: csr_array) -> None:
        """``shares`` (items, themes): a row adds up to 1, or is empty."""
        self._shares = shares
        row = np.repeat(np.arange(shares.shape[0]), np.diff(shares.indptr))
        order = np.lexsort((shares.indices, -shares.data, row))
        self._of = np.full(shares.shape[0], -1, np.int32)
        known = np.diff(shares.indptr) > 0
        self._of[known] = shares.indices[order][shares.indptr[:-1][known]]

    def of(self, rows: IntArray, vectors: FloatArray | None = None) -> IntArray:
        """(rows,) the theme that each has most of; -1: none.

        Items that are newer than the themes are of the one whose centre is nearest to their vector of ``vectors``
        (items, dim).
        """
        found = np.full(rows.size, -1, np.int32)
        learnt = (rows >= 0) & (rows < self._of.size)
        found[learnt] = self._of[rows[learnt]]
        if vectors is not None and len(self):
            newer = np.flatnonzero((rows >= self._of.size) & (rows < len(vectors)))
            newer = newer[vectors[rows[newer]].any(axis=1)]
            found[newer] = nearest(vectors[rows[newer]], self._centres)
        return found

    def shares(self, rows: IntArray, vectors: FloatArray | None = None) -> csr_array:
        """(rows, themes) the share of each theme in each item; a row adds up to 1, or is empty. Newer: as ``of``."""
        learnt = np.flatnonzero((rows >= 0) & (rows < self._of.size))
        known = coo_array(self._shares[rows[learnt]])
        newer = self.of(rows, vectors)
        newer[learnt] = -1
        new = coo_array(_wholly(newer, len(self)))
        row, column = np.append(learnt[known.row], new.row), np.append(known.col, new.col)
        return csr_array((np.append(known.data, new.data), (row, column)), shape=(rows.size, len(self)))

    def profile(self, query: Query, vectors: FloatArray | None = None) -> FloatArray:
        """(themes,) the share of each in ``query.history`` at ``query.now``; they add up to 1, or are all 0."""
        weights = query.weights if query.weights.size else np.ones(query.history.size, np.float32)
        ages = query.now - query.times if query.times.size else np.zeros(query.history.size)
        counted = weights * self._kept(ages)
        profile: FloatArray = _over_their_sum((counted @ self.shares(query.history, vectors))[None, :])[0]
        return profile

    def profiles(self, past: Interactions) -> FloatArray:
        """(users, themes) the profile of every user of ``past`` at its newest event: features for a model."""
        newest = int(past.time.max()) if len(past) else 0
        counted = past.weight * self._kept(newest - past.time)
        done = csr_array((counted, (past.user, past.item)), shape=(len(past.users), len(past.items)))
        return _over_their_sum((done @ self.shares(np.arange(len(past.items), dtype=np.int32))).toarray())

    def _kept(self, ages: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.exp2(-np.maximum(ages.astype(np.float64), 0.0) / self.half_life_ms)

    def to_arrays(self) -> Arrays:
        return {
            "centres": self._centres,
            "of": self._shares.indices.astype(np.int32),
            "shares": self._shares.data,
            "starts": self._shares.indptr.astype(np.int64),
            "people": self.people,
            "names": pack_json(self.names),
        }

    def from_arrays(self, arrays: Arrays) -> Self:
        try:
            names = tuple(map(tuple, unpack_json(np.asarray(arrays["names"], np.uint8))))
            centres, of = np.asarray(arrays["centres"], np.float32), np.asarray(arrays["of"], np.int32)
            people = np.asarray(arrays["people"], np.int32)
            if arrays.keys().isdisjoint(("shares", "starts")):  # of a version from before items had shares
                shares = _wholly(of, len(names))
            else:
                parts = np.asarray(arrays["shares"], np.float32), of, np.asarray(arrays["starts"])
                shares = csr_array(parts, shape=(parts[2].size - 1, len(names)))
            shares.check_format(full_check=True)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError("this is not what themes are kept as: run endcap train") from error
        if not len(names) == len(centres) == people.size:
            raise ModelError("the themes do not fit one another: run endcap train")
        self.names, self.people, self._centres = names, people, centres
        self._take(shares)
        return self


def _wholly(of: IntArray, themes: int) -> csr_array:
    """(n, themes) 1 in the theme that ``of`` (n,) names; nothing where that is -1."""
    rows = np.flatnonzero(of >= 0)
    return csr_array((np.ones(rows.size, np.float32), (rows, of[rows])), shape=(of.size, themes))


def _mean_directions(shares: csr_array, vectors: FloatArray) -> FloatArray:
    """(themes, dim) the unit mean of ``vectors`` (items, dim), weighted by ``shares``; 0 where no item has any."""
    both = min(shares.shape[0], len(vectors))
    sums = shares[:both].T @ vectors[:both]
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    means: FloatArray = (sums / np.maximum(lengths, 1e-12)).astype(np.float32)
    return means


def _over_their_sum(sums: NDArray[np.generic]) -> FloatArray:
    """``sums`` (n, themes) as shares of their row."""
    totals = np.maximum(sums.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    shares: FloatArray = (sums / totals).astype(np.float32)
    return shares
