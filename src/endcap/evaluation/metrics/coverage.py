"""Catalogue coverage: how much of what can be recommended is recommended to anybody.

Ge, Delgado-Battenfeld, Jannach, Beyond accuracy: evaluating recommender systems by coverage and serendipity,
RecSys 2010, equation 2.
"""

from __future__ import annotations

import numpy as np

from endcap.types import IntArray


def coverage(lists: IntArray, n_items: int) -> float:
    """The share of the ``n_items`` of the catalogue that stand in at least one of ``lists`` (-1 is no item).

    A property of all lists together, so that a resampling of the cases gives no fair interval: it has none.
    """
    return np.unique(lists[lists >= 0]).size / n_items if n_items else 0.0
