"""Times as files write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from endcap.errors import DataError, InvalidFieldError
from endcap.events.times import time_reader

MOMENT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
MS = 1_795_512_600_000


def test_the_moment_of_these_tests_is_what_the_calendar_says() -> None:
    assert MOMENT.timestamp() * 1000 == MS


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-24T09:30:00Z",
        "2026-11-24T10:30:00+01:00",
        " 2026-11-24 09:30:00 ",
        "2026/11/24 09:30",
        "24/11/2026 9:30",
        "24.11.2026 09:30:00",
        MS,
        MS // 1000,
        MS / 1000,
        MS * 1000,
        MS * 1_000_000,
        str(MS),
        str(MS // 1000),
        f"{MS // 1000}.0",
        MOMENT,
        MOMENT.replace(tzinfo=None),
        MOMENT.astimezone(timezone(timedelta(hours=8))),
    ],
)
def test_one_moment_in_many_ways(value: object) -> None:
    assert time_reader([value])(value) == MS


@pytest.mark.parametrize("value", ["2026-11-24", date(2026, 11, 24), "20261124", 20_261_124, "2026/11/24"])
def test_a_day_is_its_midnight(value: object) -> None:
    assert time_reader([value])(value) == MS - 9.5 * 3_600_000


def test_one_row_that_cannot_be_otherwise_decides_for_the_file() -> None:
    assert time_reader(["3/4/2011", "3/25/2011"])("3/4/2011 00:00") == 1_299_196_800_000  # 4 March
    assert time_reader(["3/4/2011", "25/3/2011"])("3/4/2011 00:00") == 1_301_788_800_000  # 3 April


def test_looking_stops_where_it_is_decided() -> None:
    times = iter(["3/25/2011", "unread"])
    time_reader(times)
    assert list(times) == ["unread"]


def test_looking_stops_where_the_file_writes_times_otherwise() -> None:
    times = iter([MS] * 5_000)
    time_reader(times)
    assert len(list(times)) > 3_000


def test_an_undecided_file_is_refused() -> None:
    with pytest.raises(DataError, match=r"3/4/2011 can be day-month or month-day.*write 2026-11-24T09:30:00Z"):
        time_reader(["3/4/2011", "5/6/2011"])


@pytest.mark.parametrize(
    "value", ["yesterday", "", "31/02/2011", "20111301", float("nan"), float("inf"), "9" * 400, 10**30, True, None, [1]]
)
def test_what_is_no_time_is_refused(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=r"time is .*: give 2026-11-24T09:30:00Z, or seconds or ms"):
        time_reader(["25/11/2011"])(value)
