"""Cutting the past in three: what is learnt, what the ensemble's weights are learnt on, what is asked.

All three protocols keep the arrow of time within a user: what is asked comes after everything that is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from endcap.types import TimeArray

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of the data, each part ascending."""

    early: Rows
    """Learnt from in any case."""
    late: Rows
    """Validation: follows ``early``; known at test time, and learnt from too where the models are refitted."""
    test: Rows
    """Follows both; never learnt from."""


def by_time(time: TimeArray, cut: int, validation_from: int) -> Split:
    """One moment for everybody: rows at or after ``cut`` are the test, those from ``validation_from`` on validation.

    ``time`` (n,), ``cut`` and ``validation_from`` are milliseconds since 1970. No model can learn from what another
    user does after the cut, as with leave-last-out: Ji et al., A critical study on data leakage, TOIS 2023.
    """
    test = time >= cut
    late = ~test & (time >= validation_from)
    return Split(np.flatnonzero(~test & ~late), np.flatnonzero(late), np.flatnonzero(test))


def leave_last_out(user: NDArray[np.int64]) -> Split:
    """The last row of every user is the test, the one before validation, the others are learnt from.

    ``user`` (n,) numbers, the rows in the order of time. A user with fewer than three rows has nothing to follow
    from and is only learnt from.
    """
    order = np.argsort(user, kind="stable")
    _, starts, lengths = np.unique(user[order], return_index=True, return_counts=True)
    from_end = np.repeat(starts + lengths, lengths) - 1 - np.arange(user.size)  # 0 at the last row of a user
    part = np.where(np.repeat(lengths >= 3, lengths), np.minimum(from_end, 2), 2)
    early, late, test = (np.sort(order[part == number]) for number in (2, 1, 0))
    return Split(early, late, test)


def last_share(n: int, share: float) -> Split:
    """``n`` rows in the order of time: the last ``share`` of them is validation; the test comes apart."""
    edge = n - round(n * share)
    return Split(np.arange(edge), np.arange(edge, n), np.arange(0))
