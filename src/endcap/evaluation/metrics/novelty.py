"""Novelty: how little known the recommended items are.

Mean self-information: Zhou et al., Solving the apparent diversity-accuracy dilemma of recommender systems, PNAS 2010;
Vargas and Castells, Rank and relevance in novelty and diversity metrics, RecSys 2011.
"""

from __future__ import annotations

import numpy as np

from endcap.evaluation.metrics.judged import PerCase, divide
from endcap.types import IntArray


def novelty(lists: IntArray, popularity: IntArray, n_users: int) -> PerCase:
    """(cases,) bits: the mean of ``-log2(popularity / n_users)`` over the items of each list; 0 for an empty list.

    ``popularity`` is (n_items,), in the training data only: how many of the ``n_users`` touched the item. An item that
    nobody did counts as if one had; so the most that a list can reach is ``log2(n_users)``.
    """
    known = np.maximum(popularity, 1) / max(n_users, 1)
    bits = -np.log2(np.append(known, 1.0))  # the last one stands for the padding -1 and adds nothing
    return divide(bits[lists].sum(axis=1), (lists >= 0).sum(axis=1))
