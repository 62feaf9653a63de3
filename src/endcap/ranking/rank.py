"""Proposals to one order: hide what may not be shown, boost, cap, fill, pin, and keep every part of the score."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from endcap.compiled import top_rows
from endcap.models.ensemble import Proposals
from endcap.ranking.moves import NO_MOVES, RULE, Moves, Room
from endcap.types import BoolArray, FloatArray, IntArray

FILL_STEP = 0.999
"""A filled item scores at most this share of the last proposed one, so that the order stays by score."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A list, best first, with the named parts that add up to each score."""

    rows: IntArray
    """(n,) item rows, each once."""
    parts: FloatArray
    """(names, n)."""
    names: tuple[str, ...]
    pinned: tuple[int, ...] = ()
    """The places, from 1, that the first of ``rows`` are to take; the others keep their order around them."""
    moves: Moves = NO_MOVES
    """What the shop's rules ask of the list."""

    def leading(self) -> IntArray:
        """(n,) the model's part that weighs most, as its index in ``names``; -1 where none does."""
        models = [at for at, name in enumerate(self.names) if not name.startswith(RULE)]
        if not models:
            return np.full(self.rows.size, -1, np.int32)
        parts = self.parts[models]
        return np.where(parts.max(axis=0) > 0, np.array(models)[parts.argmax(axis=0)], -1).astype(np.int32)

    def settled(self) -> Ranked:
        """The list with what is pinned in its place."""
        pinned = self.pinned[: self.rows.size]
        if not pinned:
            return self
        order: list[int] = list(range(len(pinned), self.rows.size))
        for at, place in sorted(enumerate(pinned), key=lambda pin: pin[1]):
            order.insert(place - 1, at)  # beyond the end: at the end
        return replace(self, rows=self.rows[order], parts=self.parts[:, order], pinned=())

    def without(self, places: Collection[int]) -> Ranked:
        """The list without the items at ``places`` (from 0)."""
        return self.only([at for at in range(self.rows.size) if at not in places])

    def reordered(self, rows: IntArray) -> Ranked:
        """The list with those of ``rows`` that are not pinned in that order, in the places that they had together."""
        first, wanted = len(self.pinned), {row: at for at, row in enumerate(rows.tolist())}
        places = [at for at in range(first, self.rows.size) if int(self.rows[at]) in wanted]
        order = list(range(self.rows.size))
        for at, place in zip(places, sorted(places, key=lambda one: wanted[int(self.rows[one])]), strict=True):
            order[at] = place
        return self.only(order)

    def only(self, places: Sequence[int]) -> Ranked:
        """The items at ``places`` (from 0), in that order."""
        kept = np.array(places, np.intp)
        return replace(self, rows=self.rows[kept], parts=self.parts[:, kept])


def rank(
    proposals: Proposals,
    visible: BoolArray,
    groups: IntArray,
    k: int,
    moves: Moves = NO_MOVES,
    pins_proposed_only: bool = False,
) -> Ranked:
    """The ``k`` best of what is proposed and ``visible`` (items,) lets through; equal scores in row order.

    Of items of one group (``groups`` (items,), -1 for none) only the best is kept. What is pinned stands first;
    ``settled`` puts it in its place when the list is complete. With ``pins_proposed_only`` nothing is pinned that is
    not proposed.
    """
    base = proposals.scores()[: visible.size]
    base = np.where(visible[: base.size], base, np.float32(0.0))
    best = base.max(initial=np.float32(0.0))
    scores = with_boosts(base, moves, best)
    if moves.pins or moves.limits:
        rows, places = _chosen(scores, visible, groups, k, moves, pins_proposed_only)
    else:
        rows, places = _best(scores, groups, k), ()
    parts = np.zeros((len(proposals.names), rows.size), np.float32)
    known = rows < base.size
    parts[:, known] = proposals.parts[:, rows[known]]
    lifted = np.where(known, best, np.float32(0.0))
    lifted[known] *= base[rows[known]] > 0
    return _boosted(Ranked(rows, parts, proposals.names, places, moves), lifted)


def with_boosts(base: FloatArray, moves: Moves, best: np.float32) -> FloatArray:
    """(rows,) the scores with the boosts of what is proposed."""
    if moves.lift is None:
        return base
    scores: FloatArray = moves.lift[: base.size] * best
    scores *= base > 0
    scores += base
    return scores


def _best(scores: FloatArray, groups: IntArray, k: int) -> IntArray:
    """The rows of the ``k`` best, one of a group."""
    best = top_rows(scores, k, 0.0)
    wanted = k
    while (groups[best] >= 0).any():
        places = _first_of_group(groups[best])[:k]
        if places.size == k or best.size < wanted:
            best = best[places]
            break
        wanted *= 4  # variants took places: look further down
        best = top_rows(scores, wanted, 0.0)
    return best[:k]


