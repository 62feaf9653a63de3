"""The Gini index of exposure: how unevenly the places of the lists are shared out among the items.

Fleder and Hosanagar, Blockbuster culture's next rise or fall, Management Science 55, 2009.
"""

from __future__ import annotations

import numpy as np

from endcap.types import IntArray


def gini(lists: IntArray, n_items: int) -> float:
    """0 if all ``n_items`` of the catalogue stand equally often in ``lists`` (-1 is no item), near 1 if one has all.

    A property of all lists together, so that it has no interval, as coverage. 0 where nothing is listed.
    """
    exposure = np.sort(np.bincount(lists[lists >= 0], minlength=n_items))  # ascending
    total = exposure.sum()
    if not total:
        return 0.0
    places = np.arange(1, exposure.size + 1)
    return float(((2 * places - exposure.size - 1) * exposure).sum() / (exposure.size * total))
