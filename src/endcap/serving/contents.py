"""What the items say and show, kept ready for similarity and search: vectors by meaning, words, n-grams by letters.

An item is encoded once, off the request path; until its vector is there it is found by its letters and
proposed by its words and by what people do with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Self

import numpy as np

from endcap.catalog.items import Item
from endcap.encoders.cache import ItemVectors, VectorStore
from endcap.encoders.fusion import joined
from endcap.features.text import NgramIndex
from endcap.features.words import WordIndex
from endcap.protocols import Encoder, ImageEncoder
from endcap.types import FloatArray, IntArray, Progress

IMAGE_WEIGHT = 0.3
"""How much the picture says of what an item is like; the text says the rest."""

Reader = Callable[[Sequence[Item], Progress | None], FloatArray]
"""(n, dim) the vectors of one modality of n items; what was encoded before is looked up. Any thread."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How items and queries become vectors: what a model version goes with."""

    texts: Reader
    queries: Encoder[str]
    """Of the same space as the texts."""
    name: str
    """Of the encoder of the texts."""
    remote: bool = False
    """Whether another server reads the queries: then they are read off the loop, within a time."""
    pictures: Reader | None = None
    """None: no pictures are looked at."""
    images: ImageEncoder | None = None
    """Of the same space as the pictures: for photos that somebody searches with."""

    @classmethod
    def of_texts(cls, store: VectorStore, queries: Encoder[str]) -> Self:
        """Texts alone: those of items kept in ``store``, by the encoder that reads ``queries`` too."""
        return cls(store.of_items, queries, queries.name)

    def load(self) -> None:
        """Load what reads queries and photos: the first that came would wait a second. Raises as they do."""
        self.queries.encode(["ready"])
        if self.images is not None:
            self.images.load()

    @property
    def names(self) -> tuple[str, str]:
        """Of the encoders: equal where all vectors are of the same spaces."""
        return self.name, "" if self.images is None else self.images.name


class Contents:
    """Vectors, words and letters of the listed items, by row."""

    def __init__(self, reading: Reading, letters: NgramIndex | None = None, words: WordIndex | None = None) -> None:
        self.reading = reading
        self.letters = NgramIndex() if letters is None else letters
        """Of the titles, for search: a mistyped word is near to what was meant."""
        self.words = WordIndex() if words is None else words
        """Of all that is said of an item, for similarity."""
        self.texts = ItemVectors(reading.queries.dim)
        """What search compares with."""
        self.images = None if reading.images is None else ItemVectors(reading.images.dim)
        """The vectors of the pictures; None where none are looked at."""
        self.vectors = self.texts if self.images is None else ItemVectors(self.texts.dim + self.images.dim)
        """What similarity compares: of all that is known of an item."""
        self._waiting: dict[int, Item | None] = {}
        self._successor: Contents | None = None

    def fill(self, listed: Sequence[tuple[int, Item]], progress: Progress | None = None) -> None:
        """Take in the whole catalogue; encodes what was not encoded before."""
        for row, item in listed:
            self.letters.add(row, item.title)
            self.words.put(row, item)
        self.encode_all(listed, progress)
        self._waiting.clear()

    def encode_all(self, listed: Sequence[tuple[int, Item]], progress: Progress | None = None) -> None:
        """The same without letters and words, and without forgetting what has changed meanwhile."""
        rows = np.array([row for row, _ in listed], np.int32)
        self.put(rows, self.encode([item for _, item in listed], progress))

    def get_ready(self, listed: Sequence[tuple[int, Item]]) -> None:
        """Encode the whole catalogue and load what reads queries: then these contents can serve. Any thread."""
        self.encode_all(listed)
        self.reading.load()

    def succeeded_by(self, reading: Reading) -> Contents:
        """Contents by other encoders, without vectors, with the same words and letters. Changes here wait there too."""
        self._successor = Contents(reading, self.letters, self.words)
        return self._successor

    def change(self, row: int, item: Item | None) -> None:
        """Note that the item at ``row`` is now ``item``; its vector follows after ``take``, ``encode`` and ``put``."""
        if item is None:
            self.letters.remove(row)
        else:
            self.letters.add(row, item.title)
        self.words.put(row, item)
        self._note(row, item)

    def _note(self, row: int, item: Item | None) -> None:
        self._waiting[row] = item
        if self._successor is not None:
            self._successor._note(row, item)

    @property
    def waiting(self) -> int:
        """Items whose vector is not up to date."""
        return len(self._waiting)

    def take(self, limit: int) -> tuple[IntArray, list[Item | None]]:
        """At most ``limit`` rows that have changed, and their items; they are the caller's to encode now."""
        taken = list(islice(self._waiting.items(), limit))
        for row, _ in taken:
            del self._waiting[row]
        return np.array([row for row, _ in taken], np.int32), [item for _, item in taken]

    def give_back(self, rows: IntArray, items: Sequence[Item | None]) -> None:
        """Those that were taken could not be encoded: they wait again, unless they have changed meanwhile."""
        for row, item in zip(rows.tolist(), items, strict=True):
            self._waiting.setdefault(row, item)

    def encode(self, items: Sequence[Item | None], progress: Progress | None = None) -> tuple[FloatArray, ...]:
        """(n, dim) of each modality: what ``items`` say, and show; zero rows for those that are gone. Any thread."""
        there = [place for place, item in enumerate(items) if item is not None]
        known = [item for item in items if item is not None]
        readers = [self.reading.texts] if self.reading.pictures is None else [self.reading.texts, self.reading.pictures]
        dims = [self.texts.dim] if self.images is None else [self.texts.dim, self.images.dim]
        found = []
        for reader, dim in zip(readers, dims, strict=True):
            vectors = np.zeros((len(items), dim), np.float32)
            if known:
                vectors[there] = reader(known, progress)
            found.append(vectors)
        return tuple(found)

    def put(self, rows: IntArray, vectors: Sequence[FloatArray]) -> None:
        """Show the vectors, as ``encode`` gave them, to similarity and search."""
        self.texts.set(rows, vectors[0])
        if self.images is not None:
            self.images.set(rows, vectors[1])
            self.vectors.set(rows, joined(vectors, (1.0 - IMAGE_WEIGHT, IMAGE_WEIGHT)))
