"""Who is let in when more is asked than can be answered: a standing queue is cut short, a burst is not.

The rule is that of CoDel (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 2012) as servers use it (Maurer,
"Fail at Scale", ACM Queue 2015): a queue may be long for a moment, and short only for as long as what comes fills the
time. What is long depends on the shop: whose pages ask for six lists at once has five that wait whenever a page is
opened. So the server remembers how many requests find how many waiting while it is calm. Some times that may wait; the
first that comes when they do is refused, and from then on no more are let in than usually wait, until the loop would
have answered all that came (the virtual queue of Gibbens and Kelly, "Resource Pricing and the Evolution of Congestion
Control", Automatica 1999). So nobody is refused what there is time for, however it comes by chance, and in a flood
those let in wait about twice as long as in calm times. What is refused is refused before anything is done for it, so
that a flood takes little of the place of the lists.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SAMPLE_SECONDS = 0.01
"""How often the loop is asked how late it is."""
SMOOTHING = 0.1
"""Weight of the newest in what is smoothed: the lateness of the last ten samples or so, and what a request took in the
last ten looks."""
LOOK_SECONDS = 0.05
"""How often it is counted what has come and how long the loop was busy."""
AWAY = 0.9
"""A loop that has work and is busy for a smaller share of the time has no core."""
CALM = 0.6
"""Share of the time that a loop is busy for at most while it is seen what is usual."""
PAGE = 5
"""Requests that wait where a browser asks over six connections: taken for usual until ENOUGH were seen."""
ENOUGH = 500
"""Requests from which it is told how many find how many waiting; then each counts half."""
TIMES, FEW, MOST = 4, 12, 64
"""So many times what is usual may wait in a loop that is not full: what comes by chance at nine tenths of its capacity.
FEW may in any shop, two pages' lists; and never more than MOST, 64 ms of a sudden flood."""
CAP_SECONDS = 0.1
"""Most that counts as behind: a flood that is over is forgotten at once by a loop that is half busy, in 0.2 s."""
SHEDDABLE = b"/v1/"
KEPT = b"/v1/stats"
"""Answered whatever happens, like health, metrics and the pages: somebody looks for what is wrong."""


class Usual:
    """How many others a request finds waiting while the loop is calm."""

    def __init__(self) -> None:
        self.waiting = PAGE
        """So many at most for 99 of 100."""
        self._counts = [0] * (MOST + 1)
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
        self.behind = 0.0
        """Seconds of work that would wait, had all been let in that came since the first refusal; 0: not full."""
        self.waiting = 0
        """Requests that were let in and whose turn has not come."""
        self.refused = 0
        """Requests that were not let in."""
        self._timer = timer
        self._busy = busy
        self._usual = Usual()
        self._worked = self._answered = 0.0
        """Seconds of work and the requests they were for; what is longer ago counts less."""
        self._look_on(0.0)

    @property
    def limit(self) -> int:
        """Requests that may wait for their turn; one that comes then is refused.

        In a full loop what is let in stands in two queues of this length: it waits until its socket is read, while
        the lists of the last reading are made, and then for its turn.
        """
        usual = self._usual.waiting + 1
        return min(usual if self.behind else max(TIMES * usual, FEW), MOST)

    def admits(self, path: bytes) -> bool:
        """Whether a request for ``path`` that has come now will be answered."""
        if not path.startswith(SHEDDABLE) or path.startswith(KEPT):
            return True
        self._found[min(self.waiting, MOST)] += 1
        if self.waiting < self.limit or self._was_away():
            return True
        self.refused += 1
        if not self.behind:
            self._look(self._timer())
            self.behind = min(self.waiting * self._worked / max(self._answered, 1.0), CAP_SECONDS)
        return False

    def _was_away(self) -> bool:
        """Whether those that wait do so because others had the core: they are twice as many then, and soon gone."""
        if self.behind or self.waiting >= min(2 * self.limit, MOST):
            return False
        passed = self._timer() - self._looked
        return self._busy() - self._busy_before < AWAY * passed

    def sample(self, late_seconds: float) -> None:
        """Note that something due came ``late_seconds`` late, just now."""
        now = self._timer()
        self.late_seconds += SMOOTHING * (max(late_seconds, 0.0) - self.late_seconds)
        if now - self._looked >= LOOK_SECONDS:
            self._look(now)

    def _look(self, now: float) -> None:
        passed, worked = now - self._looked, self._busy() - self._busy_before
        asked = sum(self._found)
        self._worked += worked - SMOOTHING * self._worked
        self._answered += asked - (self.refused - self._refused_before) - SMOOTHING * self._answered
        self._usual.note(self._found, calm=worked <= CALM * passed)
        if self.behind:
            coming = asked * self._worked / max(self._answered, 1.0)
            self.behind = min(max(self.behind + coming - passed, 0.0), CAP_SECONDS)
        self._look_on(now)

    def _look_on(self, now: float) -> None:
        self._looked, self._busy_before, self._refused_before = now, self._busy(), self.refused
        self._found = [0] * (MOST + 1)
        """Of the requests that may be refused, how many have found how many waiting since then."""

    async def watch(self) -> None:
        """Sample the loop for as long as this runs."""
        while True:
            due = self._timer() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            self.sample(self._timer() - due)
