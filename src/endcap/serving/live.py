"""The running shop: one loop owns the state, one thread writes the log.

A caller's entries go to the writer thread, which commits what has gathered in one transaction (group
commit). The loop then applies the durable entries in offset order, and only then answers the caller: so
whoever asks next sees them. Entries that another process appended (``endcap train``, ``endcap import``) are
read from the log and applied in their place. After an erasure, or where an entry could not be applied, the state is
folded again from what the log holds, beside the one that serves, and takes its place between two requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import count
from time import monotonic, time_ns
from typing import Any

from endcap.catalog.items import ItemChange
from endcap.errors import EndcapError, HomeError, OverloadedError
from endcap.events.canary import CanaryView
from endcap.events.erasing import erased_under
from endcap.events.erasure import Erasure
from endcap.events.log import Body, to_entry, to_record
from endcap.events.schema import Event
from endcap.events.served import Served, Shown, Tally
from endcap.protocols import Log
from endcap.serving.candidates import Loaded
from endcap.serving.checkpoints import Checkpoints
from endcap.serving.contents import Contents, Reading
from endcap.serving.engine import Engine, ServingModel
from endcap.serving.exposure import Exposure
from endcap.serving.freshness import Freshness
from endcap.serving.listings import lists_of, named_lists, with_listings
from endcap.serving.refolding import Refolding
from endcap.serving.signals import Signals
from endcap.serving.writer import Receipt, Submission, Writer
from endcap.state.fold import State
from endcap.types import MS_PER_DAY, Activation, Entry, Vocabulary

_logger = logging.getLogger(__name__)

MAX_WAITING = 50_000
"""Records that may wait for the writer; more are refused."""
TICK_SECONDS = 0.1
"""How long a served list may wait for an event whose commit takes it along, and an entry of another process."""
ENCODE_BATCH = 256
"""Changed items encoded before their vectors are shown."""
CATCH_UP_ENTRIES = 200
"""Foreign entries applied before the loop serves again."""
EXPIRE_EVERY = 600
"""Times TICK_SECONDS: how often served lists that are too old are let go of."""
TALLY_EVERY = 6_000
"""Times TICK_SECONDS: how often the served lists are counted in the log. A start counts again what no tally has."""
EXPIRE_RECORDS = 5_000
"""Of them at a time: about 30 ms of the log's write lock."""
TRIES = 2
"""Folds that fail in a row after an erasure, before whoever waits for it is told."""
RETRY_SECONDS = 1.0
"""Between two warnings that the log refuses served lists, and at most between two attempts to read it."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What the running shop has others do; wiring fills it. All but ``close`` may be called in any thread."""

    load_model: Callable[[Vocabulary, str], Loaded]
    """Reads a version from disk, for these items. What it gives makes the model over a state, of which it reads what
    is said of the items, if the model does; that too in any thread. Raises ModelError or NotFoundError."""
    fold: Callable[[int], State]
    """The state of the log up to an entry, without the erased. May wait for who erases. Raises HomeError."""
    fold_on: Callable[[State, int], None]
    """Apply what the log holds after a state, up to an entry. Raises HomeError."""
    reading: Callable[[tuple[str, str]], Reading]
    """The encoders of that name. Raises ModelError or NotFoundError."""
    engine: Callable[[State, Contents], tuple[Engine, str | None]]
    """The engine over such a state, with contents that are there, and why the active version does not serve."""
    close: Callable[[Engine], None]
    """Lets go of the log and of whatever else was opened. Called at the end of ``stop``."""


