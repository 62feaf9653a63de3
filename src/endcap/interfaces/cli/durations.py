"""Durations as people write them: 30m, 6h, 1d."""

from __future__ import annotations

import re

import click

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WRITTEN = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])")


def duration(text: str) -> float:
    """Seconds, of a number and a unit (s, m, h, d). Raises click.BadParameter for another, or under a minute."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise click.BadParameter(f"{text!r:.40} is no duration: write 30m, 6h or 1d")
    seconds = float(found[1]) * _UNITS[found[2]]
    if seconds < 60:
        raise click.BadParameter(f"{text!r:.40} is less than a minute: give at least 1m")
    return seconds
