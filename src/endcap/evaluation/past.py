"""What was known at a moment: a private fold of the log up to there, and the same past as columns for training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from endcap.config import StateConfig
from endcap.encoders.cache import ItemVectors
from endcap.events.schema import Event
from endcap.features.interactions import InteractionBuilder
from endcap.features.words import WordIndex
from endcap.state.fold import State, apply
from endcap.types import Entry, IntArray, Interactions


@dataclass(frozen=True)
class Past:
    """The fold of the entries up to a moment, with what a model is fitted on."""

    state: State
    interactions: Interactions
    vectors: ItemVectors | None = None
    """Content vectors of ``state``'s items, where there is an encoder."""

    @cached_property
    def by_user(self) -> tuple[IntArray, IntArray]:
        """The different items of every user laid end to end, and where each user's begin: (pairs,), (users + 1,)."""
        n_items = max(len(self.interactions.items), 1)
        pairs = np.unique(self.interactions.user.astype(np.int64) * n_items + self.interactions.item)
        edges = np.searchsorted(pairs, np.arange(len(self.interactions.users) + 1) * n_items)
        return (pairs % n_items).astype(np.int32), edges.astype(np.int32)

    @cached_property
    def words(self) -> WordIndex:
        """What the items of ``state`` say, in words."""
        return WordIndex.of(self.state.shop.listed_items())

    def seen(self, user: int) -> IntArray:
        """The different items that the user at row ``user`` touched, ascending; nothing for -1.

        The whole past, also what the bounded history of the state has let go.
        """
        items, edges = self.by_user
        return items[edges[user] : edges[user + 1]] if user >= 0 else items[:0]

    def popularity(self) -> IntArray:
        """(n_items,) how many different users touched each item."""
        items, _ = self.by_user
        return np.bincount(items, minlength=len(self.interactions.items)).astype(np.int32)


def fold(entries: Iterable[Entry], config: StateConfig) -> Past:
    """The past that ``entries`` add up to, in their order; their offsets are given anew, from 1."""
    state = State(config)
    builder = InteractionBuilder()
    for offset, entry in enumerate(entries, 1):
        apply(state, Entry(offset, entry.time, entry.body))
        if isinstance(entry.body, Event):
            builder.add(state, entry.body)
    return Past(state, builder.build(state))
