"""Parts of the cases that are worth looking at alone: by who asks, and by what is wanted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from endcap.evaluation.metrics.calibration import HEAD, MIDDLE, TAIL, popularity_groups
from endcap.evaluation.offline import Case
from endcap.types import BoolArray, IntArray

COLD = 5
"""An item that fewer people than this touched is cold."""


def groups_of(cases: Sequence[Case], popularity: IntArray) -> dict[str, BoolArray]:
    """Parts of ``cases`` that are worth looking at alone, those that have a case and are not all of them.

    By the length of the history, and by how much was known of what was wanted; ``popularity`` (n_items,).
    """
    lengths = np.array([case.query.history.size for case in cases])
    known = np.append(popularity, 0)  # the last one stands for items that came later
    best = np.array([known[np.minimum(case.relevant, popularity.size)].max(initial=0) for case in cases])
    third = np.append(popularity_groups(popularity), TAIL)
    thirds = np.array([third[np.minimum(case.relevant, popularity.size)].min(initial=TAIL) for case in cases])
    found = {
        "new": lengths == 0,
        "with a history": lengths > 0,
        "history of 1 to 4": (lengths >= 1) & (lengths <= 4),
        "5 to 19": (lengths >= 5) & (lengths <= 19),
        "20 and more": lengths >= 20,
        "wants cold items only": best < COLD,
        "wants a warm item": best >= COLD,
        "popular": thirds == HEAD,
        "less popular": thirds == MIDDLE,
        "long tail": thirds == TAIL,
    }
    return {name: part for name, part in found.items() if part.any() and not part.all()}
