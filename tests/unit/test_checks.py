"""Each check of one field: what it lets through, and each message."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.checks import (
    FUTURE_TOLERANCE_MS,
    MAX_MOMENT_MS,
    parse_currency,
    parse_flag,
    parse_id,
    parse_moment,
    parse_number,
    parse_past,
    parse_text,
    shown,
)
from endcap.errors import InvalidFieldError

NOW = 1_764_000_000_123
LONG = 10**5_000
"""Python refuses to turn it into digits, and it is larger than any float."""


@pytest.mark.parametrize(
    ("value", "expected"), [("a", "a"), (" ", " "), ("茶" * 256, "茶" * 256), (42, "42"), (-1, "-1")]
)
def test_ids(value: object, expected: str) -> None:
    assert parse_id("item_id", value) == expected


@pytest.mark.parametrize("value", ["", "x" * 257, None, True, 1.0, ["a"], b"a"])
def test_what_is_no_id(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=r"^item_id must be a string of 1 to 256 characters, not ") as caught:
        parse_id("item_id", value)
    assert caught.value.field == "item_id"
    assert len(str(caught.value)) < 150


def test_an_integer_that_python_does_not_write_out_is_no_id() -> None:
    with pytest.raises(InvalidFieldError, match="not an integer of more than 64 bits"):
        parse_id("item_id", LONG)


@pytest.mark.parametrize("parse", [parse_id, parse_text])
def test_half_a_character_is_refused(parse: Any) -> None:
    with pytest.raises(InvalidFieldError, match=r"^title is 'a\\ud83d': it is not valid Unicode; send UTF-8$"):
        parse("title", "a\ud83d")


def test_texts() -> None:
    assert parse_text("title", "") == ""
    assert parse_text("title", "é" * 20_000) == "é" * 20_000


@pytest.mark.parametrize("value", ["x" * 20_001, None, 1, b"x"])
def test_what_is_no_text(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=r"^title must be a string of at most 20000 characters$"):
        parse_text("title", value)


def test_currencies_are_written_in_one_way() -> None:
    assert parse_currency("currency", "EUR") == parse_currency("currency", "eur") == "EUR"


@pytest.mark.parametrize("value", ["", "Gold", "€", "EÜR", "E1R", " EUR", None, 5])
def test_what_is_no_currency(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=r"^currency is .*: give the code of three letters, such as EUR$"):
        parse_currency("currency", value)


@pytest.mark.parametrize("value", [0, -3, 2.5, 1e15, -1e15])
def test_numbers(value: float) -> None:
    number = parse_number("price", value)
    assert number == value
    assert type(number) is float


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        1.1e15,
        -1.1e15,
        pytest.param(LONG, id="long"),
        pytest.param(-LONG, id="-long"),
        True,
        "1",
        None,
    ],
)
def test_what_is_no_number(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=r"^price must be a finite number of at most 1e\+15, not "):
        parse_number("price", value)


def test_flags() -> None:
    assert parse_flag("in_stock", True) is True
    assert parse_flag("in_stock", False) is False


@pytest.mark.parametrize("value", [0, 1, "true", None])
def test_what_is_no_flag(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=f"^in_stock must be true or false, not {value!r}$"):
        parse_flag("in_stock", value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (NOW, NOW),
        (MAX_MOMENT_MS, MAX_MOMENT_MS),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.001Z", 1),
        ("1970-01-01T00:00:00.0019", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-02", 86_400_000),
        ("1970-01-02 00:00:01", 86_401_000),
        ("9999-12-31T23:59:59.999Z", MAX_MOMENT_MS),
    ],
)
def test_moments(value: object, expected: int) -> None:
    assert parse_moment("time", value) == expected


@given(st.integers(0, MAX_MOMENT_MS))
def test_each_millisecond_is_read_as_itself(ms: int) -> None:
    moment = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    assert parse_moment("time", moment.isoformat()) == ms


@pytest.mark.parametrize("value", [-1, "1969-12-31T23:59:59.9999Z", "1970-01-01T00:30:00+01:00"])
def test_a_moment_before_1970(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=r"^expires is .*: it must not be before 1970$"):
        parse_moment("expires", value)


@pytest.mark.parametrize("value", [MAX_MOMENT_MS + 1, 10**30, pytest.param(LONG, id="long")])
def test_a_moment_after_9999(value: int) -> None:
    with pytest.raises(InvalidFieldError, match=r"^expires is .*: it must not be after 9999; give milliseconds$"):
        parse_moment("expires", value)


@pytest.mark.parametrize("value", ["soon", "", "2026-13-01", 1.5, True, None, "1764000000123"])
def test_what_is_no_moment(value: object) -> None:
    with pytest.raises(InvalidFieldError, match=r"^time is .*: give RFC 3339 \(2026-11-24T09:30:00Z\) or whole millis"):
        parse_moment("time", value)


def test_a_clock_may_run_ahead_by_a_day() -> None:
    assert parse_past("time", NOW + FUTURE_TOLERANCE_MS, NOW) == NOW + 86_400_000
    with pytest.raises(
        InvalidFieldError, match=r"^time is .*: that is more than a day in the future; check the clock$"
    ):
        parse_past("time", NOW + FUTURE_TOLERANCE_MS + 1, NOW)
    with pytest.raises(InvalidFieldError, match=r"^time is '2099-01-01': that is more than a day"):
        parse_past("time", "2099-01-01", NOW)


def test_a_value_is_shown_in_at_most_80_characters() -> None:
    assert shown("abc") == "'abc'"
    assert shown("x" * 100) == "'" + "x" * 79
    assert shown(-LONG) == "an integer of more than 64 bits"
