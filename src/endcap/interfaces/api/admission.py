"""Who is let in when more is asked than can be answered: a standing queue is cut short, a burst is not.

The rule is that of CoDel (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012) as servers use it (Maurer,
"Fail at Scale", ACM Queue 2015): a queue may be long for a moment, and short only for as long as what comes fills the
time. How short depends on what is usual in this shop: whose pages ask for six lists at once has five that wait
whenever a page is opened, and to let one wait where five do would refuse most of every page. So the server remembers
how many requests find how many waiting while it is calm; what is let in under load waits about twice as long at most.
What is refused is refused before anything is done for it, so that a flood takes little of the place of the lists.

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
"""A loop that was late for so long without a break is taken for full, where CROWD wait. A page that asks for 20 lists
at once, or a neighbour that takes the core for a moment, is over by then."""
CROWD = 8
"""Requests that wait in a queue that is worth cutting: a browser opens six connections, and a slow answer that holds up
what one page asks for is no overload."""
SMOOTHING = 0.1
"""Weight of the newest sample in the lateness that is shown: the last ten or so count, 0.1 s."""
LOOK_SECONDS = 0.05
"""How often the demand is measured: the share of the time that all that came would have taken, which is what the
thread was busy for, times what came over what was let in. Counting refusals alone would not do: of two requests a
second that come together, the second is refused for ever."""
CALM, BUSY, FULL = 0.6, 0.65, 0.9
"""Demands. Below CALM it is seen what is usual; from BUSY on the queue is limited, because what holds the loop up for
5 ms is made up for only after 20 ms; from FULL on the queue is always as long as it may be."""
BURST = 32
"""Requests that may wait in a loop that is not busy: one page's lists, and at most 30 ms of a sudden flood."""
PAGE = 5
"""Requests that wait where a browser asks over six connections: taken for usual until ENOUGH were seen."""
ENOUGH = 500
"""Requests from which it is told how many find how many waiting; then each counts half."""
SHEDDABLE = b"/v1/"
KEPT = b"/v1/stats"
"""Answered whatever happens, like health, metrics and the pages: somebody looks for what is wrong."""


class Usual:
    """How many others a request finds waiting while the loop is calm."""

    def __init__(self) -> None:
        self.waiting = PAGE
        """So many at most for 99 of 100."""
        self._counts = [0] * (BURST + 1)
        self._newest: list[int] | None = None
        self._calm = False

    def note(self, found: list[int], calm: bool) -> None:
        """Since the last call ``found[n]`` requests found ``n`` waiting.

        A calm time next to one that is not counts as little as that one: a flood begins or ends there.
        """
        if calm and self._newest is not None:
            self._counts = [sum(pair) for pair in zip(self._counts, self._newest, strict=True)]
        self._newest = found if calm and self._calm else None
        self._calm = calm
        if sum(self._counts) >= ENOUGH:
            self.waiting = _percentile(self._counts)
            self._counts = [count // 2 for count in self._counts]


def _percentile(counts: list[int]) -> int:
    """The smallest place with 99 of 100 at or before it."""
    above, hundredth = sum(counts), sum(counts) / 100
    for place, count in enumerate(counts):
        above -= count
        if above <= hundredth:
            return place
    return len(counts) - 1


class Admission:
    """How late the loop is, who waits, and what follows from it.

    ``timer`` gives monotonic seconds, ``busy`` the seconds of CPU that the loop's thread has taken so far.
    """

    def __init__(self, timer: Callable[[], float], busy: Callable[[], float]) -> None:
        self.late_seconds = 0.0
        """How late the loop comes to what is due; smoothed."""
        self.demand = 0.0
        """The share of the time that all that comes would take, where it is more than one page asks for."""
        self.waiting = 0
        """Requests that were let in and whose turn has not come."""
        self.refused = 0
        """Requests that were not let in."""
        self._timer = timer
        self._busy = busy
        self._usual = Usual()
        self._late_since: float | None = None
        self._most = 0
        """Most that waited since the loop was last on time: one that comes late to ask has answered them by then."""
        self._look_on(0.0)

    @property
    def limit(self) -> int:
        """Requests that may wait for their turn; one that comes then is refused.

        In a full loop what is let in stands in two queues of this length: it waits until its socket is read, while
        the lists of the last reading are made, and then for its turn.
        """
        usual = self._usual.waiting
        if self.demand >= FULL:
            return min(usual + 1, BURST)
        if self.demand >= BUSY:
            return min(2 * usual + 1, BURST)
        behind = self._most >= CROWD and self.waiting < self._most  # what comes now came while a crowd was answered
        return min(max(2 * usual + 1, CROWD), BURST) if behind else BURST

    def admits(self, path: bytes) -> bool:
        """Whether a request for ``path`` that has come now will be answered."""
        if not path.startswith(SHEDDABLE) or path.startswith(KEPT):
            return True
        self._found[min(self.waiting, BURST)] += 1
        self._most = max(self._most, self.waiting)
        if self.waiting < self.limit:
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
        self._most = max(self._most, self.waiting) if self._late_since is not None else self.waiting
        if standing and self._most >= CROWD:
            self.demand = 1.0
            self._usual.note(self._found, calm=False)
            self._look_on(now)
        elif now - self._looked >= LOOK_SECONDS:
            self._look(now)

    def _look(self, now: float) -> None:
        asked = sum(self._found)
        let_in = asked - (self.refused - self._refused_before)
        demand = (self._busy() - self._busy_before) / (now - self._looked) * asked / max(let_in, 1)
        self._usual.note(self._found, demand < CALM)
        self.demand = demand if asked >= CROWD or self.demand >= BUSY else 0.0
        self._look_on(now)

    def _look_on(self, now: float) -> None:
        self._looked, self._busy_before, self._refused_before = now, self._busy(), self.refused
        self._found = [0] * (BURST + 1)
        """Of the requests that may be refused, how many have found how many waiting since then."""

    async def watch(self) -> None:
        """Sample the loop for as long as this runs."""
        while True:
            due = self._timer() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            self.sample(self._timer() - due)
