"""The canary: a visitor of the server's own, by whom it measures how soon a list follows an event.

An event of it goes the way of every event: encoded, committed to the log with its fsync, applied; then its list is
made. The network and the reading of a request are not in it. The server refuses the canary's name from outside. Its
views are entries of a kind of their own, so that they are in no count and in no training set, and only the newest stay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from endcap.checks import CANARY
from endcap.errors import EndcapError
from endcap.events.canary import CanaryView
from endcap.events.log import CANARY_KIND
from endcap.serving.engine import Answer, Request
from endcap.serving.live import Live

_logger = logging.getLogger(__name__)

TARGET_SECONDS = 0.025
"""What 99 of 100 readings should not exceed: 15 ms for all that is ours, and 10 ms for a slow fsync of a cloud disk."""
IDLE_SECONDS = 30.0
"""Between two readings of a shop in which nothing happens: two a minute are enough to show that it still works."""
COMPACT_EVERY = 100
"""Readings between two looks for views that may go; so many and a few are in the log at most."""
KEPT_MS = 10_000
"""Views of the last seconds stay: nobody loses an entry while it is being read."""
GIVE_UP_SECONDS = 10.0
"""A list that has not followed by then is a failure."""


class Canary:
    """Measures, every ``every_seconds`` while the shop is used, from the loop that owns the state."""

    def __init__(
        self,
        live: Live,
        every_seconds: float,
        timer: Callable[[], float],
        observe: Callable[[float], None],
    ) -> None:
        """``timer`` gives monotonic seconds; ``observe`` is told each reading, in seconds."""
        self.readings = 0
        self.failures = 0
        """Readings that came to nothing: the log refused, or the list did not follow."""
        self._live = live
        self._every = every_seconds
        self._timer = timer
        self._observe = observe
        self._seen = -1
        """The newest entry after the last reading."""

    async def keep(self) -> None:
        """Measure for as long as this runs."""
        last = self._timer() - IDLE_SECONDS
        while True:
            if self._live.engine.state.offset != self._seen or self._timer() - last >= IDLE_SECONDS:
                last = self._timer()
                await self.read()
            await asyncio.sleep(self._every)

    async def read(self) -> None:
        """Measure once, and note what came of it."""
        try:
            seconds = await self.measure()
        except (EndcapError, TimeoutError) as error:
            self.failures += 1
            _logger.warning("freshness not measured", extra={"reason": str(error)})
        else:
            if seconds is not None:
                self.readings += 1
                self._observe(seconds)
                if self.readings % COMPACT_EVERY == 0:
                    await self.compact()
        self._seen = self._live.engine.state.offset

    async def compact(self) -> None:
        """Let go of the views that are not of the last seconds."""
        try:
            await self._live.expire(CANARY_KIND, self._live.clock() - KEPT_MS)
        except EndcapError as error:
            _logger.warning("the canary's views not expired", extra={"reason": str(error)})

    async def measure(self) -> float | None:
        """Seconds from an event of the canary to the first list that differs; None where the shop has nothing to show.

        Raises OverloadedError or HomeError where the log refuses, TimeoutError where the list does not follow.
        """
        before = _items(self._list())
        if not before:
            return None
        started = self._timer()
        await self._live.append([CanaryView(before[0], self._live.clock())])
        while _items(self._list()) == before:
            if self._timer() - started > GIVE_UP_SECONDS:
                raise TimeoutError(f"the canary's list did not change within {GIVE_UP_SECONDS:g} s of its event")
            await asyncio.sleep(0.001)
        return self._timer() - started

    def _list(self) -> Answer:
        return self._live.engine.recommend(Request("for-you", visitor_id=CANARY), self._live.clock())


def _items(answer: Answer) -> tuple[str, ...]:
    return tuple([item.item_id for item in answer.items])
