"""Who is let in when more is asked than can be answered: a standing queue is cut short, a burst is not.

The rule is that of CoDel (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012) as servers use it (Maurer,
"Fail at Scale", ACM Queue 2015): once the loop has been late without a break, and until it is calm again, only a few
requests may wait for their turn, so that those let in do not stand in a long queue. What is refused is refused
before anything is done for it, so that a flood takes little of the place of the lists.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

SAMPLE_SECONDS = 0.01
"""How often the loop is asked how late it is."""
LATE_SECONDS = 0.002
"""A loop whose last STANDING samples were all later than this is congested. One page that asks for 30 lists at once, or
a neighbour that takes the core for a moment, makes one or two samples late."""
STANDING = 5
SMOOTHING = 0.1
"""Weight of the newest sample in the lateness that is shown: the last ten or so count, 0.1 s."""
CALM_SECONDS = 0.001
"""A congested loop is calm again when its smoothed lateness is below this; at half its capacity it is 0.2 to 0.4 ms."""
AHEAD = 3
"""Requests that may wait for their turn in a congested loop; one that comes then is refused."""
SHEDDABLE = b"/v1/"
KEPT = b"/v1/stats"
"""Answered whatever happens, like health, metrics and the pages: somebody looks for what is wrong."""


class Admission:
    """How late the loop is, who waits, and what follows from it. ``timer`` gives monotonic seconds."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self.late_seconds = 0.0
        """How late the loop comes to what is due; smoothed."""
        self.congested = False
        self.waiting = 0
        """Requests that were let in and whose turn has not come."""
        self.refused = 0
        """Requests that were not let in."""
        self._timer = timer
        self._newest: deque[float] = deque(maxlen=STANDING)

    def admits(self, path: bytes) -> bool:
        """Whether a request for ``path`` that has come now will be answered."""
        if not self.congested or self.waiting < AHEAD:
            return True
        if not path.startswith(SHEDDABLE) or path.startswith(KEPT):
            return True
        self.refused += 1
        return False

    def sample(self, late_seconds: float) -> None:
        """Note that something due came ``late_seconds`` late."""
        self.late_seconds += SMOOTHING * (max(late_seconds, 0.0) - self.late_seconds)
        self._newest.append(late_seconds)
        if len(self._newest) == STANDING and min(self._newest) > LATE_SECONDS:
            self.congested = True
        elif self.late_seconds < CALM_SECONDS:
            self.congested = False

    async def watch(self) -> None:
        """Sample the loop for as long as this runs."""
        while True:
            due = self._timer() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            self.sample(self._timer() - due)
