"""Snapshots that a long fold leaves on its way, so that the next "why?" need not fold all of the log again.

Those of an erasure's own fold hold nobody who is erased, but the log does until the erasure is in it: up to then they
are files that nobody reads.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from endcap.state import snapshot
from endcap.state.fold import State
from endcap.state.snapshot import Newest

_logger = logging.getLogger(__name__)


class Ladder:
    """The rungs of one fold; those that were not put up are gone at its end."""

    def __init__(self, folder: Path, newest: Newest, start: int, last: int) -> None:
        """For a fold from the entry ``start`` to ``last``. ``newest``: what the log will hold."""
        self._folder, self._newest, self._last = folder, newest, last
        self._at = max(start, last - snapshot.APART * snapshot.MOST)  # older ones would not stay
        self._rungs: list[tuple[int, Path]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, part in self._rungs:
            part.unlink(missing_ok=True)

    def pass_by(self, state: State) -> None:
        """Keep ``state`` if the last one kept is far enough below. A disk that refuses is only noted."""
        if state.offset > self._last or state.offset - self._at < snapshot.APART:
            return
        self._at = state.offset
        part = self._folder / f"{state.offset:020d}-{id(self)}.{os.getpid()}.part"
        self._rungs.append((state.offset, part))
        try:
            snapshot.write(state, part, self._newest)
        except OSError as error:
            part.unlink(missing_ok=True)
            _logger.warning("no snapshot of the state", extra={"reason": str(error)})

    def put_up(self, since: int) -> bool:
        """They are what the log adds up to, unless somebody was erased after its entry ``since``. Whether any are."""
        for offset, part in self._rungs:
            with contextlib.suppress(OSError):  # the disk refused it, or somebody else is erased
                part.replace(self._folder / snapshot.name_since(offset, since))
        return bool(self._rungs)
