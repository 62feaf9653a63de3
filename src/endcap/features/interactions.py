"""Interactions as a sparse matrix, and the pass over the log that collects them for training."""

from __future__ import annotations

from array import array
from typing import Literal

import numpy as np
from scipy.sparse import csr_array

from endcap.events.schema import EVENT_TYPES, TYPE_CODES, Event
from endcap.state.batch import Run
from endcap.state.fold import UNDONE_BY, State
from endcap.types import FloatArray, IntArray, Interactions


def sound(interactions: Interactions) -> Interactions:
    """Those with a weight that is a number above 0; others say nothing about taste."""
    keep = sound_weights(interactions.weight) > 0
    return interactions if keep.all() else interactions.where(keep)


def sound_weights(weights: FloatArray) -> FloatArray:
    """``weights`` with 0 for what is not a number, not finite, or below 0."""
    return np.where(np.isfinite(weights) & (weights > 0), weights, np.float32(0.0))


def matrix(interactions: Interactions) -> csr_array:
    """(users, items) float32: the summed weight of each pair that met; no duplicates, columns ascend.

    Sums are plain; a model that wants them damped does so itself. O(n log n) for n interactions. Only ``sound`` ones.
    """
    interactions = sound(interactions)
    shape = (len(interactions.users), len(interactions.items))
    table = csr_array((interactions.weight, (interactions.user, interactions.item)), shape=shape, dtype=np.float32)
    table.sum_duplicates()
    return table


def visit_shares(interactions: Interactions, by: Literal["user", "session"] = "session") -> csr_array:
    """(visits, items) float32: each item's share of the weight of its visit, or of its user's past.

    Rows add up to 1; those of a single item, which went with nothing, are left out. Only ``sound`` ones count.
    """
    interactions = sound(interactions)
    group = interactions.session if by == "session" else interactions.user
    names, visit = np.unique(group, return_inverse=True)
    shape = (names.size, len(interactions.items))
    table = csr_array((interactions.weight, (visit, interactions.item)), shape=shape, dtype=np.float32)
    table.sum_duplicates()
    sizes = np.diff(table.indptr)
    totals = np.bincount(np.repeat(np.arange(names.size), sizes), table.data, minlength=names.size)
    table.data /= np.repeat(totals, sizes).astype(np.float32)
    return csr_array(table[sizes > 1])


_Places = dict[int, dict[int, list[int]]]
"""By user and item: where the events are that still count, oldest first."""


class InteractionBuilder:
    """Collects what the events say about taste, beside the fold and over its row numbers.

    The state keeps a bounded history per user; a model is fitted on all of it. A ``return`` takes back the
    newest earlier purchases of the same user and item, an ``uncart`` the newest cart, and an ``identify`` makes what
    the visitor did the user's, all as in the state; nothing without consent. About 2 microseconds an event.
    """

    def __init__(self) -> None:
        self._user, self._item, self._session = array("i"), array("i"), array("i")
        self._time, self._code, self._quantity = array("q"), array("b"), array("f")
        self._places: dict[str, _Places] = {undone: {} for undone in UNDONE_BY.values()}
        """By type, of what can be undone: where the events are that still count."""
        self._joined: dict[int, tuple[int, int]] = {}
        """By the row of a visitor: the row of the user that it became, and how many interactions there were then."""
        self._again: set[int] = set()
        """Joined visitors whom the state had forgotten, and who were somebody new since."""

    def add(self, state: State, event: Event) -> None:
        """Take in ``event``, which was applied to ``state`` just now."""
        if event.consent is False:
            return
        if event.type == "identify":
            self._join(state, event)
        if event.type in UNDONE_BY:
            self._undo(state, event)
        elif state.weight(event) > 0:
            user = state.user_row(event.user_id, event.visitor_id)
            lines = event.lines()
            rows = [state.items.row(line.item_id) for line in lines]
            quantities = [line.quantity for line in lines]
            session, code = state.sessions.session_of(user), TYPE_CODES[event.type]
            self.extend(Run(user, session, code, rows, [event.time] * len(rows), quantities))

    def extend(self, run: Run) -> None:
        """Take in ``run``, which was applied just now."""
        first, count = len(self._item), len(run.items)
        self._user.extend([run.user] * count)
        self._item.extend(run.items)
        self._session.extend([run.session] * count)
        self._time.extend(run.times)
        self._code.extend([run.code] * count)
        self._quantity.extend(run.quantities)
        if run.user in self._joined:
            self._again.add(run.user)
        places = self._places.get(EVENT_TYPES[run.code])
        if places is not None:
            own = places.setdefault(run.user, {})
            for place, item in enumerate(run.items, first):
                own.setdefault(item, []).append(place)

    def build(self, state: State) -> Interactions:
        """The columns so far, with the weights that ``state`` gives the event types."""
        kept = np.array(self._quantity, np.float32) > 0
        return Interactions(
            state.users,
            state.items,
            user=self._owners(max(len(state.users), 1)),
            item=np.array(self._item, np.int32),
            weight=state.type_weights(np.array(self._code, np.int32)),
            time=np.array(self._time, np.int64),
            session=np.array(self._session, np.int32),
            bought=np.array(self._code, np.int8) == TYPE_CODES["purchase"],
        ).where(kept)

    def _owners(self, users: int) -> IntArray:
        """(interactions,) whose they are now."""
        user = np.array(self._user, np.int32)
        owner, until = np.arange(users, dtype=np.int32), np.zeros(users, np.int64)
        for visitor, (joined, count) in self._joined.items():
            owner[visitor], until[visitor] = joined, count
        return np.where(np.arange(user.size) < until[user], owner[user], user)

    def _undo(self, state: State, event: Event) -> None:
        places = self._places[UNDONE_BY[event.type]].get(state.user_row(event.user_id, event.visitor_id), {})
        for line in event.lines():
            own = places.get(state.items.row(line.item_id), [])
            left = line.quantity if event.type == "return" else float("inf")
            while left > 0 and own:
                taken = min(left, self._quantity[own[-1]])
                left = left - taken if event.type == "return" else 0.0
                self._quantity[own[-1]] -= taken
                if self._quantity[own[-1]] <= 0:
                    own.pop()

    def _join(self, state: State, event: Event) -> None:
        visitor, user = state.users.row(f"v:{event.visitor_id}"), state.user_row(event.user_id, None)
        if visitor < 0 or event.user_id is None:
            return
        if visitor in self._again:
            self._user = array("i", self._owners(len(state.users)).tolist())
            self._again.discard(visitor)
            del self._joined[visitor]
        self._joined.setdefault(visitor, (user, len(self._user)))
        for places in self._places.values():
            own = places.setdefault(user, {})
            for item, moved in places.pop(visitor, {}).items():
                own[item] = sorted(own.get(item, []) + moved, key=lambda place: (self._time[place], place))
