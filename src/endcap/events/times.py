"""How a file writes its times: found out first, then read the same way to the end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta

from endcap.errors import DataError, InvalidFieldError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_SCALES = ((1e17, 1e-6), (1e14, 1e-3), (1e11, 1.0), (0.0, 1e3))
"""From this number on, what makes it milliseconds: nanoseconds, microseconds, milliseconds, seconds.

A number is taken for the unit in which it falls between 1973 and 5138."""
_NUMBER = re.compile(r"-?\d{8,20}(\.\d+)?$")
_DAYS = range(19_700_101, 99_991_232)
"""A whole number among these is a date without marks (20261124): as seconds it would lie in the early seventies."""
_PARTS = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?$")
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})")

_ENOUGH = 1_000
"""Rows after which a file that has written no 24/11/2026 so far is not expected to."""

TimeReader = Callable[[object], int]
"""A time as a file has it, to milliseconds since 1970; InvalidFieldError if it is none."""


def time_reader(times: Iterable[object]) -> TimeReader:
    """How to read ``times``, of which no more are looked at than it takes. A time without an offset is UTC.

    Raises DataError if days and months cannot be told apart in any of them (3/4/2011).
    """
    day_first = _day_first(times)

    def read(value: object) -> int:
        if isinstance(value, str):
            return _from_text(value.strip(), day_first)
        if isinstance(value, datetime):
            return _from_datetime(value)
        if isinstance(value, date):
            return _from_datetime(datetime(value.year, value.month, value.day, tzinfo=UTC))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return _from_number(value)
        raise _unreadable(value)

    return read


def _day_first(times: Iterable[object]) -> bool:
    doubtful = ""
    for count, value in enumerate(times):
        found = _PARTS.match(value.strip()) if isinstance(value, str) else None
        if found is None:
            if count >= _ENOUGH and not doubtful:
                return True  # this file does not write its times that way: nothing is to be told apart
            continue
        if found[2] == "." or int(found[1]) > 12:
            return True  # 24.11.2026 has the day first wherever dots are used
        if int(found[3]) > 12:
            return False
        doubtful = doubtful or found[0]
    if doubtful:
        raise DataError(
            f"the time {doubtful} can be day-month or month-day, and no row tells which: write 2026-11-24T09:30:00Z"
        )
    return True


def _from_text(text: str, day_first: bool) -> int:
    if _NUMBER.match(text):
        return _from_number(float(text) if "." in text else int(text))
    try:
        return _from_datetime(datetime.fromisoformat(text))
    except ValueError:
        return _from_parts(_YEAR_FIRST.sub(_with_dashes, text), day_first)


def _with_dashes(found: re.Match[str]) -> str:
    return f"{found[1]}-{int(found[2]):02}-{int(found[3]):02}"


def _from_parts(text: str, day_first: bool) -> int:
    found = _PARTS.match(text)
    try:
        if found is None:
            return _from_datetime(datetime.fromisoformat(text))
        day, month = (found[1], found[3]) if day_first else (found[3], found[1])
        hour, minute, second = (int(part or 0) for part in found.group(5, 6, 7))
        return _from_datetime(datetime(int(found[4]), int(month), int(day), hour, minute, second, tzinfo=UTC))
    except ValueError as error:
        raise _unreadable(text) from error


def _from_datetime(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MS


def _from_number(value: float) -> int:
    if not abs(value) < 1e20:  # NaN too
        raise _unreadable(value)
    if value in _DAYS:
        return _from_text(f"{int(value) // 10_000}-{int(value) // 100 % 100:02}-{int(value) % 100:02}", day_first=True)
    scale = next(scale for least, scale in _SCALES if abs(value) >= least)
    return int(value) if scale == 1.0 else round(value * scale)


def _unreadable(value: object) -> InvalidFieldError:
    return InvalidFieldError("time", f"time is {value!r:.80}: give 2026-11-24T09:30:00Z, or seconds or ms since 1970")
