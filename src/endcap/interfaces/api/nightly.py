"""What ``endcap replay --check`` found last, from the home's reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec


class _Check(msgspec.Struct, frozen=True):
    name: str
    same: bool


class _Report(msgspec.Struct, frozen=True):
    at: int
    offset: int
    checks: list[_Check]


class DigestCheck(msgspec.Struct, frozen=True):
    """Whether a fold of the whole log comes to what serves."""

    at: int
    """Milliseconds since 1970: when it was looked at."""
    offset: int
    """The newest entry that was folded."""
    ok: bool
    """Whether all that was compared is the same to the last bit."""
    live: bool
    """Whether the memory of the running server was among it; else only what a restart would read."""


@dataclass(slots=True)
class Nightly:
    """The last report of a home, read again when its file changes."""

    path: Path
    _stamp: tuple[int, int] | None = None
    _found: DigestCheck | None = field(default=None)

    def last(self) -> DigestCheck | None:
        """What the last check found; None where there was none, or its file cannot be read."""
        try:
            status = self.path.stat()
            stamp = status.st_mtime_ns, status.st_size
            if stamp != self._stamp:
                self._found = _checked(msgspec.json.decode(self.path.read_bytes(), type=_Report))
                self._stamp = stamp
        except (OSError, msgspec.MsgspecError):
            self._stamp, self._found = None, None
        return self._found


def _checked(report: _Report) -> DigestCheck:
    names = {one.name for one in report.checks}
    return DigestCheck(report.at, report.offset, all(one.same for one in report.checks), "live" in names)
