"""How a file writes its times: seen in a sample, then read the same way to the end."""

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
_NUMBER = re.compile(r"-?\d{7,}(\.\d+)?$")
_PARTS = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?$")
_YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})")

TimeReader = Callable[[object], int]
"""A time as a file has it, to milliseconds since 1970; InvalidFieldError if it is none."""


def time_reader(sample: Iterable[object]) -> TimeReader:
    """How to read the times of which ``sample`` shows some. A time without an offset is UTC.

    Raises DataError if days and months cannot be told apart (3/4/2011).
    """
    day_first = _day_first([found for found in map(_day_month, sample) if found])

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


def _day_month(value: object) -> tuple[int, int, str] | None:
    found = _PARTS.match(value.strip()) if isinstance(value, str) else None
    return (int(found[1]), int(found[3]), found[2]) if found else None


def _day_first(sample: list[tuple[int, int, str]]) -> bool:
    if not sample or any(mark == "." for *_, mark in sample):
        return True  # 24.11.2026 has the day first wherever dots are used
    if any(first > 12 for first, *_ in sample):
        return True
    if any(second > 12 for _, second, _ in sample):
        return False
    first, second, mark = sample[0]
    raise DataError(
        f"a time such as {first}{mark}{second}{mark}... can be day-month or month-day, and none of the first "
        f"{len(sample)} rows tells which: write 2026-11-24T09:30:00Z"
    )


def _from_text(text: str, day_first: bool) -> int:
    if _NUMBER.match(text):
        return _from_number(float(text) if "." in text else int(text))
    try:
        return _from_datetime(datetime.fromisoformat(_YEAR_FIRST.sub(r"\1-\2-\3", text)))
    except ValueError:
        found = _PARTS.match(text)
    if found is None:
        raise _unreadable(text)
    day, month = (found[1], found[3]) if day_first else (found[3], found[1])
    try:
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
    scale = next(scale for least, scale in _SCALES if abs(value) >= least)
    return int(value) if scale == 1.0 else round(value * scale)


def _unreadable(value: object) -> InvalidFieldError:
    return InvalidFieldError("time", f"time is {value!r:.80}: give 2026-11-24T09:30:00Z, or seconds or ms since 1970")
