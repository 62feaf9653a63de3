"""Durations as they are written on the command line."""

from __future__ import annotations

import click
import pytest

from endcap.interfaces.cli.durations import duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("30m", 1_800), ("6h", 21_600), ("1d", 86_400), ("1.5h", 5_400), (" 2h ", 7_200)]
)
def test_a_number_and_a_unit_are_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-1h", "1w", "1 h", "nanh", "1e3s", "9999999d"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no duration: write 30m, 6h or 1d"):
        duration(text)


def test_less_than_a_minute_is_refused() -> None:
    with pytest.raises(click.BadParameter, match="'59s' is less than a minute: give at least 1m"):
        duration("59s")
