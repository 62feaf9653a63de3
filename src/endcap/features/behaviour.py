"""Behaviour augmentation: further visits made of those there are, for shops with few events.

Crop, mask and reorder are those of CL4SRec (Xie et al., "Contrastive learning for sequential recommendation", ICDE
2022), substitution by a similar item that of CoSeRec (Liu et al., "Contrastive self-supervised sequential
recommendation with robust augmentation", 2021). There they make two views for a contrastive loss; here each makes one
more visit beside the one it was made of, for any model that is fitted on interactions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from endcap.errors import ConfigError
from endcap.types import FloatArray, IntArray, Interactions, Ranking

Rows = NDArray[np.int64]
SHARE = 0.6
"""Crop keeps this share of a visit in one piece; reorder shuffles a piece of this length."""
CHANGED = 0.3
"""Mask leaves out each event with this probability; substitute exchanges it."""

Similar = Callable[[IntArray, np.random.Generator], IntArray]
"""For item rows (n,) one similar item each, or the item itself where there is none."""


def augmented(
    interactions: Interactions, ways: Sequence[str], seed: int, similar: Similar | None = None
) -> Interactions:
    """``interactions`` and, for each of ``ways``, every visit once more as that changes it.

    A made visit has its own session number, and its user, times and weights; columns stay in no particular order of
    time. Raises ConfigError for a way that does not exist, and for ``substitute`` without ``similar``.
    """
    check_ways(ways)
    if "substitute" in ways and similar is None:
        raise ConfigError("substitute needs items to exchange for: give it what is similar, or leave it out")
    random = np.random.default_rng(seed)
    order = np.lexsort((np.arange(len(interactions)), interactions.session))  # visits one after the other
    edges = np.flatnonzero(np.diff(interactions.session[order], prepend=-1, append=-1))
    parts, sessions = [interactions], int(interactions.session.max(initial=-1)) + 1
    for turn, way in enumerate(ways, 1):
        rows = np.concatenate([MADE[way](order[a:b], random) for a, b in pairwise(edges)] or [order])
        made = interactions.where(rows)
        if way == "substitute" and similar is not None:
            exchanged = random.random(rows.size) < CHANGED
            items = made.item.copy()
            items[exchanged] = similar(items[exchanged], random)
            made = replace(made, item=items)
        if way == "reorder":  # another item at each moment, not the same ones at other moments
            made = replace(made, time=interactions.time[order])
        parts.append(replace(made, session=made.session + np.int32(turn * sessions)))
    return _joined(parts)


class Nearest:
    """One of the ``most`` items whose vectors are nearest; the item itself where none is near at all."""

    def __init__(self, vectors: FloatArray, most: int = 5) -> None:
        self._vectors = vectors  # (items, dim) unit rows, zero where nothing is known
        self._most = most

    def __call__(self, items: IntArray, random: np.random.Generator) -> IntArray:
        found = items.copy()
        known = np.unique(items[items < self._vectors.shape[0]])
        for start in range(0, known.size, 512):
            rows = known[start : start + 512]
            cosines = self._vectors[rows] @ self._vectors.T  # (block, items)
            cosines[np.arange(rows.size), rows] = 0.0
            for row, line in zip(rows, cosines, strict=True):
                near = Ranking.top(line, self._most, above=0.0).items
                if near.size:
                    found[items == row] = random.choice(near, int((items == row).sum()))
        return found


def check_ways(ways: Sequence[str]) -> None:
    """Raises ConfigError for one that does not exist."""
    unknown = [way for way in ways if way not in MADE]
    if unknown:
        raise ConfigError(f"there is no augmentation {unknown[0]!r:.80}: choose among {', '.join(MADE)}")


def _crop(visit: Rows, random: np.random.Generator) -> Rows:
    length = max(1, round(SHARE * visit.size))
    start = int(random.integers(visit.size - length + 1))
    return visit[start : start + length]


def _mask(visit: Rows, random: np.random.Generator) -> Rows:
    return visit[random.random(visit.size) >= CHANGED]


def _reorder(visit: Rows, random: np.random.Generator) -> Rows:
    length = max(1, round(SHARE * visit.size))
    start = int(random.integers(visit.size - length + 1))
    shuffled = visit.copy()
    shuffled[start : start + length] = random.permutation(visit[start : start + length])
    return shuffled


def _same(visit: Rows, _: np.random.Generator) -> Rows:
    return visit


MADE: Mapping[str, Callable[[Rows, np.random.Generator], Rows]] = {
    "crop": _crop,
    "mask": _mask,
    "reorder": _reorder,
    "substitute": _same,
}


def _joined(parts: Sequence[Interactions]) -> Interactions:
    names = ("user", "item", "weight", "time", "session", "bought")
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Interactions(parts[0].users, parts[0].items, **columns)
