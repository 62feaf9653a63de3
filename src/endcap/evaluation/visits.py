"""Cases as a server meets them: the beginning and the middle of each visit that was held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from endcap.evaluation.offline import Case
from endcap.events.schema import Event
from endcap.state.fold import State
from endcap.types import Entry, IntArray, Query

_Who = tuple[str | None, str | None, str | None]
"""The ids of the user, or of the visitor where the user is not known, and of the session."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit of the validation part: who, when it began, and the different items in order."""

    user: int
    start: int
    items: IntArray


def visit_cases(state: State, held_out: Sequence[Entry], most: int, seed: int) -> list[Case]:
    """Cases from at most ``most`` visits of ``held_out``; of more, a seeded sample. ``state`` is left alone.

    Only items that ``state`` knows can be asked for.
    """
    visits = list(_visits(state, held_out))
    if len(visits) > most:
        chosen = np.random.default_rng(seed).choice(len(visits), most, replace=False)
        visits = [visits[at] for at in np.sort(chosen)]
    return [case for visit in visits for case in _cases(state, visit)]


def _visits(state: State, held_out: Sequence[Entry]) -> Iterator[Visit]:
    gap = state.config.session_gap_minutes * 60_000
    found: dict[_Who, list[tuple[int, int]]] = {}
    done: list[tuple[_Who, list[tuple[int, int]]]] = []
    for entry in held_out:
        event = entry.body
        if not isinstance(event, Event) or event.consent is False or state.weight(event) <= 0:
            continue
        who = (event.user_id, event.visitor_id if event.user_id is None else None, event.session_id)
        visit = found.setdefault(who, [])
        if visit and event.session_id is None and event.time - visit[-1][0] > gap:
            done.append((who, visit))
            visit = found[who] = []
        rows = state.items.rows(line.item_id for line in event.lines())
        visit.extend((event.time, int(row)) for row in rows)
    done += found.items()
    for (user_id, visitor_id, _), visit in done:
        items = np.array(list(dict.fromkeys(row for _, row in visit)), np.int32)
        if items.size:
            yield Visit(state.user_row(user_id, visitor_id), visit[0][0], items)


def _cases(state: State, visit: Visit) -> Iterator[Case]:
    """Two questions a visit: at its beginning, and in its middle when half of it is known."""
    before = state.query(visit.user, visit.start)
    if before.history.size:
        yield Case(before, visit.items, before.history)
    half = visit.items.size // 2
    if half:
        typical = float(before.weights.mean()) if before.weights.size else 1.0
        known = Query(
            history=np.concatenate([before.history, visit.items[:half]]),
            weights=np.concatenate([before.weights, np.full(half, typical, np.float32)]),
            times=np.concatenate([before.times, np.full(half, visit.start)]),
            session=visit.items[:half],
            user=visit.user,
            now=visit.start,
            bought=np.concatenate([before.bought, np.zeros(half, np.bool_)]),
        )
        yield Case(known, visit.items[half:], known.history)
