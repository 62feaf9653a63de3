"""What can be expected of a catalogue before there is any event: text, images, near-duplicates, by category.

Items without events are found by their content alone (Schein et al., "Methods and metrics for cold-start
recommendations", SIGIR 2002): an item is found through others that read like it. So expected quality is estimated by
how near the nearest ten are, and only against the rest of the catalogue, since cosines of two encoders or catalogues do
not compare. ``benchmarks/launch.py`` has what became of items so judged in shops with events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from endcap.catalog.items import Item
from endcap.features.text import ngrams, tokens
from endcap.types import BoolArray, FloatArray, IntArray

NEAR = 10
"""Nearest items by text that are looked at."""
SAME_MEANING = 0.97
"""Cosine of two texts from which on they are looked at as one product."""
SAME_LETTERS = 0.8
"""And the share of n-grams of their titles that they have in common: what is only meant alike is another product."""
FEW_WORDS = 2
"""A text with fewer words says too little."""
MOSTLY = 0.5
"""Of the nearest items: the share from which on an item is placed in its own category."""
FEW = 0.25
"""In the better half of the catalogue: fewer of a category's items are a reason to act."""
UNSORTED = "(no category)"
EXAMPLES = 3
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class CategoryReport:
    """What the catalogue says in one category, as counts of items."""

    name: str
    items: int
    without_text: int
    """A title of less than two words, and no description."""
    without_description: int
    without_image: int
    without_price: int
    duplicates: int
    """Items that read almost as another one does, and are not named as its variant (``group_id``)."""
    placed: float
    """Share of the items of whose nearest by text at least half of those that could be are of this category.

    NaN where there is one category only, or one item in it.
    """
    expected: float
    """Share of the items that are in the half of the catalogue whose ten nearest items by text are nearest.

    NaN where there is one category only.
    """
    apart: int = 0
    """Items that have a text, and read like no other."""
    examples: tuple[tuple[str, str], ...] = ()
    """Ids of near-duplicates."""

    def advice(self) -> list[str]:
        """What to do, most wanted first."""
        found = []
        if self.without_text:
            found.append(f"Write titles that say what it is for {_items(self.without_text)}.")
        if self.duplicates:
            found.append(f"Give variants one group_id, or say how they differ: {_items(self.duplicates)}.")
        if self.name == UNSORTED:
            found.append("Name a category: rules, reports and neighbours go by it.")
        elif self.placed < MOSTLY:  # NaN is not
            found.append("Texts resemble other categories: name the kind of product in the title, or merge categories.")
        if self.expected < FEW:
            found.append(
                "Little reads like it: say use, kind and style in the words of other items, or feature it by rules."
            )
        if 2 * self.without_description > self.items:
            found.append("Add descriptions: titles alone tell little apart.")
        if self.without_image:
            found.append(f"Add images to {_items(self.without_image)}.")
        if self.without_price:
            found.append(f"Add prices to {_items(self.without_price)}.")
        return found


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count:,} items"


@dataclass(frozen=True, slots=True)
class LaunchReport:
    """A catalogue before its launch."""

    encoder: str
    total: CategoryReport
    categories: tuple[CategoryReport, ...]
    """By the first path of each item, the largest first; empty where there is one only."""
    titles: Mapping[str, str] = field(default_factory=dict)
    """Of the items in ``examples``."""


def launch_report(items: Sequence[Item], vectors: FloatArray, encoder: str, depth: int = 1) -> LaunchReport:
    """The report on ``items``; ``vectors`` (items, dim) are unit rows of their texts, zero where there is none.

    ``depth``: steps of a category path that make a category. Compares all pairs in blocks: O(items^2 dim) time.
    """
    names = [category_of(item, depth) for item in items]
    counts = Counter(names)
    known = sorted(counts, key=lambda name: (name == UNSORTED, -counts[name], name))
    judged = judge(items, vectors, depth)
    chosen = [np.array([name == one for one in names], np.bool_) for name in known] if len(known) > 1 else []
    parts = [_part(name, items, rows, judged) for name, rows in zip(known, chosen, strict=False)]
    total = _part("all", items, np.ones(len(items), np.bool_), judged)
    shown = {item_id for part in (total, *parts) for pair in part.examples for item_id in pair}
    titles = {item.item_id: item.title for item in items if item.item_id in shown}
    return LaunchReport(encoder, total, tuple(parts), titles)


