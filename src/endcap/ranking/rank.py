"""Proposals to one order: hide what may not be shown, fill what is missing, keep every part that made the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from endcap.models.ensemble import Proposals
from endcap.types import BoolArray, FloatArray, IntArray, Ranking

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


def rank(proposals: Proposals, visible: BoolArray, groups: IntArray, k: int) -> Ranked:
    """The ``k`` best of what is proposed and ``visible`` (items,) lets through; equal scores in row order.

    Of items of one group (``groups`` (items,), -1 for none) only the best is kept.
    """
    scores = proposals.scores()[: visible.size]
    scores = np.where(visible[: scores.size], scores, np.float32(0.0))
    best = Ranking.top(scores, k, above=0.0).items
    wanted = k
    while (groups[best] >= 0).any():
        places = _first_of_group(groups[best])[:k]
        if places.size == k or best.size < wanted:
            best = best[places]
            break
        wanted *= 4  # variants took places: look further down
        best = Ranking.top(scores, wanted, above=0.0).items
    return Ranked(best[:k], proposals.parts[:, best[:k]], proposals.names)


def fill(ranked: Ranked, name: str, scores: FloatArray, visible: BoolArray, groups: IntArray, k: int) -> Ranked:
    """``ranked``, filled up to ``k`` with the best of ``scores`` (items,) that ``visible`` lets through.

    What is filled in has the one part ``name``, scaled to stay below what was proposed. Of items of one group
    (``groups`` (items,), -1 for none) only one is in the list, here too.
    """
    missing = k - ranked.rows.size
    free = np.flatnonzero(visible[: scores.size])
    free = free[~np.isin(free, ranked.rows)]
    if missing <= 0 or free.size == 0:
        return ranked
    wanted = free[np.argsort(-scores[free], kind="stable")].astype(np.int32)
    places = _first_of_group(groups[np.concatenate([ranked.rows, wanted])]) - ranked.rows.size
    rows = wanted[places[places >= 0][:missing]]
    last = float(ranked.parts.sum(axis=0)[-1]) if ranked.rows.size else 1.0
    best = float(scores[rows].max(initial=0.0))
    shares = np.maximum(scores[rows], 0.0) / (best or 1.0)  # in [0, 1] first: counts long decayed are tiny
    values = shares * (FILL_STEP * max(last, 0.0))
    names = ranked.names if name in ranked.names else (*ranked.names, name)
    parts = np.zeros((len(names), ranked.rows.size + rows.size), np.float32)
    parts[: len(ranked.names), : ranked.rows.size] = ranked.parts
    parts[names.index(name), ranked.rows.size :] = values
    return Ranked(np.concatenate([ranked.rows, rows]), parts, names)


def _first_of_group(groups: IntArray) -> IntArray:
    """Places of the items without a group and of the first item of each group, ascending."""
    _, first = np.unique(groups, return_index=True)
    keep = groups < 0
    keep[first] = True
    return np.flatnonzero(keep).astype(np.int32)
