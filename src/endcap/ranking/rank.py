"""Proposals to one order: hide what may not be shown, fill what is missing, keep every part that made the score."""

from __future__ import annotations

import numpy as np

from endcap.models.ensemble import Proposals
from endcap.types import BoolArray, FloatArray, IntArray

FILL_STEP = 0.999
"""A filled item scores at most this share of the last proposed one, so that the order stays by score."""


def rank(proposals: Proposals, visible: BoolArray, groups: IntArray, k: int) -> Proposals:
    """The ``k`` best of what ``visible`` (items,) lets through, best first, equal scores in row order.

    Of items of one group (``groups`` (items,), -1 for none) only the best is kept.
    """
    shown = proposals.rows < visible.size
    shown[shown] = visible[proposals.rows[shown]]
    rows, parts = proposals.rows[shown], proposals.parts[:, shown]
    order = np.lexsort((rows, -parts.sum(axis=0)))
    if (groups[rows] >= 0).any():
        order = order[_first_of_group(groups[rows[order]])]
    order = order[:k]
    return Proposals(rows[order], parts[:, order], proposals.names)


def fill(ranked: Proposals, name: str, scores: FloatArray, visible: BoolArray, k: int) -> Proposals:
    """``ranked``, filled up to ``k`` with the best of ``scores`` (items,) that ``visible`` lets through.

    What is filled in has the one part ``name``, scaled to stay below what was proposed.
    """
    missing = k - ranked.rows.size
    free = np.flatnonzero(visible[: scores.size])
    free = free[~np.isin(free, ranked.rows)]
    if missing <= 0 or free.size == 0:
        return ranked
    order = np.argsort(-scores[free], kind="stable")[:missing]
    rows = free[order].astype(np.int32)
    last = float(ranked.parts.sum(axis=0)[-1]) if ranked.rows.size else 1.0
    best = float(scores[rows].max(initial=0.0))
    values = np.maximum(scores[rows], 0.0) * (FILL_STEP * max(last, 0.0) / best if best > 0 else 0.0)
    names = ranked.names if name in ranked.names else (*ranked.names, name)
    parts = np.zeros((len(names), ranked.rows.size + rows.size), np.float32)
    parts[: len(ranked.names), : ranked.rows.size] = ranked.parts
    parts[names.index(name), ranked.rows.size :] = values
    return Proposals(np.concatenate([ranked.rows, rows]), parts, names)


def _first_of_group(groups: IntArray) -> IntArray:
    """Places of the items without a group and of the first item of each group, ascending."""
    _, first = np.unique(groups, return_index=True)
    keep = groups < 0
    keep[first] = True
    return np.flatnonzero(keep).astype(np.int32)
