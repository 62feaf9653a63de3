"""The thread that writes the log: what has gathered is committed in one transaction (group commit)."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic

from endcap.events.log import Body
from endcap.protocols import Log
from endcap.serving.exposure import Taken
from endcap.types import Record

MAX_BATCH = 5_000
"""Records of one group commit."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to an append: it is durable and applied."""

    accepted: int
    duplicates: int
    offset: int
    """Lists with this offset or a later one reflect it; where it was not applied, once the state is folded again."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What is to be stored together."""

    bodies: Sequence[Body]
    records: Sequence[Record]
    done: asyncio.Future[Receipt] | None
    """None for served lists: nobody waits for them."""
    lists: Taken | None = None
    """The served lists, where these are what is to be stored."""
    under: object = None
    """The trace that its stages belong to; None: nobody wants to know."""


Committed = Callable[[list[Submission], list[int | None], float], None]
"""Told of a batch that is stored: its offsets, and the seconds that the commit took."""
Refused = Callable[[list[Submission], Exception], None]
"""Told of a batch of which nothing is stored, and why."""


class Writer:
    """Hands what is put to ``log``, in order. ``committed`` and ``refused`` are called on ``loop``."""

    def __init__(self, log: Log, loop: asyncio.AbstractEventLoop, committed: Committed, refused: Refused) -> None:
        self._log = log
        self._loop = loop
        self._on_committed = committed
        self._on_refused = refused
        self._queue: SimpleQueue[Submission | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def put(self, submission: Submission) -> None:
        """Have it stored."""
        self._queue.put(submission)

    async def stop(self) -> None:
        """Write what is waiting, then end."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, stop = self._gather(first)
            records = [record for submission in batch for record in submission.records]
            begun = monotonic()
            try:
                offsets = self._log.append(records)
            except Exception as error:  # the thread must outlive whatever one batch does
                self._loop.call_soon_threadsafe(self._on_refused, batch, error)
            else:
                self._loop.call_soon_threadsafe(self._on_committed, batch, offsets, monotonic() - begun)
            if stop:
                return

    def _gather(self, first: Submission) -> tuple[list[Submission], bool]:
        batch, size = [first], len(first.records)
        with contextlib.suppress(Empty):
            while size < MAX_BATCH:
                submission = self._queue.get_nowait()
                if submission is None:
                    return batch, True
                batch.append(submission)
                size += len(submission.records)
        return batch, False
