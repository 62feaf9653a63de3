"""The extension points. Everything else is composed of these by wrapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from endcap.types import FloatArray, IntArray, Interactions, Query, Ranking, Record, Rewrite

Arrays = Mapping[str, NDArray[np.generic]]
Content = TypeVar("Content", contravariant=True)  # noqa: PLC0105
"""What an encoder reads: a text (str), or the bytes of an image file."""


class Recommender(Protocol):
    """Ranks items for a query. It proposes and never hides: hiding is the business of ranking."""

    def recommend(self, query: Query, k: int) -> Ranking:
        """At most ``k`` items, best first; empty when it has nothing to go on, never an error.

        Rows that the model has not learnt (newer items) are ignored. Raises NotFittedError before it has
        learnt anything.
        """
        ...


class Scorer(Recommender, Protocol):
    """A recommender that judges every item at once: what a blend is made of."""

    def scores(self, query: Query) -> FloatArray:
        """(rows,) by item row, never NaN; 0 or less says nothing. ``recommend`` gives the best of those above 0.

        Shorter than the catalogue where the last rows have not been learnt, empty when it has nothing to go on.
        For reading only.
        """
        ...


class Trainable(Protocol):
    """Learns from the past in one go; fitting again forgets the earlier fit. Same seed, same result."""

    def fit(self, interactions: Interactions) -> Self: ...


class TrainableRecommender(Recommender, Trainable, Protocol):
    """A recommender that must be fitted first."""


class Storable(Protocol):
    """What was learnt, as arrays: saved without pickle, loaded into a new instance of the same settings."""

    def to_arrays(self) -> Arrays: ...

    def from_arrays(self, arrays: Arrays) -> Self:
        """Takes over ``arrays``. Raises ModelError if they are not what ``to_arrays`` gives."""
        ...


class Learner(Scorer, Trainable, Storable, Protocol):
    """A recommender with learnt weights: what a model folder holds."""


class Evidence(Protocol):
    """Says which item of the history speaks for a proposed one."""

    def contributions(self, query: Query, items: IntArray) -> FloatArray:
        """(history, items): how much each item of ``query.history`` adds to the score of each of ``items``."""
        ...


class Encoder(Protocol[Content]):
    """Content to vectors, by a pretrained model."""

    @property
    def name(self) -> str:
        """Changes whenever the vectors would: vectors of two names never meet."""
        ...

    @property
    def dim(self) -> int: ...

    def encode(self, contents: Sequence[Content], /) -> FloatArray:
        """(n, dim) float32, unit rows; a zero row where there is nothing to read."""
        ...


class ImageEncoder(Encoder[bytes], Protocol):
    """Image files to vectors; those that cannot be read have a zero row."""

    def load(self) -> None:
        """Get ready now instead of at the first picture. Raises ModelError if it cannot encode."""
        ...

    def query(self, image: bytes, /) -> FloatArray:
        """(dim,) the vector of a picture that somebody searches with.

        Raises InvalidFieldError, naming ``image``, for one that cannot be read.
        """
        ...


class Transcriber(Protocol):
    """Speech to text, by a pretrained model."""

    @property
    def name(self) -> str: ...

    def transcribe(self, audio: bytes, words: Sequence[str] = ()) -> str:
        """What is said in ``audio`` (the bytes of a file), helped by ``words`` that may be expected; "" for silence.

        Raises InvalidFieldError, naming ``audio``, for what is not sound.
        """
        ...


class Log(Protocol):
    """The one ordered log."""

    def append(self, records: Sequence[Record]) -> list[int | None]:
        """The offset of each record, None for a duplicate. Durable (fsync) when this returns."""
        ...

    def read(self, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
        """Records with an offset greater than ``after``, in order, each with its offset."""
        ...

    def find(self, key: str) -> tuple[int, Record] | None:
        """The record with that key, with its offset."""
        ...

    def keys(self, prefix: str) -> list[str]:
        """The keys of records that begin with ``prefix``, in the order of the records."""
        ...

    def expire(self, kind: str, before: int, limit: int) -> int:
        """Delete at most ``limit`` of the oldest records of ``kind`` with a time before ``before``. How many."""
        ...

    def rewrite(self, after: int, decide: Callable[[Sequence[tuple[int, Record]]], Rewrite | None]) -> list[int | None]:
        """Change the past in one transaction, durably: the one way to do so, for erasures.

        ``decide`` is given the records with an offset greater than ``after`` at a moment when nobody else can write,
        and says what changes; None, or what it raises, leaves the log as it is. Offsets keep their meaning, and are
        not given again. The offset of each record that is appended, None for a duplicate.
        """
        ...

    def compact(self) -> None:
        """What was deleted or changed leaves no bytes on the disk when this returns. Writers wait meanwhile."""
        ...

    def last_offset(self) -> int:
        """The offset of the newest record, 0 for an empty log. Sees what other processes appended."""
        ...

    def close(self) -> None: ...


Attribute = str | bool | int | float
"""What is said of a request in its trace."""


class Tracer(Protocol):
    """Told where the time of a request goes. Costs next to nothing where nobody wants to know."""

    def request(
        self, headers: Mapping[bytes, bytes], attributes: Mapping[str, Attribute]
    ) -> AbstractContextManager[object]:
        """A request, while it is under way; its headers may name the trace of the caller."""
        ...

    def answered(self, route: str, status: int) -> None:
        """The request that is under way was for ``route`` and answered with ``status``."""
        ...

    def stage(self, name: str) -> AbstractContextManager[object]:
        """A stage of the request that is under way, while it goes on."""
        ...

    def here(self) -> object:
        """What is under way, for ``past``; None where nothing is that anybody wants to know of."""
        ...

    def past(self, name: str, under: object, begun_ns: int, ended_ns: int) -> None:
        """A stage of ``under`` that is over: for work that several requests share. Nanoseconds since 1970."""
        ...

    def close(self) -> None:
        """Send what is left; waits for at most a few seconds."""
        ...


class Metric(Protocol):
    """Judges one list. Higher is better unless the name says otherwise."""

    def __call__(self, ranking: IntArray, relevant: IntArray) -> float: ...
