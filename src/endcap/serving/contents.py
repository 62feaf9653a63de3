"""What the items say, kept ready for similarity and search: vectors by meaning, n-grams by letters.

An item is encoded once, off the request path; until its vector is there it is found by its letters and
proposed by what people do with it.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from endcap.catalog.items import Item
from endcap.encoders.cache import ItemVectors, VectorStore
from endcap.features.text import NgramIndex
from endcap.state.shop import ShopState
from endcap.types import FloatArray, IntArray, Progress


class Contents:
    """Vectors and letters of the listed items, by row."""

    def __init__(self, store: VectorStore, dim: int) -> None:
        self.vectors = ItemVectors(dim)
        self.letters = NgramIndex()
        self._store = store
        self._waiting: dict[int, str] = {}

    def fill(self, shop: ShopState, progress: Progress | None = None) -> None:
        """Take in the whole catalogue; encodes what the store does not hold yet."""
        listed = shop.listed_items()
        for row, item in listed:
            self.letters.add(row, item.title)
        self._store.fill(self.vectors, listed, progress)
        self._waiting.clear()

    def change(self, row: int, item: Item | None) -> None:
        """Note that the item at ``row`` is now ``item``; its vector follows after ``take``, ``encode`` and ``put``."""
        if item is None:
            self.letters.remove(row)
            self._waiting[row] = ""
        else:
            self.letters.add(row, item.title)
            self._waiting[row] = item.text()

    @property
    def waiting(self) -> int:
        """Items whose vector is not up to date."""
        return len(self._waiting)

    def take(self, limit: int) -> tuple[IntArray, list[str]]:
        """At most ``limit`` rows whose text has changed, and the texts; they are the caller's to encode now."""
        taken = list(islice(self._waiting.items(), limit))
        for row, _ in taken:
            del self._waiting[row]
        return np.array([row for row, _ in taken], np.int32), [text for _, text in taken]

    def give_back(self, rows: IntArray, texts: list[str]) -> None:
        """Those that were taken could not be encoded: they wait again, unless they have changed meanwhile."""
        for row, text in zip(rows.tolist(), texts, strict=True):
            self._waiting.setdefault(row, text)

    def encode(self, texts: list[str]) -> FloatArray:
        """(n, dim) the vectors of ``texts``. Any thread."""
        return self._store.vectors(texts)

    def put(self, rows: IntArray, vectors: FloatArray) -> None:
        """Show the vectors to similarity and search."""
        self.vectors.set(rows, vectors)
