"""What shop rules do with the items that may be shown: boosts, pins and caps, and the room that caps leave."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from endcap.types import BoolArray, FloatArray, IntArray

_STRIDE = 64
"""Candidates that are read from the arrays at a time."""
RULE = "rule:"
"""The start of the name of a part that a shop rule adds."""


@dataclass(frozen=True, slots=True)
class Boost:
    """Adds ``value`` times the best score of the list to the score of each of ``items``, as the part ``name``."""

    name: str
    items: BoolArray
    """(items,)."""
    value: np.float32


@dataclass(frozen=True, slots=True)
class Pin:
    """Puts ``rows``, the best first, on the places from ``place`` (1 is the first) on."""

    place: int
    rows: IntArray


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``most`` of ``items`` in a list; with ``labels``, of each label by itself."""

    items: BoolArray
    """(items,)."""
    most: int
    labels: IntArray | None = None
    """(items,) -1: not counted."""

    def label(self, row: int) -> int:
        """What the item at ``row`` is counted under; -1: not at all."""
        if not self.items[row]:
            return -1
        return 0 if self.labels is None else int(self.labels[row])


@dataclass(frozen=True, slots=True)
class Moves:
    """What shop rules do with the items of one scope."""

    shown: BoolArray | None = None
    """(items,) what they let through; None: everything."""
    lift: FloatArray | None = None
    """(items,) the sum of the boosts; None: there are none."""
    boosts: tuple[Boost, ...] = ()
    pins: tuple[Pin, ...] = ()
    """In the order in which they take their places."""
    limits: tuple[Limit, ...] = ()
    _counted: dict[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    _boosted: dict[int, list[int]] = field(default_factory=dict)

    def counted(self, row: int) -> tuple[tuple[int, int], ...]:
        """The limits that count the item at ``row``, by their number, each with the label; remembered."""
        found = self._counted.get(row)
        if found is None:
            labels = ((at, limit.label(row)) for at, limit in enumerate(self.limits))
            found = self._counted[row] = tuple((at, label) for at, label in labels if label >= 0)
        return found

    def boosted(self, row: int) -> list[int]:
        """The numbers of the boosts of the item at ``row``; remembered."""
        found = self._boosted.get(row)
        if found is None:
            found = self._boosted[row] = [at for at, boost in enumerate(self.boosts) if boost.items[row]]
        return found


NO_MOVES = Moves()


class Room:
    """Takes items into a list while it has room for them: one of a group, and no more of a label than its limit."""

    def __init__(self, groups: IntArray, moves: Moves, k: int) -> None:
        self.rows: list[int] = []
        self._groups = groups
        self._moves = moves
        self._k = k
        self._taken: set[int] = set()
        self._left: dict[tuple[int, int], int] = {}
        self._full: set[tuple[int, int]] = set()
        """Limits, each with the label, and groups (as limit -1) that take nothing more."""

    @property
    def left(self) -> int:
        """How many more fit."""
        return self._k - len(self.rows)

    def take(self, rows: IntArray) -> int:
        """Take of ``rows``, in their order, what there is room for. How many."""
        before = len(self.rows)
        for start in range(0, rows.size, _STRIDE):
            if not self.left:
                break
            chunk = rows[start : start + _STRIDE]
            for row, group in zip(chunk.tolist(), self._groups[chunk].tolist(), strict=True):
                if not self.left:
                    break
                self._offer(row, group)
        return len(self.rows) - before

    def _offer(self, row: int, group: int) -> None:
        keys = self._moves.counted(row)
        if row in self._taken or (-1, group) in self._full or not self._full.isdisjoint(keys):
            return
        self.rows.append(row)
        self._taken.add(row)
        if group >= 0:
            self._full.add((-1, group))
        left, limits = self._left, self._moves.limits
        for key in keys:
            left[key] = left.get(key, limits[key[0]].most) - 1
            if not left[key]:
                self._full.add(key)
