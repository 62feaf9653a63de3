"""Search with a photo: the items whose picture is nearest to it; where they have none, those whose words fit it."""

from __future__ import annotations

import numpy as np

from endcap.encoders.bridge import Bridge
from endcap.encoders.cache import ItemVectors
from endcap.types import FloatArray, Query, Ranking

NOTHING = 1e-3
"""A vector so near to the mean looks like nothing: rounding leaves as much."""
BY_WORDS = 0.5
"""How much it counts that an item without a picture is said to be what the photo shows."""


class Photo:
    """Ranks items by the cosine of their picture with ``query.image``, both seen from the catalogue's mean picture.

    Pictures of one shop are all alike, so that what they have in common says nothing; without it, unrelated pictures
    have a cosine about 0, and those below are not proposed. ``bridge``, learnt from pictures to texts, finds items that
    have words only. One product with each matrix.
    """

    def __init__(self, images: ItemVectors, texts: ItemVectors | None = None, bridge: Bridge | None = None) -> None:
        self._images = Centred(images)
        self._texts = None if texts is None else Centred(texts)
        self._bridge = bridge

    def recommend(self, query: Query, k: int) -> Ranking:
        return Ranking.top(self.scores(query), k, above=0.0)

    def scores(self, query: Query) -> FloatArray:
        if query.image is None:
            return np.empty(0, np.float32)
        seen = self._images.cosines(query.image)
        if self._bridge is None or self._texts is None:
            return seen
        said = BY_WORDS * self._texts.cosines(self._bridge.across(query.image[np.newaxis])[0])
        said[: seen.size][self._images.vectors.has[: said.size]] = 0.0
        both = np.zeros(max(seen.size, said.size), np.float32)
        both[: seen.size] += seen
        both[: said.size] += said
        return both


class Centred:
    """Vectors seen from their mean; a single one as it is."""

    def __init__(self, vectors: ItemVectors) -> None:
        self.vectors = vectors
        self._version = -1
        self._mean: FloatArray = np.zeros(vectors.dim, np.float32)
        self._lengths: FloatArray = np.empty(0, np.float32)  # infinite for what is no vector, or is the mean

    def cosines(self, vector: FloatArray) -> FloatArray:
        """(n,) with ``vector`` (dim,), 0 where there is no vector, or the cosine is below 0."""
        self._look()
        from_mean = vector - self._mean
        length = float(np.sqrt(from_mean @ from_mean))
        if length < NOTHING:
            return np.zeros(len(self.vectors), np.float32)
        along = self.vectors.matrix @ from_mean - self._mean @ from_mean
        found: FloatArray = (along / (self._lengths * length)).clip(0.0, 1.0)
        return found

    def _look(self) -> None:
        """The mean, and how far each vector is from it: again where they have changed."""
        if self._version == self.vectors.version:
            return
        self._version = self.vectors.version
        matrix, has = self.vectors.matrix, self.vectors.has
        self._mean = matrix.sum(axis=0) / has.sum() if has.sum() > 1 else np.zeros(self.vectors.dim, np.float32)
        squares = np.einsum("ij,ij->i", matrix, matrix) - 2.0 * (matrix @ self._mean) + self._mean @ self._mean
        far = has & (squares > NOTHING**2)
        self._lengths = np.where(far, np.sqrt(np.maximum(squares, NOTHING**2)), np.inf).astype(np.float32)
