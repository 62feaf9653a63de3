"""The protocols: who is asked, from what, and for what, each against a past small enough to read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from endcap.catalog.items import ItemChange
from endcap.config import StateConfig
from endcap.errors import DataError
from endcap.evaluation.past import Past, fold
from endcap.evaluation.problems import (
    Prefixes,
    Questions,
    TimeCut,
    Touches,
    ahead_problem,
    leave_last_out_problem,
    session_problem,
    time_problem,
)
from endcap.events.schema import Event, Line
from endcap.types import MS_PER_DAY, Entry

CONFIG = StateConfig(max_history=2)


def entry(day: float, kind: str, items: str, user: str | None = None, visitor: str | None = None) -> Entry:
    time = round(day * MS_PER_DAY)
    return Entry(0, time, Event(kind, time, user_id=user, visitor_id=visitor, items=tuple(map(Line, items.split()))))


LOG = [
    Entry(0, 90 * MS_PER_DAY, ItemChange("n", "put", {"title": "new"})),  # the catalogue came in one import, later
    entry(1, "purchase", "a b", user="u"),
    entry(20, "view", "b", visitor="v"),
    entry(50, "purchase", "b c", user="u"),  # validation: from day 46 on
    entry(59, "purchase", "c", user="w"),
    entry(60, "purchase", "a n", user="u"),  # test: from day 60 on
    entry(70, "view", "c", user="u"),  # not bought
    entry(80, "purchase", "b", user="u"),
    entry(80, "purchase", "x b", user="new"),
    entry(81, "purchase", "a", visitor="v"),
    entry(90, "purchase", "a", visitor="stranger"),
]


def names(past: Past, rows: np.ndarray) -> list[str]:
    return [past.state.items.name(row) if row < len(past.state.items) else "?" for row in rows.tolist()]


def asked(past: Past, questions: Questions) -> dict[str, tuple[list[str], list[str], list[str]]]:
    """Person -> (history, wanted, seen), as ids."""
    return {
        person: (names(past, case.query.history), names(past, case.relevant), sorted(names(past, case.seen)))
        for person, case in zip(questions.people, questions.cases, strict=True)
    }


def both(early: Sequence[Entry], late: Sequence[Entry]) -> Past:
    return fold([*early, *late], CONFIG)


def test_time_asks_who_comes_back_for_what_is_bought() -> None:
    problem = time_problem(LOG, TimeCut(days=30, validation_days=14))
    past = both(problem.early, problem.late)
    questions = problem.test(past)
    assert asked(past, questions) == {
        "u": (["b", "c"], ["a", "n", "b"], ["a", "b", "c"]),  # the bounded history has let a go; seen has not
        "new": ([], ["?", "b"], []),  # x is of no catalogue and was never touched
        "v": (["b"], ["a"], ["b"]),
    }
    assert questions.notes == {
        "new_users": 1, "visitors_left_out": 1, "wanted": 6, "wanted_again": 2, "unknown_items": 1,
    }  # fmt: skip
    assert {case.query.now for case in questions.cases} == {60 * MS_PER_DAY}


def test_time_validates_on_the_days_before_the_test() -> None:
    problem = time_problem(LOG, TimeCut(days=30, validation_days=14))
    past = fold(problem.early, CONFIG)
    questions = problem.validation(past)
    assert asked(past, questions) == {"u": (["a", "b"], ["b", "?"], ["a", "b"]), "w": ([], ["?"], [])}
    assert questions.cases[0].query.now == 46 * MS_PER_DAY
    assert [e.time // MS_PER_DAY for e in problem.late] == [50, 59]
    assert problem.split["test_from_ms"] == 60 * MS_PER_DAY
    assert (problem.split["train_events"], problem.split["test_events"]) == (4, 6)


def test_the_future_does_not_leak_into_the_past() -> None:
    problem = time_problem(LOG, TimeCut(days=30, validation_days=14))
    events = [e for e in (*problem.early, *problem.late) if isinstance(e.body, Event)]
    assert max(e.time for e in events) < 60 * MS_PER_DAY
    assert "x" not in both(problem.early, problem.late).state.items


def test_rows_mean_the_same_item_in_both_pasts() -> None:
    problem = time_problem(LOG, TimeCut(days=30, validation_days=14))
    early, late = fold(problem.early, CONFIG), both(problem.early, problem.late)
    assert list(late.state.items)[: len(early.state.items)] == list(early.state.items)
    assert list(late.state.users)[: len(early.state.users)] == list(early.state.users)


def test_where_nothing_is_bought_every_weighted_event_counts() -> None:
    log = [entry(1, "view", "a", user="u"), entry(60, "view", "b", user="u"), entry(60, "search", "c", user="u")]
    problem = time_problem(log, TimeCut(days=30))
    past = both(problem.early, problem.late)
    assert asked(past, problem.test(past)) == {"u": (["a"], ["?"], ["a"])}
    assert problem.test(past).notes["unknown_items"] == 1  # b only: a search has no weight


def test_a_test_of_its_own_is_asked_at_the_moment_given() -> None:
    past_entries, answers = LOG[1:5], [entry(70, "purchase", "a", user="w")]
    problem = ahead_problem(past_entries, answers, 61 * MS_PER_DAY, TimeCut())
    past = both(problem.early, problem.late)
    assert asked(past, problem.test(past)) == {"w": (["c"], ["a"], ["c"])}
    assert problem.test(past).cases[0].query.now == 61 * MS_PER_DAY


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ([], "no events to evaluate on: import some first"),
        ([entry(80, "view", "a", user="u")], "0 events before the test and 1 in it: both are needed; the last 30 days"),
    ],
)
def test_time_needs_both_sides(log: list[Entry], message: str) -> None:
    with pytest.raises(DataError, match=message):
        time_problem(log, TimeCut())


def touches(rows: str, has_clock: bool) -> Touches:
    """``u1a`` is: user u, at 1, item a."""
    parts = rows.split()
    time = np.array([int(part[1]) * MS_PER_DAY for part in parts], np.int64)
    return Touches([part[0] for part in parts], [part[2] for part in parts], time, has_clock)


def test_leave_last_out_asks_for_the_last_with_the_one_before_in_the_history() -> None:
    problem = leave_last_out_problem(touches("u1a v1b u2b v2a u3c v3d u4a w4a", has_clock=True))
    early, past = fold(problem.early, StateConfig()), both(problem.early, problem.late)
    assert asked(early, problem.validation(early)) == {
        "u": (["a", "b"], ["?"], ["a", "b"]),  # c is only touched later
        "v": (["b"], ["a"], ["b"]),
    }
    test = problem.test(fold([*problem.early, *problem.late], StateConfig()))
    assert asked(past, test) == {
        "v": (["b", "a"], ["?"], ["a", "b"]),
        "u": (["a", "b", "c"], ["a"], ["a", "b", "c"]),
    }
    assert [case.query.now for case in test.cases] == [3 * MS_PER_DAY, 4 * MS_PER_DAY]
    assert test.notes == {"wanted": 2, "wanted_again": 1, "unknown_items": 1}
    assert problem.split["users_too_short"] == 1


@pytest.mark.parametrize(("has_clock", "sessions", "current"), [(True, 3, []), (False, 1, ["a", "b", "c"])])
def test_without_a_clock_all_of_a_user_is_one_session(has_clock: bool, sessions: int, current: list[str]) -> None:
    problem = leave_last_out_problem(touches("u1a u2b u3c u4d", has_clock))
    past = fold([*problem.early, *problem.late], StateConfig(session_gap_minutes=36 * 60 if not has_clock else 30))
    assert past.state.sessions.count == sessions
    assert names(past, problem.test(past).cases[0].query.session) == current


def test_leave_last_out_needs_three_rows_of_somebody() -> None:
    with pytest.raises(DataError, match="no user has 3 rows or more"):
        leave_last_out_problem(touches("u1a u2b v1a", has_clock=True))


def test_session_asks_for_what_comes_after_a_prefix() -> None:
    sessions = [["a", "b"]] * 9 + [["b", "c", "d"]]
    problem = session_problem(sessions, Prefixes([["a", "b", "a", "zebra"], ["q"]], ["c", "zebra"]))
    early, past = fold(problem.early, StateConfig()), both(problem.early, problem.late)
    assert early.state.sessions.count == 9
    assert past.state.sessions.count == 10
    unknown = (["b"], ["?"], ["b"])  # neither c nor d was known then
    assert asked(early, problem.validation(early)) == {"0": unknown, "1": unknown}
    questions = problem.test(past)
    assert asked(past, questions) == {"0": (["a", "b", "a"], ["c"], ["a", "b"]), "1": ([], ["?"], [])}
    first = questions.cases[0].query
    assert names(past, first.session) == ["b", "a"]  # different items, the one touched last at the end
    assert first.user == -1
    assert first.weights.tolist() == [1.0, 1.0, 1.0]
    assert first.now > max(e.time for e in problem.late)


def test_a_session_that_validates_is_asked_at_every_step() -> None:
    problem = session_problem([["a", "b"]] * 9 + [["a", "b", "a"]], Prefixes([["a"]], ["b"]))
    early = fold(problem.early, StateConfig())
    assert asked(early, problem.validation(early)) == {"0": (["a"], ["b"], ["a"]), "1": (["a", "b"], ["a"], ["a", "b"])}


@pytest.mark.parametrize(("sessions", "targets"), [([], ["a"]), ([["a"]], [])])
def test_session_needs_both(sessions: list[list[str]], targets: list[str]) -> None:
    with pytest.raises(DataError, match=f"{len(sessions)} sessions to learn from and {len(targets)} to test"):
        session_problem(sessions, Prefixes([["a"]] * len(targets), targets))


def test_popularity_counts_people_and_not_events() -> None:
    past = fold([entry(1, "purchase", "a a", user="u"), entry(2, "view", "a b", user="v")], StateConfig())
    assert dict(zip(past.state.items, past.popularity().tolist(), strict=True)) == {"a": 2, "b": 1}
    assert names(past, past.seen(0)) == ["a"]
    assert past.seen(-1).size == 0