@dataclass(frozen=True, slots=True)
class Judged:
    """Every item among its nearest."""

    placed: FloatArray
    """(items,) the share of the nearest that are of the same category, of what could be; NaN without any."""
    twins: Mapping[int, int]
    """By row of a near-duplicate: which other item it reads like."""

    nearness: FloatArray
    """(items,) the mean cosine of the nearest; NaN for an item without a vector."""

    @property
    def better(self) -> BoolArray:
        """(items,) in the half of the catalogue whose nearest are nearest."""
        known = self.nearness[np.isfinite(self.nearness)]
        middle = float(np.median(known)) if known.size else 0.0
        return np.nan_to_num(self.nearness, nan=-1.0) >= middle


def is_silent(item: Item) -> bool:
    """Whether its text says too little."""
    return len(tokens(item.title)) < FEW_WORDS and not item.description


def judge(items: Sequence[Item], vectors: FloatArray, depth: int = 1) -> Judged:
    """Each of ``items`` among its nearest, by ``vectors`` as in ``launch_report``."""
    names = [category_of(item, depth) for item in items]
    return Judged(*_neighbours(items, vectors, np.unique(names, return_inverse=True)[1].astype(np.int32)))


def category_of(item: Item, depth: int) -> str:
    """The ``depth`` most general steps of its first path."""
    steps = [step.strip() for step in item.categories[0].split(">")] if item.categories else []
    return " > ".join(steps[:depth]) or UNSORTED


def _neighbours(
    items: Sequence[Item], vectors: FloatArray, number: IntArray
) -> tuple[FloatArray, dict[int, int], FloatArray]:
    """What ``Judged`` holds; ``number`` (items,) tells the categories apart."""
    placed, nearness = np.full((2, len(items)), np.nan, np.float32)
    twins: dict[int, int] = {}
    sizes = np.bincount(number)
    single = sizes.size < 2
    for start in range(0, len(items), _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ vectors.T  # (block, items)
        for row, line in enumerate(cosines, start):
            line[row] = -1.0
            k = min(NEAR, line.size - 1)
            if k == 0 or not vectors[row].any():
                continue
            near = np.argpartition(-line, k - 1)[:k]
            nearness[row] = line[near].mean()
            possible = min(k, int(sizes[number[row]]) - 1)
            if possible > 0 and not single:
                placed[row] = float((number[near] == number[row]).sum() / possible)
            alike = near[line[near] >= SAME_MEANING]
            twin = next((int(at) for at in alike[np.argsort(-line[alike])] if _twins(items[row], items[at])), None)
            if twin is not None:
                twins[row] = twin
    return placed, twins, nearness


def _twins(one: Item, other: Item) -> bool:
    """Whether they read almost the same and are not said to be variants of one product."""
    if one.group_id is not None and one.group_id == other.group_id:
        return False
    first, second = set(ngrams(one.title)), set(ngrams(other.title))
    return bool(first) and len(first & second) / len(first | second) >= SAME_LETTERS


def _part(name: str, items: Sequence[Item], chosen: BoolArray, judged: Judged) -> CategoryReport:
    rows = np.flatnonzero(chosen).tolist()
    placed = judged.placed[chosen][np.isfinite(judged.placed[chosen])]
    pairs = dict.fromkeys(
        (min(row, judged.twins[row]), max(row, judged.twins[row])) for row in rows if row in judged.twins
    )
    return CategoryReport(
        name,
        len(rows),
        without_text=sum(map(is_silent, (items[row] for row in rows))),
        without_description=sum(not items[row].description for row in rows),
        without_image=sum(not items[row].image for row in rows),
        without_price=sum(items[row].price is None for row in rows),
        duplicates=sum(row in judged.twins for row in rows),
        placed=float((placed >= MOSTLY).mean()) if placed.size else float("nan"),
        expected=float("nan") if chosen.all() else float(judged.better[chosen].mean()),
        apart=sum(not is_silent(items[row]) and row not in judged.twins for row in rows),
        examples=tuple((items[a].item_id, items[b].item_id) for a, b in list(pairs)[:EXAMPLES]),
    )
