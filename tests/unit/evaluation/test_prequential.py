"""Test, then learn: what is known at each question, and what the models answer."""

from __future__ import annotations

import numpy as np
import pytest

from endcap.config import StateConfig
from endcap.errors import DataError
from endcap.evaluation.offline import Settings
from endcap.evaluation.past import fold
from endcap.evaluation.prequential import live_through, spans
from endcap.evaluation.problems import TimeCut, prequential_problem
from endcap.events.schema import Event
from endcap.models.popularity import Popularity
from endcap.state.fold import State
from endcap.types import MS_PER_DAY, Entry, IntArray, Query, Ranking

SETTINGS = Settings(ks=(1, 3), samples=50)


def click(time: int, user: str, item: str) -> Entry:
    return Entry(0, time, Event("click", time, user_id=user, item_id=item))


class Recorder:
    """Remembers each history that it is asked from, and always proposes the newest item of the state."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.heard: list[list[int]] = []

    def recommend(self, query: Query, k: int) -> Ranking:
        self.heard.append(query.history.tolist())
        newest: IntArray = np.array([len(self.state.items) - 1], np.int32)[:k]
        return Ranking(newest, np.ones(newest.size, np.float32))


def test_each_event_is_asked_before_it_is_learnt() -> None:
    known = fold([click(1, "a", "x"), click(2, "b", "x")], StateConfig())
    stream = [click(10, "a", "y"), click(20, "b", "y"), click(30, "c", "y"), click(40, "a", "z")]
    recorder = Recorder(known.state)
    lived = live_through(known, stream, {"newest": recorder}, SETTINGS)
    assert recorder.heard[::2] == [[0], [0], [0, 1]]  # each twice: the first lists are made once untimed
    assert lived.questions.people == ("a", "b", "a")  # nothing is known of c when it comes
    assert lived.times.tolist() == [10, 20, 40]
    # y is new when a takes it, the newest when b does; z is new again
    hits = [
        case.relevant[0] == items[0]
        for case, items in zip(lived.questions.cases, lived.lists["newest"].items, strict=True)
    ]
    assert hits == [False, True, False]
    assert lived.questions.notes["unknown_items"] == 2
    assert len(known.state.items) == 3  # all of it was taken in


def test_live_counts_are_as_new_as_the_question() -> None:
    known = fold([click(1, "a", "x"), click(1, "b", "w"), click(2, "b", "x")], StateConfig())
    stream = [click(10 + at, "a", "w") for at in range(5)]
    lived = live_through(known, stream, {"popular": Popularity(known.state.popularity, "popular")}, SETTINGS)
    first = lived.lists["popular"].items[:, 0].tolist()
    assert first[0] == known.state.items.row("x")
    assert first[-1] == known.state.items.row("w")


def test_of_a_long_stream_some_are_asked_and_all_are_learnt() -> None:
    known = fold([click(1, "a", "x")], StateConfig())
    stream = [click(10 + at, "a", "x") for at in range(100)]
    lived = live_through(known, stream, {"newest": Recorder(known.state)}, SETTINGS, most=7)
    assert lived.times.tolist() == [10, 26, 43, 59, 76, 92, 109]
    assert known.state.offset == 101


def test_spans_share_the_cases_out() -> None:
    times = np.arange(10, 110, 10)
    found = spans(times, parts=3)
    assert [start for start, _ in found] == [10, 40, 70]
    assert np.stack([part for _, part in found]).sum(axis=0).tolist() == [1] * 10
    assert spans(np.empty(0, np.int64)) == ()


def test_the_problem_streams_what_time_holds_back() -> None:
    entries = [click(day * MS_PER_DAY, f"u{day % 3}", f"i{day % 4}") for day in range(60)]
    problem = prequential_problem(entries, TimeCut(days=10, validation_days=5))
    assert problem.stream is not None
    assert [entry.time // MS_PER_DAY for entry in problem.stream] == list(range(49, 60))
    assert problem.split["protocol"] == "prequential"
    with pytest.raises(DataError, match="no events to evaluate on"):
        prequential_problem([], TimeCut())
