"""Who is let in when more is asked than can be answered: a standing queue is cut short, a burst is not.

The rule is that of CoDel (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012) as servers use it (Maurer,
"Fail at Scale", ACM Queue 2015): once a crowd waits and the loop has been late without a break for a while, and until
what comes fits again, only one request may wait for its turn, so that those let in do not stand in a queue. What is
refused is refused before anything is done for it, so that a flood takes little of the place of the lists.

Lateness is counted in time, not in samples: a loop that is behind also comes late to ask how late it is, so that five
samples of a queue of 64 lists take 0.3 s, in which 250 of them get in line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SAMPLE_SECONDS = 0.01
"""How often the loop is asked how late it is."""
LATE_SECONDS = 0.002
"""A loop that comes later than this to what is due has a queue; at half its capacity it comes 0.2 to 0.4 ms late."""
STANDING_SECONDS = 0.02
"""A loop that was late for so long without a break is congested, where CROWD wait. A page that asks for 20 lists at
once, or a neighbour that takes the core for a moment, is over by then."""
CROWD = 8
"""Requests that wait in a queue that is worth cutting: a browser opens six connections, and a slow answer that holds up
what one page asks for is no overload."""
SMOOTHING = 0.1
"""Weight of the newest sample in the lateness that is shown: the last ten or so count, 0.1 s."""
CALM_SECONDS = 0.1
"""How long a congested loop is watched before it may be calm again."""
FITS = 0.9
"""It is calm when all that came would have taken less than this share of the time: what the thread was busy for, times
what came over what was let in. Counting refusals alone would not do: of two requests a second that come together, the
second is refused for ever."""
AHEAD = 1
"""Requests that may wait for their turn in a congested loop; one that comes then is refused. What is let in waits for
the list that is made, for this one, and for its own: 2 or 3 ms on the demo shop."""
BURST = 32
"""Requests that may wait in a calm loop: one page's lists, and at most 30 ms of a sudden flood."""
SHEDDABLE = b"/v1/"
KEPT = b"/v1/stats"
"""Answered whatever happens, like health, metrics and the pages: somebody looks for what is wrong."""


class Admission:
    """How late the loop is, who waits, and what follows from it.

    ``timer`` gives monotonic seconds, ``busy`` the seconds of CPU that the loop's thread has taken so far.
    """

    def __init__(self, timer: Callable[[], float], busy: Callable[[], float]) -> None:
        self.late_seconds = 0.0
        """How late the loop comes to what is due; smoothed."""
        self.congested = False
        self.waiting = 0
        """Requests that were let in and whose turn has not come."""
        self.refused = 0
        """Requests that were not let in."""
        self._timer = timer
        self._busy = busy
        self._late_since: float | None = None
        self._most = 0
        """Most that waited since the last sample: a loop that comes late to ask has answered them by then."""
        self._watched_since = 0.0
        self._busy_before = 0.0
        self._asked = 0
        """Of what may be refused, how much has come since then."""
        self._refused_before = 0

    def admits(self, path: bytes) -> bool:
        """Whether a request for ``path`` that has come now will be answered."""
        if not path.startswith(SHEDDABLE) or path.startswith(KEPT):
            return True
        self._asked += 1
        self._most = max(self._most, self.waiting)
        if self.waiting < (AHEAD if self.congested else BURST):
            return True
        self.refused += 1
        return False

    def sample(self, late_seconds: float) -> None:
        """Note that something due came ``late_seconds`` late, just now."""
        now = self._timer()
        self.late_seconds += SMOOTHING * (max(late_seconds, 0.0) - self.late_seconds)
        if late_seconds <= LATE_SECONDS:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = now - late_seconds
        standing = self._late_since is not None and now - self._late_since >= STANDING_SECONDS
        crowd, self._most = max(self._most, self.waiting), self.waiting
        if standing and crowd >= CROWD:
            self.congested = True
            self._watch_on(now)
        elif self.congested and now - self._watched_since >= CALM_SECONDS:
            self.congested = self._demand(now) >= FITS
            self._watch_on(now)

    def _demand(self, now: float) -> float:
        """The share of the time that all that came since the last look would have taken."""
        busy = (self._busy() - self._busy_before) / (now - self._watched_since)
        let_in = self._asked - (self.refused - self._refused_before)
        return busy * self._asked / max(let_in, 1)

    def _watch_on(self, now: float) -> None:
        self._watched_since, self._asked, self._refused_before = now, 0, self.refused
        self._busy_before = self._busy()

    async def watch(self) -> None:
        """Sample the loop for as long as this runs."""
        while True:
            due = self._timer() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            self.sample(self._timer() - due)
