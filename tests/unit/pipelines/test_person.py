"""Whose an entry is: by hand, and against the slow rule over random logs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from tests.unit.pipelines.people import ASKED, LOGS, theirs

from endcap.backends.log.sqlite import SqliteLog
from endcap.events.log import Body, to_record
from endcap.events.schema import Event
from endcap.events.served import Served
from endcap.pipelines.person import Finder, Person, entries_of, find, visitors_beside
from endcap.types import Entry, Record

NOW = 1_764_000_000_000
ANN, BO, V = Person(user_id="ann"), Person(user_id="bo"), Person(visitor_id="v")


def did(user: str | None = None, visitor: str | None = None, kind: str = "view", **more: object) -> Event:
    return Event(kind, NOW, None, user, visitor, **more)  # type: ignore[arg-type]


def shown(name: str, **asked: object) -> Served:
    return Served(name, NOW, 1, "m", (), asked)


def records(bodies: Sequence[Body]) -> list[tuple[int, Record]]:
    return [(offset, to_record(body, NOW)) for offset, body in enumerate(bodies, 1)]


def taken(people: Sequence[Person], *bodies: Body) -> list[int]:
    return sorted(found(people, *bodies).taken())


def found(people: Sequence[Person], *bodies: Body) -> Finder:
    stored = records(bodies)
    finder = Finder(people, visitors_beside(people, stored))
    for offset, record in stored:
        finder.add(offset, record)
    return finder


def test_what_bears_the_user_id() -> None:
    assert taken([ANN], did("ann"), did("bo"), did("ann", "v"), shown("r", user_id="ann"), did("annie")) == [1, 3, 4]


def test_a_visitors_past_and_future_are_the_users_that_it_was_identified_as() -> None:
    bodies: list[Body] = [
        did(None, "v"),
        shown("r", visitor_id="v"),
        did("ann", "v", "identify"),
        did(None, "v"),
        did(None, "w"),
    ]
    assert taken([ANN], *bodies) == [1, 2, 3, 4]
    assert found([ANN], *bodies).visitors() == ["v"]
    assert taken([V], *bodies) == []
    assert found([V], *bodies).known() == 1


def test_a_second_identify_moves_what_comes_after_it() -> None:
    bodies: list[Body] = [
        did(None, "v"),
        did("bo", "v", "identify"),
        did(None, "v"),
        did("ann", "v", "identify"),
        did(None, "v"),
    ]
    assert taken([ANN], *bodies) == [4, 5]
    assert taken([BO], *bodies) == [1, 2, 3]
    assert taken([ANN, BO], *bodies) == [1, 2, 3, 4, 5]


def test_an_identify_without_consent_joins_nobody_but_stands_beside() -> None:
    bodies: list[Body] = [did(None, "v"), did("ann", "v", "identify", consent=False), did(None, "v")]
    assert taken([ANN], *bodies) == [1, 2, 3]
    assert taken([V], *bodies) == [1, 3]
    assert taken([BO], *bodies) == []


def test_a_visitor_beside_one_user_only_is_that_users() -> None:
    assert taken([ANN], did(None, "v"), did("ann", "v")) == [1, 2]
    shared = [did(None, "v"), did("ann", "v"), did("bo", "v")]
    assert taken([ANN], *shared) == [2]
    assert found([ANN], *shared).others() == 1
    assert taken([ANN, BO], *shared) == [1, 2, 3]
    assert taken([V], *shared) == [1]


def test_without_consent_before_the_login_is_the_users_too() -> None:
    assert taken([ANN], did(None, "v", consent=False), did("ann", "v", "identify")) == [1, 2]


def test_a_list_that_names_nobody_is_whose_session_it_names() -> None:
    bodies: list[Body] = [
        shown("r1", session_id="s"),
        did(None, "v", session_id="s"),
        did("ann", "v", "identify"),
        shown("r2", session_id="other"),
        shown("r3"),
        shown("r4", session_id="s", user_id="bo"),
    ]
    assert taken([ANN], *bodies) == [1, 2, 3]
    assert taken([V], shown("r", session_id="s"), did(None, "v", session_id="s")) == [1, 2]


def test_a_visitor_that_turns_up_later_is_a_stranger() -> None:
    finder = Finder([ANN], visitors_beside([ANN], records([did("ann", "v")])))
    finder.add(1, to_record(did("ann", "v")))
    assert not finder.strangers
    finder.add(2, to_record(did("bo", "w")))
    assert not finder.strangers
    finder.add(3, to_record(did("ann", "w")))
    assert finder.strangers


def test_the_log_is_read_to_its_end(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.append([to_record(one) for one in (did("ann"), did("bo"), did("ann", "v"), did(None, "v"), did("bo"))])
    finder, last = find(log, [ANN])
    assert (finder.taken(), last) == ({1, 3, 4}, 5)
    assert [offset for offset, _ in entries_of(log, [4, 9, 1])] == [1, 4]
    assert find(log, [Person(visitor_id="nobody")])[0].taken() == set()
    log.close()


def test_who_turns_up_between_the_two_readings_is_found(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    log.append([to_record(one) for one in (did(None, "v"), did("ann"))])
    readings = []

    class Filling(SqliteLog):
        """The same log, into which others write after it was read for the first time."""

        def read(self, after: int = 0, limit: int | None = None) -> Iterator[tuple[int, Record]]:
            yield from super().read(after, limit)
            readings.append(after)
            if len(readings) == 1:
                log.append([to_record(did("ann", "v", "identify"))])

    filling = Filling(tmp_path / "log.db")
    assert find(filling, [ANN])[0].taken() == {1, 2, 3}
    assert len(readings) == 4
    filling.close()
    log.close()


@given(LOGS, ASKED)
@settings(max_examples=300, deadline=None)
def test_whose_it_is_as_the_slow_rule_says(stream: list[Entry], people: list[Person]) -> None:
    stored = [(one.offset, to_record(one.body, one.time)) for one in stream]  # type: ignore[arg-type]  # bodies
    finder = Finder(people, visitors_beside(people, stored))
    for offset, record in stored:
        finder.add(offset, record)
    assert not finder.strangers
    assert finder.taken() == theirs(stream, people)


@given(LOGS, ASKED)
@settings(max_examples=20, deadline=None)
def test_the_same_from_a_log(stream: list[Entry], people: list[Person]) -> None:
    with TemporaryDirectory() as folder:
        log = SqliteLog(Path(folder) / "log.db")
        log.append([to_record(one.body, one.time) for one in stream])  # type: ignore[arg-type]  # bodies
        assert find(log, people)[0].taken() == theirs(stream, people)
        log.close()