def _chosen(
    scores: FloatArray, visible: BoolArray, groups: IntArray, k: int, moves: Moves, proposed_only: bool
) -> tuple[IntArray, tuple[int, ...]]:
    """The rows of the ``k`` best within the limits, what is pinned first, and the places of the pinned."""
    room = Room(groups, moves, k)
    places: list[int] = []
    for pin in moves.pins:
        rows = pin.rows[visible[pin.rows]]
        if rows.size > 1 or proposed_only:
            rows = _best_first(rows, scores, proposed_only)
        taken = room.take(rows)
        places += range(pin.place, pin.place + taken)
    done, wanted = 0, 4 * k  # to look further down at once costs less than to look again
    while room.left:
        best = top_rows(scores, wanted, 0.0)
        room.take(best[done:])
        if best.size < wanted:
            break
        done, wanted = wanted, wanted * 4  # some had no room: look further down
    return np.array(room.rows, np.int32), tuple(places)


def _best_first(rows: IntArray, scores: FloatArray, proposed_only: bool) -> IntArray:
    values = np.zeros(rows.size, np.float32)
    values[rows < scores.size] = scores[rows[rows < scores.size]]
    if proposed_only:
        rows, values = rows[values > 0], values[values > 0]
    return rows[np.argsort(-values, kind="stable")]


def _boosted(ranked: Ranked, unit: FloatArray) -> Ranked:
    """``ranked`` with a part for each boost that concerns one of its items; ``unit`` (n,): what a value of 1 adds."""
    boosts = ranked.moves.boosts
    shares = [
        (place, boosts[at].name, boosts[at].value * one)
        for place, (row, one) in enumerate(zip(ranked.rows.tolist(), unit.tolist(), strict=True))
        for at in (ranked.moves.boosted(row) if one and boosts else ())
    ]
    if not shares:
        return ranked
    names = list(dict.fromkeys((*ranked.names, *(name for _, name, _ in shares))))
    parts = np.zeros((len(names), ranked.rows.size), np.float32)
    parts[: len(ranked.names)] = ranked.parts
    at = {name: number for number, name in enumerate(names)}
    for place, name, share in shares:
        parts[at[name], place] += share
    return replace(ranked, parts=parts, names=tuple(names))


def fill(
    ranked: Ranked,
    name: str,
    scores: FloatArray,
    visible: BoolArray,
    groups: IntArray,
    k: int,
) -> Ranked:
    """``ranked``, filled up to ``k`` with the best of ``scores`` (items,) that ``visible`` lets through.

    What is filled in has the part ``name`` and those of its boosts, scaled to stay below what was proposed. Of
    items of one group (``groups`` (items,), -1 for none) only one is in the list, and the limits hold, here too.
    """
    lift, missing = ranked.moves.lift, k - ranked.rows.size
    if missing <= 0:
        return ranked
    order = _order(scores, visible[: scores.size], lift)
    order[ranked.rows[ranked.rows < order.size]] = -np.inf
    new = _next(ranked, order, groups, k)
    if new.size == 0:
        return ranked
    best = float(scores[new].max(initial=0.0)) or 1.0
    shares = np.maximum(scores[new], 0.0) / best  # in [0, 1] first: counts long decayed are tiny
    totals = shares if lift is None else shares + lift[new]
    last = float(ranked.parts.sum(axis=0)[-1]) if ranked.rows.size else 1.0
    unit = np.float32(FILL_STEP * max(last, 0.0) / max(float(totals.max(initial=0.0)), 1.0))
    names = ranked.names if name in ranked.names else (*ranked.names, name)
    before = ranked.rows.size
    parts = np.zeros((len(names), before + new.size), np.float32)
    parts[: len(ranked.names), :before] = ranked.parts
    parts[names.index(name), before:] = shares * unit
    units = np.zeros(before + new.size, np.float32)
    units[before:] = unit
    return _boosted(Ranked(np.concatenate([ranked.rows, new]), parts, names, ranked.pinned, ranked.moves), units)


def _order(scores: FloatArray, visible: BoolArray, lift: FloatArray | None) -> FloatArray:
    """(items,) by what the list is filled up: the scores over their best and the boosts; -inf for what is hidden."""
    order: FloatArray = np.where(visible, scores, np.float32(-np.inf))
    if lift is not None:
        order /= np.float32(float(order.max(initial=0.0)) or 1.0)
        order += lift[: scores.size]  # -inf stays what it is
    return order


def _next(ranked: Ranked, order: FloatArray, groups: IntArray, k: int) -> IntArray:
    """The best rows of ``order`` (items,), -inf for never, that fill the list up to ``k``."""
    wanted = 4 * k
    while True:
        best = top_rows(order, wanted, -np.inf)
        new = _fitting(ranked.rows, best, groups, k, ranked.moves)
        if new.size == k - ranked.rows.size or best.size < wanted:
            return new
        wanted *= 4  # some had no room: look further down


def _fitting(taken: IntArray, wanted: IntArray, groups: IntArray, k: int, moves: Moves) -> IntArray:
    """Those of ``wanted``, in order, for which a list of ``k`` that begins with ``taken`` has room."""
    if moves.limits:
        room = Room(groups, moves, k)
        room.take(taken)
        room.take(wanted)
        return np.array(room.rows[taken.size :], np.int32)
    places = _first_of_group(groups[np.concatenate([taken, wanted])]) - taken.size
    return wanted[places[places >= 0][: k - taken.size]]


def _first_of_group(groups: IntArray) -> IntArray:
    """Places of the items without a group and of the first item of each group, ascending."""
    _, first = np.unique(groups, return_index=True)
    keep = groups < 0
    keep[first] = True
    return np.flatnonzero(keep).astype(np.int32)
