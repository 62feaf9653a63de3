"""When the running shop folds its state again, because it is not, or may not be, what the log adds up to."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

from endcap.state.fold import State

_logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""After a fold that failed; after each further one in a row twice as long. Also between two faults that are logged."""
PAUSE_TIMES = 20.0
"""And so many times as long as it took: an entry that fails each time may use a twentieth of a core."""
MOST_SECONDS = 600.0


class Refolding:
    """What is wrong with the state that serves, and when it is folded again. ``timer`` gives monotonic seconds."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self.problem: str | None = None
        """Why the state is not what the log adds up to, and what to do; None while it is, or is being mended."""
        self.failures = 0
        """Folds in a row that failed."""
        self.folds = Counter(ok=0, failed=0)
        """Since the start."""
        self._timer = timer
        self._next = self._said = timer() - RETRY_SECONDS

    def due(self, state: State) -> bool:
        """Whether ``state`` is to be folded again now."""
        return state.outdated and self._timer() >= self._next

    def at_once(self) -> None:
        """The log has changed, so that what failed before may succeed now."""
        self._next, self.failures = self._timer(), 0

    def fault(self, state: State, offset: int, error: Exception) -> None:
        """The log's entry at ``offset`` could not be applied to ``state``, which is not to be trusted from now on."""
        state.outdated = True
        if self._timer() - self._said >= RETRY_SECONDS:
            self._said = self._timer()
            _logger.error("entry not applied", exc_info=error, extra={"offset": offset})

    def failed(self, error: Exception, seconds: float) -> None:
        """A fold failed after ``seconds``: the state that serves stays, for some time."""
        pause = min(max(RETRY_SECONDS * 2**self.failures, PAUSE_TIMES * seconds), MOST_SECONDS)
        self.failures += 1
        self.folds["failed"] += 1
        self._next = self._timer() + pause
        self.problem = f"the state is not what the log adds up to, and it cannot be folded again: {error}"
        _logger.warning("state not folded again", extra={"reason": str(error), "next_seconds": round(pause, 1)})

    def done(self, seconds: float) -> None:
        """The state is what the log adds up to; that took ``seconds``, and a next fault waits so that it takes few."""
        self.failures, self.problem = 0, None
        self.folds["ok"] += 1
        self._next = self._timer() + min(PAUSE_TIMES * seconds, MOST_SECONDS)
