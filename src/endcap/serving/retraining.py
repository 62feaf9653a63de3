"""Training again and again, in a process of its own: the one that serves gives it neither its memory nor its time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

_logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often a server looks whether a training is wanted before its time."""
SOON_SECONDS = 60.0
"""After which it then begins: erasures come in groups, and one training serves them all."""
NICENESS = 10
"""More than the server's own: training yields to it where both want a core."""
STOP_SECONDS = 5.0
"""What a training that is told to end may still take; then it is killed. Half a version is never there."""
_REASON = 500


@dataclass(frozen=True, slots=True)
class Trained:
    """How one training went."""

    started_ms: int
    """Milliseconds since 1970."""
    seconds: float
    problem: str | None
    """Why there is no new model; None when there is."""


class Retraining:
    """Runs ``command`` whenever the newest model is ``every_seconds`` old; what fails is said and tried again then.

    Sooner where ``wanted`` becomes true: somebody was erased whom the model that serves has learnt from.
    ``newest_ms`` gives when the newest model was made (None: there is none, so training begins at once), ``now_ms``
    the time; both in milliseconds since 1970.
    """

    def __init__(
        self,
        command: Sequence[str],
        every_seconds: float,
        newest_ms: Callable[[], int | None],
        now_ms: Callable[[], int],
        wanted: Callable[[], bool] = lambda: False,
    ) -> None:
        self.every_seconds = every_seconds
        self.last: Trained | None = None
        self.last_success_ms: int | None = None
        self.succeeded = 0
        self.failed = 0
        self.running = False
        self.next_ms = self._due(newest_ms(), now_ms())
        self._command = command
        self._now_ms = now_ms
        self._wanted = wanted
        self._asked = False
        """Whether what is wanted has brought the next training forward: it does so once, not after each failure."""

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Trains in the background for as long as the block runs; a training that runs at its end is ended."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _due(self, newest_ms: int | None, now_ms: int) -> int:
        return now_ms if newest_ms is None else max(now_ms, newest_ms + round(self.every_seconds * 1000))

    async def _keep(self) -> None:
        while True:
            await self._wait()
            started, began = self._now_ms(), asyncio.get_running_loop().time()
            self.running = True
            try:
                problem = await self._train()
            finally:
                self.running = False
            self._note(Trained(started, round(asyncio.get_running_loop().time() - began, 3), problem))
            self.next_ms = max(started + round(self.every_seconds * 1000), self._now_ms())

    async def _wait(self) -> None:
        """Until the next training is due."""
        while (left := self._left_ms()) > 0:
            wanted = self._wanted()
            if wanted and not self._asked:
                self.next_ms = min(self.next_ms, self._now_ms() + round(SOON_SECONDS * 1000))
            self._asked = wanted
            await asyncio.sleep(min(left / 1000, LOOK_SECONDS))

    def _left_ms(self) -> int:
        """Never more than one interval: a clock that was ahead for a while must not put training off until then."""
        now = self._now_ms()
        self.next_ms = min(self.next_ms, now + round(self.every_seconds * 1000))
        return self.next_ms - now

    def _note(self, trained: Trained) -> None:
        self.last = trained
        if trained.problem is None:
            self.succeeded += 1
            self.last_success_ms = trained.started_ms
            _logger.info("trained", extra={"seconds": trained.seconds})
        else:
            self.failed += 1
            _logger.warning("training failed", extra={"reason": trained.problem, "seconds": trained.seconds})

    async def _train(self) -> str | None:
        """Runs the command to its end; what it said last if it failed."""
        try:
            # a session of its own: Ctrl+C is the server's to hear, which then ends the training in order
            child = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return f"{self._command[0]} cannot be run: {error.strerror}"
        try:
            with contextlib.suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, child.pid, min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19))
            _, said = await child.communicate()
        except asyncio.CancelledError:
            await _end(child)
            raise
        if child.returncode == 0:
            return None
        last = said.decode(errors="replace").strip().rpartition("\n")[2][-_REASON:]
        return last or f"it ended with status {child.returncode} and said nothing"


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await child.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
