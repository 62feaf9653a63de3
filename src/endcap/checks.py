"""Checks for one field of outside input: a clean value, or an error that names the field, the value and the remedy.

Standard library only: the records of ``events`` and ``catalog`` are built on it, and they run inside Flink too.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from endcap.errors import InvalidFieldError
from endcap.types import MS_PER_DAY

MAX_ID_LENGTH = 256
MAX_TEXT_LENGTH = 20_000
FUTURE_TOLERANCE_MS = MS_PER_DAY
"""A shop's clock may run ahead by a day; what is later than that is a mistake (a date in 2099)."""


def parse_id(name: str, value: object) -> str:
    """A string of 1 to 256 characters; a whole number is taken as its digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_LENGTH:
        raise InvalidFieldError(name, f"{name} must be a string of 1 to {MAX_ID_LENGTH} characters, not {value!r:.80}")
    return value


def parse_text(name: str, value: object) -> str:
    """A string of at most 20,000 characters."""
    if not isinstance(value, str) or len(value) > MAX_TEXT_LENGTH:
        raise InvalidFieldError(name, f"{name} must be a string of at most {MAX_TEXT_LENGTH} characters")
    return value


def parse_number(name: str, value: object) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidFieldError(name, f"{name} must be a finite number, not {value!r:.80}")
    return float(value)


def parse_flag(name: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidFieldError(name, f"{name} must be true or false, not {value!r:.80}")
    return value


def parse_moment(name: str, value: object) -> int:
    """RFC 3339 or whole milliseconds since 1970, as milliseconds; without an offset it is UTC."""
    moment = _to_ms(name, value)
    if moment < 0:
        raise InvalidFieldError(name, f"{name} is {value!r}: it must not be before 1970")
    return moment


def parse_past(name: str, value: object, received: int) -> int:
    """The same, at most a day after ``received``."""
    moment = parse_moment(name, value)
    if moment > received + FUTURE_TOLERANCE_MS:
        raise InvalidFieldError(name, f"{name} is {value!r}: that is more than a day in the future; check the clock")
    return moment


def _to_ms(name: str, value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is not None:
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return int(aware.timestamp() * 1000)
    raise InvalidFieldError(
        name, f"{name} is {value!r:.80}: give RFC 3339 (2026-11-24T09:30:00Z) or whole milliseconds since 1970"
    )
