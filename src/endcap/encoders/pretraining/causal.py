"""The next word: each piece of a text told from those before it.

Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018. The body must see nothing behind a
piece: ``from_scratch`` and ``start_from`` make it so where they are asked to.
"""

from __future__ import annotations

import numpy as np

from endcap.encoders.pretraining.masked import WordTask
from endcap.types import IntArray


class CausalTask(WordTask):
    """Every piece but the first is asked about, the end of the text too; nothing is drawn."""

    def places(self, ids: IntArray, rng: np.random.Generator) -> tuple[IntArray, IntArray, IntArray]:  # noqa: ARG002
        ahead = np.full_like(ids, self.marks.pad)
        ahead[:, :-1] = ids[:, 1:]
        asked = ahead != self.marks.pad
        return ids, np.flatnonzero(asked).astype(np.int32), ahead[asked]
