"""Test, then learn: every event of the stream is first asked for and then taken in, as a server lives through it.

Dawid, Statistical theory: the prequential approach, JRSS A 147, 1984; for recommenders Vinagre, Jorge and Gama,
Evaluation of recommender systems in streaming environments, REVEAL workshop 2014. What a model reads from the state is
as new as the question; learnt weights stay what they were, as between two trainings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from endcap.evaluation.offline import Asker, Case, Lists, Settings
from endcap.evaluation.past import Past
from endcap.evaluation.problems import Questions, counted_types, repeats
from endcap.events.schema import Event
from endcap.protocols import Recommender
from endcap.state.fold import apply
from endcap.types import BoolArray, Entry, TimeArray

MOST = 5_000
"""Events that are asked for; all are learnt from."""
PARTS = 10
"""Spans of the stream that are looked at alone."""


@dataclass(frozen=True, slots=True)
class Lived:
    """What was asked on the way, and what each model answered."""

    questions: Questions
    lists: Mapping[str, Lists]
    times: TimeArray
    """(cases,) milliseconds since 1970."""


def live_through(
    known: Past, stream: Sequence[Entry], models: Mapping[str, Recommender], settings: Settings, most: int = MOST
) -> Lived:
    """Asks ``models`` for what each of ``most`` events of ``stream``, evenly spread, is about; applies every entry.

    ``known.state`` grows; models over it grow with it. Asked for are the events that count as in ``wants``, of users
    with a history. An item that comes up for the first time is missed by everybody.
    """
    state = known.state
    counted = counted_types(known, [entry.body for entry in stream if isinstance(entry.body, Event)])
    asked = _chosen(stream, counted, most)
    askers = {name: Asker(model, settings, len(asked)) for name, model in models.items()}
    cases, people, times, new = [], [], [], 0
    with threadpool_limits(1):
        for at, entry in enumerate(stream):
            event = entry.body
            if at in asked and isinstance(event, Event):
                case, unknown = _case(known, event)
                if case.query.history.size:
                    cases.append(case)
                    people.append(event.user_id or event.visitor_id or "")
                    times.append(event.time)
                    new += unknown
                    for asker in askers.values():
                        asker.ask(case)
            apply(state, Entry(state.offset + 1, entry.time, entry.body))
    notes = {"streamed": len(stream), "unknown_items": new, **repeats(cases)}
    lists = {name: asker.lists() for name, asker in askers.items()}
    return Lived(Questions(tuple(cases), tuple(people), notes), lists, np.array(times, np.int64))


def _case(known: Past, event: Event) -> tuple[Case, int]:
    """What ``event`` is about, asked just before it; and how many items of it nobody had seen yet."""
    state = known.state
    query = state.query(state.user_row(event.user_id, event.visitor_id), event.time, event.session_id)
    names = dict.fromkeys(line.item_id for line in event.lines())
    wanted = state.items.rows(names)
    unknown = len(names) - wanted.size
    rows = np.concatenate([wanted, len(state.items) + np.arange(unknown, dtype=np.int32)])
    return Case(query, rows, np.unique(query.history)), unknown


def _chosen(stream: Sequence[Entry], counted: set[str], most: int) -> set[int]:
    """Places of the events that are asked for: all that count, or ``most`` of them at equal distances."""
    able = [
        at
        for at, entry in enumerate(stream)
        if isinstance(entry.body, Event) and entry.body.type in counted and entry.body.lines()
    ]
    if len(able) <= most:
        return set(able)
    return {able[place] for place in np.linspace(0, len(able) - 1, most).astype(int).tolist()}


def spans(times: TimeArray, parts: int = PARTS) -> tuple[tuple[int, BoolArray], ...]:
    """``times`` (cases,), ascending, in ``parts`` of nearly as many cases: when each begins, and its cases."""
    edges: NDArray[np.int64] = np.linspace(0, times.size, min(parts, max(times.size, 1)) + 1).astype(np.int64)
    places = np.arange(times.size)
    return tuple(
        (int(times[low]), (places >= low) & (places < high))
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        if high > low
    )
