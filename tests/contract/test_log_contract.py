"""What every log promises. A new technology is tested by being listed in LOGS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endcap.backends.log.sqlite import SqliteLog
from endcap.protocols import Log
from endcap.types import Record, Rewrite

Opener = Callable[[Path], Log]

LOGS: dict[str, Opener] = {"sqlite": lambda folder: SqliteLog(folder / "log" / "endcap.db")}


@pytest.fixture(params=list(LOGS.values()), ids=list(LOGS))
def opener(request: pytest.FixtureRequest) -> Opener:
    chosen: Opener = request.param
    return chosen


def record(key: str | None = None, data: bytes = b"{}", time: int = 1) -> Record:
    return Record("event", time, data, key)


def test_an_empty_log_has_nothing(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    assert log.last_offset() == 0
    assert list(log.read()) == []
    assert log.append([]) == []
    assert log.last_offset() == 0
    log.close()


def test_gives_back_each_field_as_it_was(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    records = [
        Record("event", 1_764_000_000_123, b'{"type":"view"}', "e-1"),
        Record("item", 0, b"", None),
        Record("activation", 2**62, "茶\x00".encode(), ""),
        Record("event", 5, b"\xff\x00", "键\x00e"),
    ]
    offsets = log.append(records)
    assert offsets == [1, 2, 3, 4]
    assert list(log.read()) == list(zip(offsets, records, strict=True))
    log.close()


def test_a_key_is_stored_once(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    first = log.append([record("a", b"1"), record("b", b"2"), record("a", b"3")])
    assert first[0] is not None
    assert first[1] is not None
    assert first[2] is None
    second = log.append([record("b", b"4"), record("c", b"5")])
    assert second[0] is None
    assert second[1] is not None
    assert [(r.key, r.data) for _, r in log.read()] == [("a", b"1"), ("b", b"2"), ("c", b"5")]
    log.close()


def test_records_without_a_key_are_never_duplicates(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    assert None not in log.append([record(), record()]) + log.append([record()])
    assert len(list(log.read())) == 3
    log.close()


def test_reads_after_an_offset_up_to_a_limit(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    offsets = log.append([record(str(i)) for i in range(10)])
    third = offsets[2]
    assert third is not None
    assert [r.key for _, r in log.read(after=third)] == ["3", "4", "5", "6", "7", "8", "9"]
    assert [r.key for _, r in log.read(after=third, limit=2)] == ["3", "4"]
    assert list(log.read(limit=0)) == []
    assert list(log.read(after=log.last_offset())) == []
    log.close()


def test_finds_by_key(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    log.append([record("a", b"1"), record(None, b"2"), record("键", b"3", time=7)])
    assert log.find("键") == (3, record("键", b"3", time=7))
    assert log.find("b") is None
    assert log.find("") is None
    log.close()


def test_expires_the_oldest_of_one_kind(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    shown = [Record("served", time, b"{}", f"s{time}") for time in (5, 3, 9, 4)]
    log.append([record("e", time=1), *shown, record("f", time=2)])
    assert log.expire("served", before=6, limit=2) == 2
    assert [one.key for _, one in log.read()] == ["e", "s5", "s9", "f"]
    assert log.expire("served", before=6, limit=2) == 1
    assert log.expire("served", before=6, limit=2) == 0
    assert log.expire("nothing", before=100, limit=2) == 0
    assert log.find("s3") is None
    assert [one.key for _, one in log.read()] == ["e", "s9", "f"]
    log.close()


def test_an_offset_is_not_given_again_after_the_newest_has_expired(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    log.append([record("e"), Record("served", 1, b"{}", "s")])
    assert log.expire("served", before=2, limit=10) == 1
    assert log.append([record("f")]) == [3]
    log.close()


def test_what_was_acknowledged_is_there_after_reopening(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    log.append([record("a"), record("b")])
    before = list(log.read())
    log.close()
    log.close()  # twice is harmless
    again = opener(tmp_path)
    assert list(again.read()) == before
    assert again.append([record("a")]) == [None]
    (offset,) = again.append([record("c")])
    assert offset is not None
    assert offset > before[-1][0]
    again.close()


def test_two_openings_of_one_log_see_each_other(opener: Opener, tmp_path: Path) -> None:
    one, two = opener(tmp_path), opener(tmp_path)
    one.append([record("a")])
    assert two.last_offset() == one.last_offset() > 0
    assert two.append([record("a"), record("b")])[0] is None
    assert [r.key for _, r in one.read()] == ["a", "b"]
    one.close()
    two.close()


def test_a_stalled_reader_blocks_nobody_and_then_sees_what_came(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    log.append([record(str(i)) for i in range(5_000)])
    reader = log.read()
    seen = [next(reader)[1].key]
    log.append([record("late")])
    seen += [r.key for _, r in reader]
    assert seen == [*map(str, range(5_000)), "late"]
    log.close()


def test_a_batch_of_any_size_keeps_its_order(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    records = [record(str(i % 1_500), str(i).encode()) for i in range(2_001)]
    offsets = log.append(records)
    assert [offset is None for offset in offsets] == [i >= 1_500 for i in range(2_001)]
    given = [offset for offset in offsets if offset is not None]
    assert given == sorted(set(given))
    assert [(offset, r.data) for offset, r in log.read()] == [(o, str(i).encode()) for i, o in enumerate(given)]
    log.close()


def test_several_threads_append_and_read(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    seen: list[list[int]] = []

    def write(name: str) -> None:
        for i in range(25):
            log.append([record(f"{name}-{i}"), record(f"both-{i}")])

    def read() -> None:
        while log.last_offset() < 100:
            seen.append([offset for offset, _ in log.read()])

    threads = [threading.Thread(target=write, args=(name,)) for name in "xyz"] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    log.append([record() for _ in range(100)])
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    keys = [r.key for _, r in log.read() if r.key is not None]
    expected = {f"{name}-{i}" for name in ("x", "y", "z", "both") for i in range(25)}
    assert sorted(keys) == sorted(expected)
    assert all(earlier == sorted(set(earlier)) for earlier in seen)
    log.close()


def test_two_openings_of_one_log_append_at_the_same_time(opener: Opener, tmp_path: Path) -> None:
    logs = [opener(tmp_path), opener(tmp_path)]
    offsets: list[list[int | None]] = [[], []]

    def write(mine: int) -> None:
        for i in range(60):
            offsets[mine] += logs[mine].append([record(f"{mine}-{i}"), record(f"both-{i}")])

    threads = [threading.Thread(target=write, args=(mine,)) for mine in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [len(given) for given in offsets] == [120, 120]
    given = [offset for both in offsets for offset in both if offset is not None]
    assert sorted(given) == [offset for offset, _ in logs[0].read()]
    assert len(set(given)) == len(given) == 180
    for log in logs:
        log.close()


class ListLog:
    """The promise in its plainest form."""

    def __init__(self) -> None:
        self.rows: list[Record] = []

    def append(self, records: list[Record]) -> list[bool]:
        news = []
        for new in records:
            news.append(new.key is None or new.key not in [row.key for row in self.rows])
            if news[-1]:
                self.rows.append(new)
        return news


RECORDS = st.builds(
    Record,
    kind=st.sampled_from(["event", "item", "activation"]),
    time=st.integers(0, 2**63 - 1),
    data=st.binary(max_size=20),
    key=st.none() | st.text("abc\x00é", max_size=2),
)


@pytest.mark.parametrize("name", LOGS)
@settings(deadline=None, max_examples=60)
@given(batches=st.lists(st.lists(RECORDS, max_size=8) | st.just("reopen"), max_size=8), after=st.integers(0, 10))
def test_behaves_like_a_list(name: str, batches: list[list[Record] | str], after: int) -> None:
    model = ListLog()
    with TemporaryDirectory() as folder:
        log = LOGS[name](Path(folder))
        for batch in batches:
            if isinstance(batch, str):
                log.close()
                log = LOGS[name](Path(folder))
                continue
            offsets = log.append(batch)
            assert [offset is not None for offset in offsets] == model.append(batch)
            given = [offset for offset in offsets if offset is not None]
            assert log.last_offset() == (given[-1] if given else log.last_offset())
        stored = list(log.read())
        assert [r for _, r in stored] == model.rows
        assert [o for o, _ in stored] == sorted({o for o, _ in stored})
        assert list(log.read(after, limit=3)) == [pair for pair in stored if pair[0] > after][:3]
        log.close()


def test_the_past_is_rewritten_in_one_transaction(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    log.append([record(key, key.encode()) for key in "abcde"])
    seen: list[tuple[int, Record]] = []

    def decide(tail: Sequence[tuple[int, Record]]) -> Rewrite:
        seen.extend(tail)
        return Rewrite({2: None, 4: Record("erased", 0, b"{}"), 99: None}, [record("a", b"7"), record("f", b"8")])

    assert log.rewrite(3, decide) == [None, 7]
    assert [(offset, one.key) for offset, one in seen] == [(4, "d"), (5, "e")]
    assert [(offset, one.kind, one.key, one.data) for offset, one in log.read()] == [
        (1, "event", "a", b"a"),
        (3, "event", "c", b"c"),
        (4, "erased", None, b"{}"),
        (5, "event", "e", b"e"),
        (7, "event", "f", b"8"),
    ]
    assert log.find("b") is None
    assert log.find("d") is None
    assert log.append([record("d", b"again")]) == [8]
    log.close()


def test_nothing_is_rewritten_where_that_is_decided(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    log.append([record("a"), record("b")])
    before = list(log.read())

    def fail(tail: Sequence[tuple[int, Record]]) -> Rewrite:
        raise ValueError(f"{len(tail)} records")

    assert log.rewrite(0, lambda _: None) == []
    with pytest.raises(ValueError, match="2 records"):
        log.rewrite(0, fail)
    assert list(log.read()) == before
    assert log.append([record("c")]) == [3]
    log.close()


def test_nobody_appends_while_it_is_decided_what_changes(opener: Opener, tmp_path: Path) -> None:
    log, other = opener(tmp_path), opener(tmp_path)
    log.append([record("a")])
    appended = threading.Event()

    def append() -> None:
        other.append([record("b")])
        appended.set()

    writer = threading.Thread(target=append)

    def decide(tail: Sequence[tuple[int, Record]]) -> Rewrite:
        writer.start()
        assert not appended.wait(0.2), tail
        return Rewrite({1: None}, [record("c")])

    assert log.rewrite(0, decide) == [2]
    writer.join(30)
    assert [(offset, one.key) for offset, one in log.read()] == [(2, "c"), (3, "b")]
    log.close()
    other.close()


def test_the_newest_may_go_and_its_offset_is_not_given_again(opener: Opener, tmp_path: Path) -> None:
    log = opener(tmp_path)
    log.append([record("a"), record("b")])
    assert log.rewrite(2, lambda _: Rewrite({2: None})) == []
    log.compact()
    assert log.last_offset() == 1
    assert log.append([record("c")]) == [3]
    log.close()


def test_no_byte_of_what_went_is_left_on_the_disk(opener: Opener, tmp_path: Path) -> None:
    """Random keys split the pages of an index again and again: that is where bytes of moved rows stay behind."""
    log, reader = opener(tmp_path), opener(tmp_path)
    random = Random(1)
    people = [f"person{number:03d}" for number in range(40)]
    whose: dict[str, list[int]] = {one: [] for one in people}
    for _ in range(200):
        chosen = random.choices(people, k=50)
        records = [
            record(f"{random.getrandbits(64):016x}-{one}", f"{one} {'x' * random.randrange(99)}".encode())
            for one in chosen
        ]
        for one, offset in zip(chosen, log.append(records), strict=True):
            whose[one].append(offset or 0)
    for one in people[:20]:
        log.rewrite(0, lambda _, one=one: Rewrite(dict.fromkeys(whose[one])))  # type: ignore[misc]  # bound at once
    assert len(list(reader.read())) == sum(len(whose[one]) for one in people[20:])
    log.compact()
    stored = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    assert [one for one in people[:20] if one.encode() in stored] == []
    assert all(one.encode() in stored for one in people[20:])
    log.close()
    reader.close()
