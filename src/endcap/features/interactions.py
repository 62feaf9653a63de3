"""Interactions as a sparse matrix, and the pass over the log that collects them for training."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from endcap.types import Interactions


def matrix(interactions: Interactions) -> csr_array:
    """(users, items) float32: the summed weight of each pair that met; no duplicates, columns ascend.

    Sums are plain; a model that wants them damped does so itself. O(n log n) for n interactions.
    """
    shape = (len(interactions.users), len(interactions.items))
    table = csr_array((interactions.weight, (interactions.user, interactions.item)), shape=shape, dtype=np.float32)
    table.sum_duplicates()
    return table
