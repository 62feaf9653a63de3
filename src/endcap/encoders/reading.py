"""What is read of a text, and what a vector must be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from endcap.types import FloatArray


def readable(text: str, max_chars: int) -> str:
    """The first ``max_chars`` of ``text``, without halves of characters; empty if nothing of it is to be seen."""
    whole = text[:max_chars].encode("utf-8", "ignore").decode("utf-8")
    return whole if any(char.isprintable() and not char.isspace() for char in whole) else ""


def unit(vector: NDArray[np.floating]) -> FloatArray:
    """``vector`` (dim,) with length 1; zero where it has none, or holds what is no number."""
    wide = vector.astype(np.float64)
    length = float(np.sqrt(wide @ wide))
    if not 0.0 < length < np.inf:
        return np.zeros(vector.shape, np.float32)
    shortened: FloatArray = (wide / length).astype(np.float32)
    return shortened
