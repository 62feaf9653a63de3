"""Interactions as a sparse matrix, and the pass over the log that collects them for training."""

from __future__ import annotations

from array import array

import numpy as np
from scipy.sparse import csr_array

from endcap.events.schema import TYPE_CODES, Event
from endcap.state.fold import State
from endcap.types import Interactions


def matrix(interactions: Interactions) -> csr_array:
    """(users, items) float32: the summed weight of each pair that met; no duplicates, columns ascend.

    Sums are plain; a model that wants them damped does so itself. O(n log n) for n interactions.
    """
    shape = (len(interactions.users), len(interactions.items))
    table = csr_array((interactions.weight, (interactions.user, interactions.item)), shape=shape, dtype=np.float32)
    table.sum_duplicates()
    return table


class InteractionBuilder:
    """Collects what the events say about taste, beside the fold and over its row numbers.

    The state keeps a bounded history per user; a model is fitted on all of it. A ``return`` takes back the
    newest earlier purchases of the same user and item, and an ``identify`` makes what the visitor did the
    user's, both as in the state. About 2 microseconds an event.
    """

    def __init__(self) -> None:
        self._user, self._item, self._session = array("i"), array("i"), array("i")
        self._time, self._code, self._quantity = array("q"), array("b"), array("f")
        self._purchases: dict[int, dict[int, list[int]]] = {}
        """Places of the purchases that still count, by user and item, oldest first."""
        self._joined: dict[int, int] = {}
        """The user's row by the row of a visitor that became that user."""

    def add(self, state: State, event: Event) -> None:
        """Take in ``event``, which was applied to ``state`` just now."""
        if event.type == "identify":
            self._join(state, event)
        elif event.type == "return":
            self._take_back(state, event)
        elif event.consent is not False and event.type != "dismiss" and state.config.weights.get(event.type, 0.0) > 0:
            self._count(state, event)

    def build(self, state: State) -> Interactions:
        """The columns so far, with the weights that ``state`` gives the event types."""
        kept = np.array(self._quantity, np.float32) > 0
        user = np.array(self._user, np.int32)
        owner = np.arange(max(len(state.users), 1), dtype=np.int32)
        owner[list(self._joined)] = list(self._joined.values())
        return Interactions(
            state.users,
            state.items,
            user=owner[user],
            item=np.array(self._item, np.int32),
            weight=state.type_weights(np.array(self._code, np.int32)),
            time=np.array(self._time, np.int64),
            session=np.array(self._session, np.int32),
        ).where(kept)

    def _count(self, state: State, event: Event) -> None:
        user = state.user_row(event.user_id, event.visitor_id)
        session = state.sessions.session_of(user)
        for line in event.lines():
            item = state.items.row(line.item_id)
            if event.type == "purchase":
                self._purchases.setdefault(user, {}).setdefault(item, []).append(len(self._item))
            self._user.append(user)
            self._item.append(item)
            self._session.append(session)
            self._time.append(event.time)
            self._code.append(TYPE_CODES[event.type])
            self._quantity.append(line.quantity)

    def _take_back(self, state: State, event: Event) -> None:
        purchases = self._purchases.get(state.user_row(event.user_id, event.visitor_id), {})
        for line in event.lines():
            places = purchases.get(state.items.row(line.item_id), [])
            left = line.quantity
            while left > 0 and places:
                taken = min(left, self._quantity[places[-1]])
                left -= taken
                self._quantity[places[-1]] -= taken
                if self._quantity[places[-1]] <= 0:
                    places.pop()

    def _join(self, state: State, event: Event) -> None:
        visitor, user = state.users.row(f"v:{event.visitor_id}"), state.user_row(event.user_id, None)
        if visitor < 0 or event.user_id is None:
            return
        self._joined.setdefault(visitor, user)  # nothing is added to a visitor once it is somebody
        own = self._purchases.setdefault(user, {})
        for item, places in self._purchases.pop(visitor, {}).items():
            own[item] = sorted(own.get(item, []) + places, key=lambda place: (self._time[place], place))
