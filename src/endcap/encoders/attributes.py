"""What the catalogue says of an item beside its text, as a vector: brand, categories, price band, attributes.

Names are numbered by hashing, with a sign (Weinberger et al., "Feature hashing for large scale multitask learning",
ICML 2009): two that share a column disturb each other, but not on average.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np

from endcap.catalog.items import Item
from endcap.types import FloatArray


class AttributeEncoder:
    """An encoder of items, without a model: two items are as near as the share of what is said of both."""

    def __init__(self, dim: int = 256) -> None:
        self.dim = dim
        self.name = f"attributes-{dim}"

    def encode(self, items: Sequence[Item]) -> FloatArray:
        """(n, dim) unit rows; a zero row for an item of which nothing is said beside its text."""
        vectors = np.zeros((len(items), self.dim), np.float32)
        for row, item in enumerate(items):
            for name in _names(item):
                hashed = int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest(), "big")
                vectors[row, (hashed >> 1) % self.dim] += 1.0 if hashed & 1 else -1.0
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def _names(item: Item) -> Iterator[str]:
    if item.brand:
        yield f"brand:{item.brand.casefold()}"
    steps = {step for path in item.categories for step in _steps(path)}
    yield from (f"category:{step}" for step in sorted(steps))
    price = item.price if item.sale_price is None else item.sale_price
    if price:
        yield f"price:{math.floor(2 * math.log2(price))}"  # a band is 1.4 times the one below
    for name, value in sorted(item.attributes.items()):
        if isinstance(value, (str, bool, int, float)):
            yield f"attribute:{name}={str(value).casefold()}"


def _steps(path: str) -> Iterator[str]:
    """``A > B`` as ``A`` and ``A > B``."""
    parts = [part.strip().casefold() for part in path.split(">")]
    for depth in range(1, len(parts) + 1):
        yield " > ".join(parts[:depth])