class Live:
    """The running shop. All methods belong to the loop that ``start`` ran on."""

    def __init__(
        self,
        log: Log,
        engine: Engine,
        shop: Shop,
        clock: Callable[[], int],
        exposure: Exposure | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """``clock`` gives milliseconds since 1970."""
        self.engine = engine
        self.freshness = Freshness()
        self.signals = Signals(engine.state)
        self.refolding = Refolding(monotonic)
        self.model_problem: str | None = None
        """Why the version that the log asks for does not serve; None when it does."""
        self._log = log
        self._shop = shop
        self.clock = clock
        self._exposure = exposure
        self._checkpoints = checkpoints
        self._waiting = 0
        self._last_stored = engine.state.offset
        self._prepared: dict[str, Callable[[State], ServingModel]] = {}
        self._wanted = engine.state.shop.active_version
        self._tasks: set[asyncio.Task[None]] = set()
        self._catching_up = asyncio.Lock()
        self._keeping = asyncio.Lock()
        """Held by who works on the whole state: a snapshot of it, or the one that takes its place."""
        self._encoding = False
        self._warned = -RETRY_SECONDS

    async def start(self) -> None:
        """Begin to write and to follow."""
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(self._log, self._loop, self._committed, self._refused)
        self._spawn(self._tick())

    async def stop(self) -> None:
        """Write what is waiting, then let go of the log."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._send_served()
        await self._writer.stop()
        self._shop.close(self.engine)

    async def append(self, bodies: Sequence[Body]) -> Receipt:
        """Store ``bodies`` durably and apply them, in order.

        Raises OverloadedError when too much is waiting, HomeError when the disk refuses: then none of them
        is stored.
        """
        if self._waiting + len(bodies) > MAX_WAITING:
            raise OverloadedError(f"{self._waiting} entries are waiting for the disk: send again in a second")
        with self.engine.tracer.stage("append"):
            bodies = await self._with_listings(bodies)
            self._send_served()  # the lists that were shown before
            now = self.clock()
            records = [to_record(body, now) for body in bodies]
            done: asyncio.Future[Receipt] = self._loop.create_future()
            self._waiting += len(bodies)
            self._writer.put(Submission(bodies, records, done, under=self.engine.tracer.here()))
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

    async def _with_listings(self, bodies: Sequence[Body]) -> Sequence[Body]:
        """``bodies``, whose events say of which served list they are."""
        names = named_lists(bodies)
        if not names:
            return bodies
        waiting = {} if self._exposure is None else self._exposure.waiting
        return with_listings(bodies, await lists_of(self._log, names, waiting), self.engine.state)

    def erased_under(self, offset: int) -> list[Erasure]:
        """The erasures that took away something that the log held when ``offset`` was its newest entry."""
        return erased_under(self._log, offset)

    def untallied(self) -> list[Shown]:
        """The served lists that the state does not count yet."""
        return [] if self._exposure is None else self._exposure.tallies.waiting()

    async def settle(self) -> None:
        """Wait until everything that was shown so far is in the log and applied."""
        self._send_served()
        await self.append([])

    def _send_served(self) -> None:
        for taken in () if self._exposure is None else self._exposure.take():
            self._waiting += len(taken.records)
            self._writer.put(Submission(taken.bodies, taken.records, None, taken))

    async def _tick(self) -> None:
        """What is done by the clock."""
        for tick in count(1):
            await asyncio.sleep(TICK_SECONDS)
            self._send_served()
            if not self._catching_up.locked():
                self._spawn(self._follow())
            if not self._keeping.locked():
                self._look_after_state()
            if tick % EXPIRE_EVERY == 0 or (tick == 1 and self._exposure is None):
                self._spawn(self._let_go(tick))

    def _look_after_state(self) -> None:
        state = self.engine.state
        if self.refolding.due(state):
            self._spawn(self._fold_again())
        elif self._checkpoints is not None and self._checkpoints.due(state):
            self._spawn(self._keep(self._checkpoints))

    async def _let_go(self, tick: int) -> None:
        """Count the served lists, and let go of those that are too old; of all, where none are kept any more."""
        keep_ms = 0 if self._exposure is None else self._exposure.keep_ms
        if tick % TALLY_EVERY == 0 or keep_ms < MS_PER_DAY:
            await self.tally()  # before what it counts expires
        before = self.clock() - keep_ms
        try:
            while await self.expire("served", before) == EXPIRE_RECORDS:
                await asyncio.sleep(TICK_SECONDS)  # more are too old: events get the write lock in between
        except EndcapError as error:
            _logger.warning("served lists not expired", extra={"reason": str(error)})

    async def _keep(self, checkpoints: Checkpoints) -> None:
        async with self._keeping:
            await checkpoints.keep(self.engine.state)

    async def _fold_again(self) -> None:
        """Serve from the state that the log adds up to; until then the one that is there serves."""
        async with self._keeping:
            begun = monotonic()
            try:
                while self.engine.state.outdated:
                    await self._replace_state()
            except Exception as error:  # whatever it was, nobody who is served now is worse off
                self.refolding.failed(error, monotonic() - begun)
            else:
                self.refolding.done(monotonic() - begun)

    async def _replace_state(self) -> None:
        state = await asyncio.to_thread(self._shop.fold, self._last_stored)
        engine, problem = await asyncio.to_thread(self._shop.engine, state, self.engine.contents)
        async with self._catching_up:  # nothing is applied meanwhile, and whoever appends waits
            await asyncio.to_thread(self._shop.fold_on, state, self._last_stored)
            if state.outdated:
                return  # somebody else was erased meanwhile
            engine.violations, engine.tracer = self.engine.violations, self.engine.tracer
            self.engine, self.model_problem, self.signals.state = engine, problem, state
            self._last_stored = max(self._last_stored, state.offset)
        wanted = self._wanted = state.shop.active_version
        if wanted is not None and wanted != engine.model.version:
            self._serve(wanted)
        self.signals.everyone()
        _logger.info("state folded again", extra={"offset": state.offset})

    async def without_erased(self, offset: int) -> None:
        """Wait until the entry at ``offset``, an erasure, is applied and nobody who was erased is in the state.

        Raises HomeError where the state cannot be folded again.
        """
        while self.engine.state.offset < offset or self.engine.state.outdated or self._keeping.locked():
            if self.refolding.failures >= TRIES and not self._keeping.locked():
                raise HomeError(f"who left the log may still be in this server's memory: {self.refolding.problem}")
            await asyncio.sleep(TICK_SECONDS / 2)

    async def expire(self, kind: str, before: int) -> int:
        """Let go of the oldest entries of ``kind`` with a time before ``before``. How many went; raises HomeError."""
        return await asyncio.to_thread(self._log.expire, kind, before, EXPIRE_RECORDS)

    async def tally(self) -> None:
        """Count in the log the lists that were served; that they were outlives them."""
        tallies = None if self._exposure is None else self._exposure.tallies
        tally = None if tallies is None else tallies.take()
        if tallies is None or tally is None:
            return
        try:
            await self.append([tally])
        except EndcapError as error:
            tallies.give_back()
            _logger.warning("served lists not counted", extra={"reason": str(error)})

    async def activate(self, version: str) -> Receipt:
        """Load ``version``, then say in the log that it serves.

        Raises ModelError if it cannot be loaded; the one that serves goes on serving.
        """
        self._prepared[version] = await self._load(version)
        try:
            return await self.append([Activation(version)])
        finally:
            self._prepared.pop(version, None)

    async def _load(self, version: str) -> Callable[[State], ServingModel]:
        """``version``, made over the state in a thread: of an item that changes meanwhile, its features' versions tell.

        Where the state is another by the time that it serves, it is made again, on the loop. Where it goes with other
        encoders, all items are encoded before it serves; until then the old vectors do.
        """
        loaded = await asyncio.to_thread(self._shop.load_model, self.engine.state.items, version)
        contents = self.engine.contents
        if loaded.encoders not in (None, contents.reading.names):
            contents = contents.succeeded_by(await asyncio.to_thread(self._shop.reading, loaded.encoders))
            await asyncio.to_thread(contents.get_ready, self.engine.state.shop.listed_items())
        begun, made = self.engine.state, None
        try:
            made = await asyncio.to_thread(loaded.over, begun, contents)
        except (IndexError, RuntimeError, ValueError):  # what it read was changing: then it is made on the loop
            _logger.info("a version is made on the loop", extra={"version": version}, exc_info=True)
        return lambda state: made if made is not None and state is begun else loaded.over(state, contents)

    def _refused(self, batch: list[Submission], error: Exception) -> None:
        for submission in batch:
            self._waiting -= len(submission.records)
            if submission.done is None:
                self._keep_in_spool(submission, error)
            elif not submission.done.done():
                submission.done.set_exception(error)

    def _keep_in_spool(self, submission: Submission, error: Exception) -> None:
        """The served lists go into the log with the next commit that succeeds; until then the process may die."""
        if self._exposure is not None and submission.lists is not None:
            self._exposure.give_back(submission.lists)
        if monotonic() - self._warned >= RETRY_SECONDS:
            self._warned = monotonic()
            _logger.warning("served lists wait in the spool", extra={"reason": str(error)})

    def _committed(self, batch: list[Submission], offsets: list[int | None], seconds: float) -> None:
        self.freshness.commits.observe(monotonic(), seconds)
        begun = time_ns()
        self._tell(batch, "fsync", begun - round(seconds * 1e9), begun)
        stored = [(place, offset) for place, offset in enumerate(offsets) if offset is not None]
        if stored and stored[0][1] - stored[0][0] == self._last_stored + 1 and not self._catching_up.locked():
            bodies = [body for submission in batch for body in submission.bodies]
            records = [record for submission in batch for record in submission.records]
            for place, offset in stored:
                self._apply(Entry(offset, records[place].time, bodies[place]))
            self._tell(batch, "apply", begun, time_ns())
            self._answer(batch, offsets)
        elif stored:
            self._spawn(self._answer_later(batch, offsets, stored[-1][1]))
        else:
            self._answer(batch, offsets)

    def _tell(self, batch: list[Submission], stage: str, begun_ns: int, ended_ns: int) -> None:
        for submission in batch:
            if submission.under is not None:
                self.engine.tracer.past(stage, submission.under, begun_ns, ended_ns)

    async def _answer_later(self, batch: list[Submission], offsets: list[int | None], until: int) -> None:
        """Another process wrote in between: read the log up to our entries, then answer."""
        pause = TICK_SECONDS
        while True:
            try:
                await self._catch_up(until)
            except Exception as error:  # ours are stored: it would be untrue to refuse them now
                _logger.warning("log not followed", extra={"reason": str(error)})
                await asyncio.sleep(pause)
                pause = min(2 * pause, RETRY_SECONDS)
            else:
                self._answer(batch, offsets)
                return

    def _answer(self, batch: list[Submission], offsets: list[int | None]) -> None:
        place = 0
        newest = max([self.engine.state.offset, *filter(None, offsets)])  # the state's, where all of them are applied
        for submission in batch:
            size = len(submission.records)
            accepted = sum(offset is not None for offset in offsets[place : place + size])
            place += size
            self._waiting -= size
            if submission.done is None:
                self._release(submission)
                continue
            if not submission.done.done():  # the caller may have gone
                submission.done.set_result(Receipt(accepted, size - accepted, newest))

    def _release(self, submission: Submission) -> None:
        if self._exposure is not None and submission.lists is not None:
            self._exposure.release(submission.lists)

    async def _follow(self) -> None:
        """Apply what other processes append."""
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
        """Take in ``entry``. It is stored, so nobody is told that it was refused, whatever is wrong with it."""
        self._last_stored = max(self._last_stored, entry.offset)
        try:
            if self._exposure is not None:
                self._exposure.note(entry)
            self.engine.apply(entry)
            self._applied(entry.body)
        except Exception as error:  # how much of it is in the state, nobody knows
            self.refolding.fault(self.engine.state, entry.offset, error)

    def _applied(self, body: object) -> None:
        if isinstance(body, Event):
            self.signals.event(body)
        elif not isinstance(body, (Served, Tally, CanaryView)):
            self.signals.everyone()
        if isinstance(body, Erasure):
            self.refolding.at_once()
            if body.damaged:  # nobody is told of them at the next start any more
                _logger.warning("damaged entries went with an erasure", extra={"offsets": body.damaged})
        if isinstance(body, Activation):
            self._serve(body.version)
        if isinstance(body, ItemChange):
            self._encode_changes()

    def _encode_changes(self) -> None:
        if not self._encoding:
            self._encoding = True
            self._spawn(self._encode())

    async def _encode(self) -> None:
        """Give changed items their vectors, off the loop; until then they are found by their letters."""
        try:
            while (contents := self.engine.contents).waiting:  # another version may bring its own
                rows, items = contents.take(ENCODE_BATCH)
                try:
                    contents.put(rows, await asyncio.to_thread(contents.encode, items))
                except EndcapError:
                    contents.give_back(rows, items)  # the next change tries again
                    raise
                self.signals.everyone()
        except EndcapError as error:
            _logger.warning("items not encoded", extra={"reason": str(error)})
        finally:
            self._encoding = False

    def _serve(self, version: str) -> None:
        self._wanted = version
        make = self._prepared.pop(version, None)
        if make is not None:
            self._swap(make)
        else:
            self._spawn(self._load_wanted(version))

    def _swap(self, make: Callable[[State], ServingModel]) -> None:
        self.engine.model, self.model_problem = make(self.engine.state), None
        if self.engine.contents.waiting:  # what has changed while its encoders got ready
            self._encode_changes()

    async def _load_wanted(self, version: str) -> None:
        """Another process activated ``version``: load it, or keep the old one and say why."""
        try:
            make = await self._load(version)
            if self._wanted != version:
                return  # a later activation has overtaken it
            self._swap(make)
            self.signals.everyone()
        except Exception as error:  # a damaged file may raise anything
            if self._wanted == version:
                self.model_problem = str(error) if isinstance(error, EndcapError) else f"{version}: {error!r:.200}"
            _logger.warning("model not loaded", extra={"version": version, "reason": str(error)})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("background work ended", exc_info=error)
