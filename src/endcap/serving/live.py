"""The running shop: one loop owns the state, one thread writes the log.

A caller's entries go to the writer thread, which commits what has gathered in one transaction (group
commit). The loop then applies the durable entries in offset order, and only then answers the caller: so
whoever asks next sees them. Entries that another process appended (``endcap train``, ``endcap import``) are
read from the log and applied in their place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from endcap.catalog.items import ItemChange
from endcap.errors import EndcapError, OverloadedError
from endcap.events.log import Body, to_entry, to_record
from endcap.events.schema import Event
from endcap.events.served import Served
from endcap.protocols import Log
from endcap.serving.engine import Engine, ServingModel
from endcap.serving.exposure import Exposure
from endcap.serving.freshness import Freshness
from endcap.serving.signals import Signals
from endcap.types import Activation, Entry, Record

_logger = logging.getLogger(__name__)

MAX_BATCH = 5_000
"""Records of one group commit."""
MAX_WAITING = 50_000
"""Records that may wait for the writer; more are refused."""
FOLLOW_SECONDS = 0.1
"""How often the log is asked whether another process has appended."""
ENCODE_BATCH = 256
"""Changed items encoded before their vectors are shown."""
CATCH_UP_ENTRIES = 200
"""Foreign entries applied before the loop serves again."""
SERVED_SECONDS = 0.1
"""How long a served list may wait for an event whose commit takes it along."""
EXPIRE_EVERY = 600
"""Times SERVED_SECONDS: how often served lists that are too old are let go of."""
EXPIRE_RECORDS = 5_000
"""Of them at a time: about 30 ms of the log's write lock."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to an append: it is durable and applied."""

    accepted: int
    duplicates: int
    offset: int
    """The state's offset when it was applied: lists with this offset or a later one reflect it."""


@dataclass(slots=True)
class _Submission:
    bodies: Sequence[Body]
    records: Sequence[Record]
    done: asyncio.Future[Receipt] | None
    """None for served lists: nobody waits for them."""
    received: float
    spooled: int = 0
    """Bytes of the spool that the log then holds."""


