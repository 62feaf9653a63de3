"""A made-up shop's texts, and the smallest body that can read them."""

from __future__ import annotations

from itertools import product

import numpy as np

from endcap.encoders.pretraining import body
from endcap.encoders.pretraining.body import Size, Start, from_scratch
from endcap.types import IntArray

COLOURS = ("red", "green", "blue", "white", "black", "pink")
THINGS = ("cup", "lamp", "scarf", "clock", "bowl", "brush")
ROOMS = ("kitchen", "garden", "bath", "hall")
TITLES = tuple(f"{colour} {thing} for the {room}" for colour, thing, room in product(COLOURS, THINGS, ROOMS))
"""144 of them; the thing is the third piece of each."""
KINDS = tuple(title.split()[1] for title in TITLES)


def small_start(causal: bool = False, max_tokens: int = 16) -> Start:
    """One layer of 32."""
    body.SIZES["test"] = Size(1, 32, 2, 200)
    return from_scratch(TITLES, "test", max_tokens, 0, causal)


def every(n: int) -> IntArray:
    """The rows 0 to n - 1."""
    return np.arange(n, dtype=np.int32)
