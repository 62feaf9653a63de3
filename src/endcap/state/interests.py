"""What somebody is interested in: decayed weights over categories, brands and price bands.

Forward decay as in ``item.py``, each person with a landmark of their own, so that nobody's weights must be
touched because of somebody else's event.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from endcap.catalog.items import Item
from endcap.config import StateConfig
from endcap.state.item import MAX_EXPONENT
from endcap.state.packing import Packed, pack_json, unpack_json
from endcap.types import MS_PER_DAY, Vocabulary

CATEGORY, BRAND, PRICE = "category", "brand", "price"
MAX_CATEGORIES = 4
"""Of one item; further ones are not counted."""
NOTHING = 1e-9
"""A weight of which less than this share of what was taken back is left was rounding."""


class Facets:
    """The categories, the brand and the price band of each item, as numbers.

    A price band reaches from one power of two to the next: 8 to 16.
    """

    def __init__(self) -> None:
        self._names = Vocabulary()
        self._of: list[tuple[int, ...]] = []

    def grow(self, items: int) -> None:
        """Make room for ``items`` rows."""
        self._of.extend([()] * (items - len(self._of)))

    def describe(self, row: int, item: Item | None) -> None:
        """Take over what the catalogue says of the item at ``row``; None: it is not listed any more."""
        names = () if item is None else _names(item)
        self._of[row] = tuple(dict.fromkeys(map(self._names.add, names)))

    def of(self, row: int) -> tuple[int, ...]:
        """The facets of the item at ``row``."""
        return self._of[row]

    def name(self, facet: int) -> tuple[str, str]:
        """Which kind it is (``category``, ``brand``, ``price``), and its name."""
        kind, _, name = self._names.name(facet).partition(":")
        return kind, name

    def pack(self) -> Packed:
        """Everything, as arrays."""
        return {"names": pack_json(list(self._names)), "of": pack_json(self._of)}

    def unpack(self, arrays: Packed) -> None:
        """Take over what ``pack`` gave."""
        self._names = Vocabulary(unpack_json(arrays["names"]))
        self._of = [tuple(facets) for facets in unpack_json(arrays["of"])]


def _names(item: Item) -> Iterable[str]:
    for category in item.categories[:MAX_CATEGORIES]:
        yield f"{CATEGORY}:{category}"
    if item.brand:
        yield f"{BRAND}:{item.brand}"
    price = item.price if item.sale_price is None else item.sale_price
    if price:
        low = 2.0 ** (math.frexp(price)[1] - 1)
        yield f"{PRICE}:{low:g}-{2 * low:g}"


@dataclass(frozen=True, slots=True)
class InterestBounds:
    """How fast interests fade, and how many are kept."""

    half_life_ms: float
    most: int
    """Of one person, after a clearing; twice as many before. The weakest go."""

    @classmethod
    def of(cls, config: StateConfig) -> Self:
        """As ``config`` sets them."""
        return cls(config.interest_half_life_days * MS_PER_DAY, config.max_interests)


class Interests:
    """One person's weights by facet."""

    __slots__ = ("_landmark", "_weights")

    def __init__(self) -> None:
        self._weights: dict[int, float] = {}
        self._landmark = 0

    def add(self, facets: Sequence[int], weight: float, time: int, bounds: InterestBounds) -> None:
        """Count an event of ``weight`` about something with ``facets``."""
        weights, gain = self._weights, self._gain(weight, time, bounds)
        for facet in facets:
            weights[facet] = weights.get(facet, 0.0) + gain
        if len(weights) > 2 * bounds.most:
            self._clear(bounds.most)

    def extend(
        self, facets: Facets, items: Sequence[int], weight: float, times: Sequence[int], bounds: InterestBounds
    ) -> None:
        """``add`` for each of the events of one ``weight``, in their order."""
        weights, counted_at, gain = self._weights, None, 0.0
        for item, time in zip(items, times, strict=True):
            found = facets.of(item)
            if not found:
                continue
            if time != counted_at:
                gain, counted_at = self._gain(weight, time, bounds), time
            for facet in found:
                weights[facet] = weights.get(facet, 0.0) + gain
            if len(weights) > 2 * bounds.most:
                self._clear(bounds.most)

    def _gain(self, weight: float, time: int, bounds: InterestBounds) -> float:
        """What an event at ``time`` adds to a weight; moves the landmark where that would be too much."""
        if not self._weights:
            self._landmark = time
        exponent = (time - self._landmark) / bounds.half_life_ms
        if exponent > MAX_EXPONENT:
            self._move(time, bounds)
            exponent = 0.0
        return weight * math.exp2(exponent)

    def take_back(self, facets: Sequence[int], weight: float, time: int, bounds: InterestBounds) -> None:
        """Undo an event of ``weight`` at ``time``, as far as it is still there."""
        exponent = (time - self._landmark) / bounds.half_life_ms
        loss = weight * math.exp2(min(exponent, MAX_EXPONENT))
        for facet in facets:
            left = self._weights.get(facet, 0.0) - loss
            if left > NOTHING * loss:
                self._weights[facet] = left
            else:
                self._weights.pop(facet, None)

    def absorb(self, other: Interests, bounds: InterestBounds) -> None:
        """Add what ``other`` holds."""
        if not other._weights:
            return
        if not self._weights:
            self._landmark = other._landmark
        elif other._landmark > self._landmark:
            self._move(other._landmark, bounds)
        factor = math.exp2((other._landmark - self._landmark) / bounds.half_life_ms)
        for facet, weight in other._weights.items():
            self._weights[facet] = self._weights.get(facet, 0.0) + weight * factor
        if len(self._weights) > 2 * bounds.most:
            self._clear(bounds.most)

    def at(self, now: int, bounds: InterestBounds) -> list[tuple[int, float]]:
        """(facet, weight as it stands at ``now``), the strongest first, at most ``bounds.most``."""
        exponent = (self._landmark - now) / bounds.half_life_ms
        factor = math.exp2(min(exponent, MAX_EXPONENT))
        ordered = sorted(self._weights.items(), key=lambda one: (-one[1], one[0]))
        return [(facet, weight * factor) for facet, weight in ordered[: bounds.most]]

    def _move(self, landmark: int, bounds: InterestBounds) -> None:
        factor = math.exp2((self._landmark - landmark) / bounds.half_life_ms)
        for facet in self._weights:
            self._weights[facet] *= factor
        self._landmark = landmark

    def _clear(self, most: int) -> None:
        weakest = sorted(self._weights, key=lambda facet: (self._weights[facet], -facet))
        for facet in weakest[: len(weakest) - most]:
            del self._weights[facet]

    @property
    def values(self) -> tuple[int, dict[int, float]]:
        """The landmark, and the weights as counted from it."""
        return self._landmark, self._weights


def pack_interests(people: Sequence[Interests]) -> Packed:
    """The interests of all ``people``, as arrays."""
    sorted_weights = [sorted(one.values[1].items()) for one in people]
    flat = [pair for pairs in sorted_weights for pair in pairs]
    return {
        "landmarks": np.array([one.values[0] for one in people], np.int64),
        "counts": np.array([len(pairs) for pairs in sorted_weights], np.int64),
        "facets": np.array([facet for facet, _ in flat], np.int32),
        "weights": np.array([weight for _, weight in flat], np.float64),
    }


def unpack_interests(arrays: Packed) -> list[Interests]:
    """The interests that ``pack_interests`` was given."""
    pairs = list(zip(arrays["facets"].tolist(), arrays["weights"].tolist(), strict=True))
    ends = np.cumsum(arrays["counts"]).tolist()
    people = []
    for landmark, count, end in zip(arrays["landmarks"].tolist(), arrays["counts"].tolist(), ends, strict=True):
        one = Interests()
        one._landmark, one._weights = landmark, dict(pairs[end - count : end])
        people.append(one)
    return people
