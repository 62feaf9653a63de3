"""Checks for one field of outside input: a clean value, or an error that names the field, the value and the remedy.

Standard library only: the records of ``events`` and ``catalog`` are built on it, and they run inside Flink too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from endcap.errors import InvalidFieldError
from endcap.types import MS_PER_DAY

MAX_ID_LENGTH = 256
CANARY = "endcap-canary"
"""The visitor as whom the server itself measures how soon a list follows an event; nobody else may speak for it."""
MAX_TEXT_LENGTH = 20_000
CURRENCY_LETTERS = 3
MAX_NUMBER = 1e15
"""Beyond any price or quantity, and within what a float32 column can hold."""
MAX_INTEGER = 2**63 - 1
MAX_MOMENT_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""
FUTURE_TOLERANCE_MS = MS_PER_DAY
"""A shop's clock may run ahead by a day; what is later than that is a mistake (a date in 2099)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_id(name: str, value: object) -> str:
    """A string of 1 to 256 characters; a whole number is taken as its digits. The canary's is nobody's."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INTEGER:
        value = str(value)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_LENGTH:
        raise InvalidFieldError(name, f"{name} must be a string of 1 to {MAX_ID_LENGTH} characters, not {shown(value)}")
    if name == "visitor_id" and value == CANARY:
        raise InvalidFieldError(name, f"visitor_id is {CANARY!r}: the server itself is that visitor; give another")
    return _encodable(name, value)


def parse_text(name: str, value: object) -> str:
    """A string of at most 20,000 characters."""
    if not isinstance(value, str) or len(value) > MAX_TEXT_LENGTH:
        raise InvalidFieldError(name, f"{name} must be a string of at most {MAX_TEXT_LENGTH} characters")
    return _encodable(name, value)


def parse_currency(name: str, value: object) -> str:
    """The three letters of ISO 4217, in upper case; whether there is such a currency is not looked up."""
    if not isinstance(value, str) or not (value.isascii() and value.isalpha() and len(value) == CURRENCY_LETTERS):
        raise InvalidFieldError(name, f"{name} is {shown(value)}: give the code of three letters, such as EUR")
    return value.upper()


def parse_number(name: str, value: object) -> float:
    """A finite number of at most 1e15 either way."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= MAX_NUMBER:
        raise InvalidFieldError(name, f"{name} must be a finite number of at most {MAX_NUMBER:g}, not {shown(value)}")
    return float(value)


def parse_flag(name: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InvalidFieldError(name, f"{name} must be true or false, not {shown(value)}")
    return value


def parse_moment(name: str, value: object) -> int:
    """RFC 3339 or whole milliseconds since 1970, as milliseconds; without an offset it is UTC."""
    moment = _to_ms(name, value)
    if moment < 0:
        raise InvalidFieldError(name, f"{name} is {shown(value)}: it must not be before 1970")
    if moment > MAX_MOMENT_MS:
        raise InvalidFieldError(name, f"{name} is {shown(value)}: it must not be after 9999; give milliseconds")
    return moment


def parse_past(name: str, value: object, received: int) -> int:
    """The same, at most a day after ``received``."""
    moment = parse_moment(name, value)
    if moment > received + FUTURE_TOLERANCE_MS:
        raise InvalidFieldError(
            name, f"{name} is {shown(value)}: that is more than a day in the future; check the clock"
        )
    return moment


def shown(value: object) -> str:
    """At most 80 characters of ``value`` for a message; Python refuses to write out the longest integers."""
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return "an integer of more than 64 bits"
    return f"{value!r:.80}"


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
            return (aware - _EPOCH) // timedelta(milliseconds=1)
    raise InvalidFieldError(
        name, f"{name} is {shown(value)}: give RFC 3339 (2026-11-24T09:30:00Z) or whole milliseconds since 1970"
    )


def _encodable(name: str, text: str) -> str:
    """``text``, unless half a character is in it (a lone surrogate): no file and no reply could hold that."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidFieldError(name, f"{name} is {text!a:.80}: it is not valid Unicode; send UTF-8") from None
    return text
