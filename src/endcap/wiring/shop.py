"""The running shop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

from endcap.backends.log.spool import Spool
from endcap.config import Config, Home
from endcap.errors import EndcapError, HomeError
from endcap.events.log import to_record
from endcap.pipelines.locking import lock
from endcap.pipelines.repair import look_at_write_ahead_log
from endcap.pipelines.restart import await_eraser, drop_outdated, entry_bytes, fold_on, keep_live, replayed_at
from endcap.pipelines.underway import bring_in
from endcap.protocols import Log
from endcap.serving.checkpoints import Checkpoints
from endcap.serving.contents import Contents
from endcap.serving.engine import Engine
from endcap.serving.exposure import Exposure
from endcap.serving.live import Live, Shop
from endcap.serving.tallies import Tallies
from endcap.state.fold import State
from endcap.types import Progress
from endcap.wiring.encoders import reading
from endcap.wiring.engines import engine_over, open_engine
from endcap.wiring.home import clock, open_log
from endcap.wiring.models import load_model

_logger = logging.getLogger(__name__)


def open_live(home: Path, config: Config, progress: Progress | None = None) -> Live:
    """The running shop of ``home``: locked, the log replayed (``progress`` follows it), the active model loaded.

    A model that cannot be loaded is named in ``Live.model_problem``, and the untrained one serves. Raises
    HomeError if the home cannot be used or another process serves it.
    """
    with ExitStack() as opened:
        opened.enter_context(lock(home))
        look_at_write_ahead_log(Home(home).log)
        log = open_log(home)
        opened.callback(log.close)
        exposure = _open_exposure(home, config, log, opened)
        drop_outdated(home, log)  # a server that was killed may have left one
        engine, problem = open_engine(home, config, log, progress)
        _count_lists(home, log, engine.state, exposure)
        problem = _ready(engine) or problem
        engine.warm(clock())
        held = opened.pop_all()  # not closed here, unless something above failed

    live = Live(log, engine, shop_of(home, config, log, held), clock, exposure, _checkpoints(home, log))
    live.model_problem = problem
    return live


def _ready(engine: Engine) -> str | None:
    """Load what reads queries and photos. What is wrong with it."""
    try:
        engine.contents.reading.load()
    except EndcapError as error:
        return str(error)
    return None


def shop_of(home: Path, config: Config, log: Log, held: ExitStack) -> Shop:
    """What a running shop has done for it."""

    # With a connection of its own: the loop waits for nobody who reads through the log's.
    def fold(until: int) -> State:
        with closing(open_log(home)) as own:
            await_eraser(home, own, until)
            return replayed_at(home, config, own, until)

    def fold_further(state: State, until: int) -> None:
        with closing(open_log(home)) as own:
            fold_on(state, own, until=until)

    def engine(state: State, contents: Contents) -> tuple[Engine, str | None]:
        made, problem = engine_over(home, config, state, contents)  # an erasure moves no item's row
        made.warm(clock())
        return made, problem

    def close(last: Engine) -> None:
        with held:
            try:
                if not last.state.outdated:
                    keep_live(home, last.state, partial(entry_bytes, log), clock())
            except (OSError, HomeError) as error:
                _logger.warning("no snapshot of the state", extra={"reason": str(error)})
            drop_outdated(home, log)

    return Shop(
        load_model=lambda items, version: load_model(items, config, Home(home).models, version),
        reading=lambda names: reading(home, config, names),
        fold=fold,
        fold_on=fold_further,
        engine=engine,
        close=close,
    )


def _checkpoints(home: Path, log: Log) -> Checkpoints:
    """Snapshots of a running shop, each with the digest of what it held in memory."""

    def prepare(state: State) -> Callable[[], None]:
        entry = entry_bytes(log, state.anchor)  # here, because a copy of the process must not touch the log
        return partial(keep_live, home, state, lambda _: entry, clock())

    return Checkpoints(prepare, lambda _: drop_outdated(home, log), time.monotonic)


def _open_exposure(home: Path, config: Config, log: Log, opened: ExitStack) -> Exposure | None:
    """What keeps the served lists; brings into the log what a server that died has left. None: nothing is kept."""
    if config.serve.keep_served_days <= 0 and not Home(home).spool.is_file():
        return None
    spool = Spool(Home(home).spool)
    opened.callback(spool.close)
    bring_in(spool, Home(home).erasure_lists, log)
    return Exposure(spool, config.serve.keep_served_days) if config.serve.keep_served_days > 0 else None


def _count_lists(home: Path, log: Log, state: State, exposure: Exposure | None) -> None:
    """Count the lists that no tally of ``log`` counts. Where none are kept any more, in a last tally, at once."""
    spool = Home(home).spool
    if exposure is None and not spool.is_file():
        return  # none were kept before either
    tallies = Tallies() if exposure is None else exposure.tallies
    tallies.read(log, state.attribution.tallied)
    if exposure is None:
        tally = tallies.take()
        log.append([] if tally is None else [to_record(tally, clock())])
        spool.unlink()
