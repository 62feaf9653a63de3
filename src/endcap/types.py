"""The words that every room shares: row numbers, queries, rankings, interactions, log entries.

Standard library and numpy only, so that the fold also runs inside Flink's own environment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int32]
TimeArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

MS_PER_DAY = 86_400_000

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is, in any unit."""

_NO_ROWS: IntArray = np.empty(0, np.int32)
_NO_FLOATS: FloatArray = np.empty(0, np.float32)
_NO_TIMES: TimeArray = np.empty(0, np.int64)
_NO_BOOLS: BoolArray = np.empty(0, np.bool_)


class Vocabulary:
    """Ids and their dense row numbers, in order of first appearance.

    Append-only: a row never changes meaning, so arrays that were built over the first ``n`` ids stay valid
    for ever. Ids become rows once, at the door; arrays travel inside; ids reappear in the response.
    """

    __slots__ = ("_ids", "_rows")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._ids: list[str] = []
        self._rows: dict[str, int] = {}
        for name in ids:
            self.add(name)

    def add(self, name: str) -> int:
        """The row of ``name``; a new one if it was not known."""
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = len(self._ids)
            self._ids.append(name)
        return row

    def row(self, name: str) -> int:
        """The row of ``name``, or -1 if it is unknown."""
        return self._rows.get(name, -1)

    def rows(self, names: Iterable[str]) -> IntArray:
        """The rows of the known ones among ``names``, in their order; the unknown are left out."""
        found = (self._rows.get(name, -1) for name in names)
        return np.fromiter((row for row in found if row >= 0), np.int32)

    def name(self, row: int) -> str:
        """The id at ``row``."""
        return self._ids[row]

    @property
    def ids(self) -> Sequence[str]:
        """All ids in row order. A live view: read it, do not keep it across an ``add``."""
        return self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)


@dataclass(frozen=True, slots=True)
class Query:
    """What a model is asked: who (as arrays), about what, and when.

    ``history`` is what the list should follow from: the visitor's items for a personal list, the item on
    the page for a ``similar`` list. ``weights`` and ``times`` run beside it; where they are empty every
    item counts 1 and time is unknown.
    """

    history: IntArray = field(default_factory=lambda: _NO_ROWS)
    """Item rows, oldest first; an item may be there several times."""
    weights: FloatArray = field(default_factory=lambda: _NO_FLOATS)
    """(history,) how much each one says about taste, from its event type."""
    times: TimeArray = field(default_factory=lambda: _NO_TIMES)
    """(history,) milliseconds since 1970."""
    session: IntArray = field(default_factory=lambda: _NO_ROWS)
    """Item rows of the current session, oldest first."""
    user: int = -1
    """The user's row, or -1."""
    text: str = ""
    """What the visitor typed."""
    vector: FloatArray | None = None
    """(dim,) unit vector of ``text``, from the item encoder."""
    image: FloatArray | None = None
    """(dim,) unit vector of the photo that the visitor showed, from the encoder of the items' pictures."""
    now: int = 0
    """Milliseconds since 1970: the moment the list is for."""
    bought: BoolArray = field(default_factory=lambda: _NO_BOOLS)
    """(history,) whether it was bought; empty where all of it was, as far as is known."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Items with their scores, best first; equal scores stand in row order."""

    items: IntArray = field(default_factory=lambda: _NO_ROWS)
    scores: FloatArray = field(default_factory=lambda: _NO_FLOATS)

    def __len__(self) -> int:
        return int(self.items.size)

    @classmethod
    def top(cls, scores: FloatArray, k: int, above: float = -np.inf, rows: IntArray | None = None) -> Self:
        """The ``k`` best of ``scores`` that are greater than ``above``.

        ``scores`` is (n,); entry ``j`` is item ``rows[j]``, or item ``j`` without ``rows``, which must
        ascend. One partition, no sort of the catalogue. NaN is never proposed.
        """
        found = _at_least_kth(scores, k, above)
        values = scores[found]
        order = np.argsort(-values, kind="stable")[: max(k, 0)]
        items = found[order] if rows is None else rows[found[order]]
        return cls(items.astype(np.int32), values[order].astype(np.float32, copy=False))


def _at_least_kth(scores: FloatArray, k: int, above: float) -> NDArray[np.intp]:
    """Where ``scores`` are above ``above`` and not below the ``k``-th best; equal ones all stay, row order decides."""
    found: NDArray[np.intp] = (scores > above).nonzero()[0]
    if found.size > k > 0:
        values = scores[found]
        found = found[values >= np.partition(values, found.size - k)[found.size - k]]
    return found


@dataclass(frozen=True, slots=True)
class Interactions:
    """The past as columns of equal length, in log order: who touched what, how strongly, when, in which session."""

    users: Vocabulary
    items: Vocabulary
    user: IntArray
    """(n,) user rows."""
    item: IntArray
    """(n,) item rows."""
    weight: FloatArray
    """(n,) strength, from the event type; above 0."""
    time: TimeArray
    """(n,) milliseconds since 1970."""
    session: IntArray
    """(n,) session numbers; equal numbers mean the same visit."""
    bought: BoolArray = field(default_factory=lambda: _NO_BOOLS)
    """(n,) whether it is a purchase; empty where all of them are, as far as is known."""

    def __len__(self) -> int:
        return int(self.item.size)

    def where(self, keep: BoolArray | NDArray[np.int64]) -> Interactions:
        """The rows that ``keep`` (n,) marks, or names in the order that it wants, over the same vocabularies."""
        return Interactions(
            self.users,
            self.items,
            self.user[keep],
            self.item[keep],
            self.weight[keep],
            self.time[keep],
            self.session[keep],
            self.bought[keep] if self.bought.size else self.bought,
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A log entry as it is stored: opaque bytes, with what the log itself must know about them."""

    kind: str
    """Of which kind the body is, such as ``event``: events/log.py reads and writes them."""
    time: int
    """Milliseconds since 1970: when it happened. The fold knows no other clock."""
    data: bytes
    """The body as JSON."""
    key: str | None = None
    """Stored once: a second record with the same key is a duplicate. None: never a duplicate."""
    checked: bool = field(default=True, compare=False)
    """Whether its checksum was compared. An entry of a log from before there were any has none."""


DAMAGED = "damaged"
"""The kind of a record whose bytes are not those that were written. No entry has it of its own."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A change of the log's past, and what is appended with it."""

    changes: Mapping[int, Record | None]
    """By offset: what stands there from now on; None: nothing."""
    then: Sequence[Record] = ()
    """Appended in the same transaction."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A log entry as the fold reads it."""

    offset: int
    """Its place in the log, from 1, ascending; gaps are possible."""
    time: int
    """Milliseconds since 1970: when it happened."""
    body: object
    """An ``Event``, an ``ItemChange`` or an ``Activation``."""


@dataclass(frozen=True, slots=True)
class Activation:
    """From now on the model version ``version`` serves."""

    version: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry of the log that cannot be read: damaged, or of a version that is newer."""

    reason: str