class Live:
    """The running shop. All methods belong to the loop that ``start`` ran on."""

    def __init__(
        self,
        log: Log,
        engine: Engine,
        load_model: Callable[[str], ServingModel],
        clock: Callable[[], int],
        close: Callable[[], None],
        exposure: Exposure | None = None,
    ) -> None:
        """``load_model`` reads a version from disk, in a thread; ``clock`` gives milliseconds since 1970.

        ``close`` is called at the end of ``stop``: it lets go of the log and of whatever the caller opened with it.
        """
        self.engine = engine
        self.freshness = Freshness()
        self.signals = Signals(engine.state)
        self.model_problem: str | None = None
        """Why the version that the log asks for does not serve; None when it does."""
        self._log = log
        self._load_model = load_model
        self.clock = clock
        self._close = close
        self._exposure = exposure
        self._queue: SimpleQueue[_Submission | None] = SimpleQueue()
        self._waiting = 0
        self._last_stored = engine.state.offset
        self._prepared: dict[str, ServingModel] = {}
        self._wanted = engine.state.shop.active_version
        self._tasks: set[asyncio.Task[None]] = set()
        self._catching_up = asyncio.Lock()
        self._encoding = False

    async def start(self) -> None:
        """Begin to write and to follow."""
        self._loop = asyncio.get_running_loop()
        self._writer = threading.Thread(target=self._write, name="log-writer", daemon=True)
        self._writer.start()
        self._spawn(self._follow())
        if self._exposure is not None:
            self._spawn(self._keep_served(self._exposure))

    async def stop(self) -> None:
        """Write what is waiting, then let go of the log."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._send_served()
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._close()

    async def append(self, bodies: Sequence[Body]) -> Receipt:
        """Store ``bodies`` durably and apply them, in order.

        Raises OverloadedError when too much is waiting, HomeError when the disk refuses: then none of them
        is stored.
        """
        if self._waiting + len(bodies) > MAX_WAITING:
            raise OverloadedError(f"{self._waiting} entries are waiting for the disk: send again in a second")
        self._send_served()  # the lists that were shown before
        now = self.clock()
        records = [to_record(body, now) for body in bodies]
        done: asyncio.Future[Receipt] = self._loop.create_future()
        self._waiting += len(bodies)
        self._queue.put(_Submission(bodies, records, done, monotonic()))
        return await done

    def show(self, served: Served) -> None:
        """Note that this list goes out. It survives the process at once, and a power cut from the next commit on.

        Raises OverloadedError when too many of them wait for the disk: then the list must not go out.
        """
        if self._exposure is not None:
            self._exposure.add(served)

    def find(self, event_id: str) -> Event | None:
        """The event with that id, as the log holds it; None where there is none."""
        found = self._log.find(event_id)
        body = None if found is None else to_entry(*found).body
        return body if isinstance(body, Event) else None

    async def settle(self) -> None:
        """Wait until everything that was shown so far is in the log and applied."""
        self._send_served()
        await self.append([])

    def _send_served(self) -> None:
        bodies, records, size = ([], [], 0) if self._exposure is None else self._exposure.take()
        if records:
            self._waiting += len(records)
            self._queue.put(_Submission(bodies, records, None, monotonic(), size))

    async def _keep_served(self, exposure: Exposure) -> None:
        """Bring into the log what no event took along, and let go of what is too old."""
        while True:
            for _ in range(EXPIRE_EVERY):
                await asyncio.sleep(SERVED_SECONDS)
                self._send_served()
            before = self.clock() - exposure.keep_ms
            try:
                await asyncio.to_thread(self._log.expire, "served", before, EXPIRE_RECORDS)
            except EndcapError as error:
                _logger.warning("served lists not expired", extra={"reason": str(error)})

    async def activate(self, version: str) -> Receipt:
        """Load ``version``, then say in the log that it serves.

        Raises ModelError if it cannot be loaded; the one that serves goes on serving.
        """
        self._prepared[version] = await asyncio.to_thread(self._load_model, version)
        try:
            return await self.append([Activation(version)])
        finally:
            self._prepared.pop(version, None)

    # The writer thread.

    def _write(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, stop = self._gather(first)
            records = [record for submission in batch for record in submission.records]
            begun = monotonic()
            try:
                offsets = self._log.append(records)
            except Exception as error:  # the thread must outlive whatever one batch does
                self._loop.call_soon_threadsafe(self._refused, batch, error)
            else:
                self._loop.call_soon_threadsafe(self._committed, batch, offsets, monotonic() - begun)
            if stop:
                return

    def _gather(self, first: _Submission) -> tuple[list[_Submission], bool]:
        batch, size = [first], len(first.records)
        with contextlib.suppress(Empty):
            while size < MAX_BATCH:
                submission = self._queue.get_nowait()
                if submission is None:
                    return batch, True
                batch.append(submission)
                size += len(submission.records)
        return batch, False

    # The loop.

    def _refused(self, batch: list[_Submission], error: Exception) -> None:
        for submission in batch:
            self._waiting -= len(submission.records)
            if submission.done is None:
                _logger.warning("served lists not stored", extra={"reason": str(error)})
                self._release(submission)
            elif not submission.done.done():
                submission.done.set_exception(error)

    def _committed(self, batch: list[_Submission], offsets: list[int | None], seconds: float) -> None:
        self.freshness.commits.observe(monotonic(), seconds)
        stored = [(place, offset) for place, offset in enumerate(offsets) if offset is not None]
        if stored and stored[0][1] - stored[0][0] == self._last_stored + 1 and not self._catching_up.locked():
            bodies = [body for submission in batch for body in submission.bodies]
            records = [record for submission in batch for record in submission.records]
            try:
                for place, offset in stored:
                    self._apply(Entry(offset, records[place].time, bodies[place]))
            except Exception as error:
                _logger.exception("entry not applied", extra={"offset": self._last_stored})
                self._refused(batch, error)
                return
            self._answer(batch, offsets)
        elif stored:
            self._spawn(self._answer_later(batch, offsets, stored[-1][1]))
        else:
            self._answer(batch, offsets)

    async def _answer_later(self, batch: list[_Submission], offsets: list[int | None], until: int) -> None:
        """Another process wrote in between: read the log up to our entries, then answer."""
        try:
            await self._catch_up(until)
        except Exception as error:
            self._refused(batch, error)
            if not isinstance(error, EndcapError):
                raise
        else:
            self._answer(batch, offsets)

    def _answer(self, batch: list[_Submission], offsets: list[int | None]) -> None:
        now, place = monotonic(), 0
        for submission in batch:
            size = len(submission.records)
            accepted = sum(offset is not None for offset in offsets[place : place + size])
            place += size
            self._waiting -= size
            if submission.done is None:
                self._release(submission)
                continue
            self.freshness.applied.observe(now, now - submission.received)
            if not submission.done.done():  # the caller may have gone
                submission.done.set_result(Receipt(accepted, size - accepted, self.engine.state.offset))

    def _release(self, submission: _Submission) -> None:
        if self._exposure is not None:
            self._exposure.release(submission.spooled)

    async def _follow(self) -> None:
        """Apply what other processes append."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            try:
                newest = self._log.last_offset()
                if newest > self._last_stored:
                    await self._catch_up(newest)
            except Exception as error:  # whatever it was, the next look at the log may succeed
                _logger.warning("log not followed", extra={"reason": str(error)})

    async def _catch_up(self, until: int) -> None:
        async with self._catching_up:
            while self._last_stored < until:
                page = list(self._log.read(self._last_stored, CATCH_UP_ENTRIES))
                for offset, record in page:
                    self._apply(to_entry(offset, record))
                if not page:
                    return
                await asyncio.sleep(0)

    def _apply(self, entry: Entry) -> None:
        self._last_stored = max(self._last_stored, entry.offset)
        self.engine.apply(entry)
        body = entry.body
        if isinstance(body, Event):
            self.signals.event(body)
        elif not isinstance(body, Served):
            self.signals.everyone()
        if isinstance(body, Activation):
            self._serve(body.version)
        if isinstance(body, ItemChange) and not self._encoding:
            self._encoding = True
            self._spawn(self._encode())

    async def _encode(self) -> None:
        """Give changed items their vectors, off the loop; until then they are found by their letters."""
        contents = self.engine.contents
        try:
            while contents.waiting:
                rows, texts = contents.take(ENCODE_BATCH)
                try:
                    contents.put(rows, await asyncio.to_thread(contents.encode, texts))
                except EndcapError:
                    contents.give_back(rows, texts)  # the next change tries again
                    raise
                self.signals.everyone()
        except EndcapError as error:
            _logger.warning("items not encoded", extra={"reason": str(error)})
        finally:
            self._encoding = False

    def _serve(self, version: str) -> None:
        self._wanted = version
        model = self._prepared.pop(version, None)
        if model is not None:
            self.engine.model, self.model_problem = model, None
        else:
            self._spawn(self._load_wanted(version))

    async def _load_wanted(self, version: str) -> None:
        """Another process activated ``version``: load it, or keep the old one and say why."""
        try:
            model = await asyncio.to_thread(self._load_model, version)
        except EndcapError as error:
            self.model_problem = str(error)
            _logger.warning("model not loaded", extra={"version": version, "reason": str(error)})
            return
        if self._wanted == version:  # not overtaken by a later activation
            self.engine.model, self.model_problem = model, None
            self.signals.everyone()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("background work ended", exc_info=error)
