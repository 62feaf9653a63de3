"""When the running shop keeps its state on the disk, so that a start after a crash takes seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from endcap.serving.copied import in_a_copy
from endcap.state.fold import State

_logger = logging.getLogger(__name__)

EVERY_ENTRIES = 100_000
"""Entries that take about 1.5 s to replay. While a copy is kept lists take longer: with 20,000 that was a tenth of the
time at 1,000 lists a second."""
AT_LEAST_SECONDS = 3_600.0
"""Where something has happened, there is a snapshot so often, and with it a digest for the check of the night."""
PAUSE_SECONDS = 10.0
"""At least so long after the last one."""
PAUSE_TIMES = 20.0
"""And so many times as long as that took: one of a large shop may use a twentieth of a core."""
GIVE_UP_SECONDS = 600.0
"""After which a snapshot has failed."""


class Checkpoints:
    """Keeps the state now and then, in a copy of the process."""

    def __init__(
        self,
        prepare: Callable[[State], Callable[[], None]],
        finish: Callable[[int], None],
        timer: Callable[[], float],
    ) -> None:
        """``prepare`` gives what the copy is to do: it reads what the copy may not, such as the log.

        ``finish`` is called in a thread with the offset of what is kept then. ``timer`` gives monotonic seconds.
        """
        self._prepare = prepare
        self._finish = finish
        self._timer = timer
        self._offset = self._anchor = -1
        self._ended = timer()
        self._took = 0.0

    def due(self, state: State) -> bool:
        """Whether ``state`` is to be kept now. The first call counts what it sees as kept."""
        if self._offset < 0:
            self._offset, self._anchor = state.offset, state.anchor
        idle = self._timer() - self._ended
        if state.outdated or state.anchor == self._anchor or idle < max(PAUSE_SECONDS, PAUSE_TIMES * self._took):
            return False
        return state.offset - self._offset >= EVERY_ENTRIES or idle >= AT_LEAST_SECONDS

    async def keep(self, state: State) -> None:
        """Keep ``state`` as it is now; what fails is only noted, and comes again."""
        begun, offset = self._timer(), state.offset
        self._offset, self._anchor = offset, state.anchor
        try:
            problem = await in_a_copy(self._prepare(state), GIVE_UP_SECONDS)
        except Exception as error:  # no room for a copy, a log that cannot be read: the next one may succeed
            problem = f"{type(error).__name__}: {error}"
        finally:  # also where the server stops meanwhile: a copy that was ended leaves its half of a file
            self._ended = self._timer()
            self._took = self._ended - begun
            await asyncio.to_thread(self._finish, offset)
        if problem is None:
            _logger.info("state kept", extra={"offset": offset, "seconds": round(self._took, 3)})
        else:
            _logger.warning("state not kept", extra={"offset": offset, "reason": problem})
