"""What was known at a moment: a private fold of the log up to there, and the same past as columns for training."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from endcap.config import StateConfig
from endcap.encoders.cache import ItemVectors
from endcap.events.schema import TYPE_CODES, Event
from endcap.state.fold import State, apply
from endcap.types import Entry, IntArray, Interactions

NO_PROPOSAL = frozenset({"return", "dismiss"})
"""Events that say what somebody does not want."""

Watch = Callable[[Iterable[Entry]], Iterable[Entry]]
"""Passes entries on, and may show how many have gone by."""


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
    columns = _Columns()
    for offset, entry in enumerate(entries, 1):
        apply(state, Entry(offset, entry.time, entry.body))
        if isinstance(entry.body, Event):
            columns.add(state, entry.body)
    return Past(state, columns.interactions(state))


class _Columns:
    """Collects what the events say about taste, line by line."""

    def __init__(self) -> None:
        self.user, self.item, self.session = array("i"), array("i"), array("i")
        self.time, self.code = array("q"), array("b")

    def add(self, state: State, event: Event) -> None:
        """``event`` was applied to ``state`` just now."""
        code = TYPE_CODES[event.type]
        if event.consent is False or event.type in NO_PROPOSAL or state.config.weights.get(event.type, 0.0) <= 0:
            return
        user = state.user_row(event.user_id, event.visitor_id)
        session = state.sessions.session_of(user)
        for line in event.lines():
            self.user.append(user)
            self.item.append(state.items.row(line.item_id))
            self.session.append(session)
            self.time.append(event.time)
            self.code.append(code)

    def interactions(self, state: State) -> Interactions:
        return Interactions(
            state.users,
            state.items,
            user=np.array(self.user, np.int32),
            item=np.array(self.item, np.int32),
            weight=state.type_weights(np.array(self.code, np.int32)),
            time=np.array(self.time, np.int64),
            session=np.array(self.session, np.int32),
        )
