"""The composition root: turns Config into live objects, and is the one place that chooses a class."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, cast

from threadpoolctl import threadpool_limits

from endcap.backends.log.spool import Spool
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Config, Home, TrainConfig
from endcap.encoders.cache import CachedEncoder, ItemVectors, VectorStore
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.errors import ConfigError, HomeError, ModelError, NotFoundError
from endcap.evaluation.attribution import Asked, Report, report
from endcap.evaluation.past import Past
from endcap.events.log import to_record
from endcap.features.interactions import InteractionBuilder
from endcap.models.als import ALS
from endcap.models.buy_again import BuyAgain
from endcap.models.content import Content
from endcap.models.ensemble import Blend
from endcap.models.itemknn import ItemKNN
from endcap.models.persistence import Manifest, load_version
from endcap.models.popularity import Popularity
from endcap.models.search import Search
from endcap.models.session_knn import BOUGHT_TOGETHER, SessionKNN
from endcap.pipelines import erase as erasing
from endcap.pipelines import export as exporting
from endcap.pipelines.evaluate import Factory, Kit
from endcap.pipelines.person import Person
from endcap.pipelines.repair import Repaired, look_at_write_ahead_log
from endcap.pipelines.repair import repair as repair_log
from endcap.pipelines.replay import Check, Checked, Mark, Replayed, check_live, check_restart, described
from endcap.pipelines.replay import replay as replay_log
from endcap.pipelines.restart import (
    await_eraser,
    drop_outdated,
    entry_bytes,
    fold_on,
    keep_live,
    keep_snapshot,
    live_digest,
    replayed,
    replayed_at,
    snapshot_of,
)
from endcap.pipelines.train import BUY_AGAIN, Workshop
from endcap.pipelines.train import train as train_version
from endcap.protocols import Encoder, Evidence, Learner, Log, Scorer, Storable
from endcap.serving.checkpoints import Checkpoints
from endcap.serving.contents import Contents
from endcap.serving.engine import Answer, Engine, Request, ServingModel
from endcap.serving.exposure import Exposure
from endcap.serving.live import Live, Shop
from endcap.serving.rebuild import Moment, Why, erasures_since, offset_at, served_moment, why
from endcap.serving.tallies import Tallies
from endcap.state.fold import State
from endcap.types import Activation, Progress

LEARNERS = ("als", "itemknn")
"""Members of the blend that must be fitted; the others read the state."""
UNTRAINED = "untrained"
"""The version that serves before the first training: what needs no learning, in equal parts."""
PERSONAL = ("session_knn", "itemknn", "als", "content")
"""Members that follow from the visitor's history, and can say which item of it speaks for a proposal."""
SIMILAR = {"content": 0.6, "itemknn": 0.4}
TOGETHER = replace(BOUGHT_TOGETHER, items=10)
"""A cart has several items; each of the newest ten speaks."""
SPOOL_SECONDS = 0.5
"""After which a running server has brought into the log what it showed: it does so every 0.1 s."""

_logger = logging.getLogger(__name__)


threadpool_limits(1)
"""One thread in the numeric kernels: the same bits each time, and no waiting for a busy neighbour core."""


def text_encoder() -> Encoder[str]:
    """The encoder of items and queries."""
    return UniversalSentenceEncoder()


def clock() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def open_log(home: Path) -> Log:
    """The log of the home folder; an empty one if there is none. Raises HomeError if it cannot be used."""
    return SqliteLog(Home(home).log)


def blend_members(state: State, vectors: ItemVectors | None, config: TrainConfig) -> dict[str, Scorer]:
    """Every member of the blend, over ``state``; those in LEARNERS are not fitted yet."""
    members: dict[str, Scorer] = {
        "session_knn": SessionKNN(state.sessions),
        "itemknn": ItemKNN(),
        "als": ALS(config.als_factors, config.als_l2, config.als_alpha, config.als_epochs, config.seed),
        "trending": Popularity(state.popularity, "trending"),
        "popular": Popularity(state.popularity, "popular"),
    }
    if vectors is not None:
        members["content"] = Content(vectors)
    return members


def chosen_models(names: Sequence[str]) -> tuple[str, ...]:
    """``names``, or every member of the blend where none is named. Raises ConfigError for one that does not exist."""
    default = Config()
    known = tuple(blend_members(State(default.state), ItemVectors(1), default.train))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"there is no model {unknown[0]!r:.80} to train: choose among {', '.join(known)}")
    return tuple(names) or known


def train(
    home: Path, config: Config, seed: int, now_ms: int, progress: Progress, encoding: Progress | None = None
) -> Manifest:
    """Train a version on the whole log and activate it. May run beside a server, which then loads it.

    ``encoding`` follows the texts that have no vector yet, ``progress`` the rest. Raises DataError for a log without
    events, ConfigError for a name in ``train.models`` that no model has.
    """
    names = chosen_models(config.train.models)
    with closing(open_log(home)) as log:
        vectors = ItemVectors(text_encoder().dim)

        def prepare(state: State) -> None:
            _store(home).fill(vectors, state.shop.listed_items(), encoding)

        settings = replace(config.train, seed=seed)
        workshop = Workshop(
            log=log,
            models_dir=Home(home).models,
            config=replace(config, train=settings),
            encoder=text_encoder().name,
            members=lambda state: _only(names, blend_members(state, vectors, settings)),
            learners=[name for name in LEARNERS if name in names],
            prepare=prepare,
            keep=lambda state: keep_snapshot(home, state, log),
        )
        manifest = train_version(workshop, seed, now_ms, progress)
        log.append([to_record(Activation(manifest.version), now_ms)])
    return manifest


def evaluation_kit(home: Path | None, config: Config) -> Kit:
    """What is evaluated: every member of the blend by name; with content vectors where ``home`` has a catalogue."""

    def vectors(state: State) -> ItemVectors | None:
        if home is None:
            return None
        found = ItemVectors(text_encoder().dim)
        _store(home).fill(found, state.shop.listed_items())
        return found

    def factory(name: str) -> Factory:
        def make(past: Past) -> Scorer:
            model = blend_members(past.state, past.vectors, config.train)[name]
            return cast(Learner, model).fit(past.interactions) if name in LEARNERS else model

        return make

    names = blend_members(State(config.state), ItemVectors(1) if home is not None else None, config.train)
    return Kit({name: factory(name) for name in names}, vectors)


def open_live(home: Path, config: Config, progress: Progress | None = None) -> Live:
    """The running shop of ``home``: locked, the log replayed (``progress`` follows it), the active model loaded.

    A model that cannot be loaded is named in ``Live.model_problem``, and the untrained one serves. Raises
    HomeError if the home cannot be used or another process serves it.
    """
    with ExitStack() as opened:
        opened.enter_context(_lock(home))
        look_at_write_ahead_log(Home(home).log)
        log = open_log(home)
        opened.callback(log.close)
        exposure = _open_exposure(home, config, log, opened)
        drop_outdated(home, log)  # a server that was killed may have left one
        engine, problem = open_engine(home, config, log, progress)
        if exposure is not None:
            exposure.tallies.read(log, engine.state.attribution.tallied)
        text_encoder().encode(["ready"])  # loads the weights, one copy a process: the first search would wait a second
        engine.warm(clock())
        held = opened.pop_all()  # not closed here, unless something above failed

    live = Live(
        log, engine, shop_of(home, config, log, engine.contents, held), clock, exposure, _checkpoints(home, log)
    )
    live.model_problem = problem
    return live


def shop_of(home: Path, config: Config, log: Log, contents: Contents, held: ExitStack) -> Shop:
    """What a running shop has done for it. ``contents`` stays: an erasure moves no item's row."""

    def fold(until: int) -> State:
        await_eraser(home, log, until)
        return replayed_at(home, config, log, until)

    def engine(state: State) -> tuple[Engine, str | None]:
        made, problem = _engine_over(home, config, state, contents)
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
        load_model=lambda state, version: _model(home, config, state, contents, version),
        fold=fold,
        fold_on=lambda state, until: fold_on(state, log, until=until),
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
    spool.drain(log)
    return Exposure(spool, config.serve.keep_served_days) if config.serve.keep_served_days > 0 else None


def open_engine(home: Path, config: Config, log: Log, progress: Progress | None = None) -> tuple[Engine, str | None]:
    """The engine over the state of ``log``, and why the active model does not serve (None when it does)."""
    state = replayed(home, config, log, progress)
    return _engine_over(home, config, state, _contents(home, state))


def _engine_over(home: Path, config: Config, state: State, contents: Contents) -> tuple[Engine, str | None]:
    try:
        model, problem = _model(home, config, state, contents), None
    except (ModelError, NotFoundError) as error:
        model, problem = _model(home, config, state, contents, UNTRAINED), str(error)
    return _engine(state, contents, model), problem


def _contents(home: Path, state: State) -> Contents:
    """What the items of ``state`` say, all of it encoded."""
    contents = Contents(_store(home), text_encoder().dim)
    contents.fill(state.shop)
    return contents


def _model(home: Path, config: Config, state: State, contents: Contents, version: str | None = None) -> ServingModel:
    """``version`` as it serves, by default the one that ``state`` has as active."""
    wanted = state.shop.active_version or UNTRAINED if version is None else version
    return serving_model(state, contents, config, Home(home).models, wanted)


def _engine(state: State, contents: Contents, model: ServingModel) -> Engine:
    return Engine(state, contents, model, CachedEncoder(text_encoder()), new_id)


def replay(
    home: Path, config: Config, until: tuple[int | None, int | None], checked: bool, progress: Progress
) -> tuple[Replayed, Checked]:
    """The state folded from the first entry ``until`` an offset or a moment (milliseconds since 1970), or to the end.

    ``checked``: also what the newest snapshot and the tail come to, and what a server held in memory last.
    """
    last, moment = until
    with closing(open_log(home)) as log:
        live, why_not = live_digest(home, config, log) if checked else (None, None)
        mark = None if live is None else Mark(live.offset)
        found = replay_log(
            log,
            config.state,
            lambda offset, time: (last is not None and offset > last) or (moment is not None and time > moment),
            progress,
            mark,
        )
        if not checked:
            return found, Checked()
        checks = [_check_restart(home, config, log, found)]
    if live is not None and mark is not None and mark.digest is not None:
        checks.append(check_live(live, mark.digest))
    elif live is not None:
        why_not = f"a server kept its digest at entry {live.offset:,}, which is later"
    return found, Checked(tuple(checks), why_not)


def _check_restart(home: Path, config: Config, log: Log, found: Replayed) -> Check:
    state = snapshot_of(home, config, log, found.offset)
    way = f"the snapshot of entry {state.offset:,} and the log's tail"
    fold_on(state, log, until=found.offset)
    return check_restart(way, found, described(state))


def attribution(home: Path, config: Config, wanted: Asked) -> Report:
    """What the lists of some days brought, from the log alone: no server is needed, and none is in the way."""
    with closing(open_log(home)) as log:
        state = replayed(home, config, log)
        tallies = Tallies()
        tallies.read(log, state.attribution.tallied)
    days = config.state.attribution_days
    return report(state.attribution, tallies.waiting(), wanted, days, state.items)


def why_served(home: Path, config: Config, request_id: str, item_id: str) -> Why:
    """Why ``item_id`` was in the served list ``request_id``, or where it was left out. Raises NotFoundError."""
    with closing(open_log(home)) as log:
        return why(partial(_engine_at, home, config, log), served_moment(log, request_id), item_id)


def served_again(home: Path, config: Config, request_id: str) -> Answer:
    """The served list ``request_id``, made again from the log. Raises NotFoundError."""
    with closing(open_log(home)) as log:
        moment = served_moment(log, request_id)
        made = _engine_at(home, config, log, moment).recommend(moment.request, moment.now)
    return replace(made, request_id=request_id)


def why_at(home: Path, config: Config, request: Request, moment: int, item_id: str) -> Why:
    """The same for a list that ``request`` would have got at ``moment`` (milliseconds since 1970)."""
    with closing(open_log(home)) as log:
        offset = offset_at(log, moment)
        asked = Moment(request, moment, offset, None, erasures=erasures_since(log, offset))
        return why(partial(_engine_at, home, config, log), asked, item_id)


def _engine_at(home: Path, config: Config, log: Log, moment: Moment) -> Engine:
    """The engine as it was at a moment of the past. Raises ModelError, or NotFoundError for a version that is gone."""
    state = replayed_at(home, config, log, moment.offset)
    contents = _contents(home, state)
    return _engine(state, contents, _model(home, config, state, contents, moment.model))


def erase(
    home: Path, config: Config, people: Sequence[Person], now_ms: int, progress: Progress, *, compact: bool = False
) -> erasing.Receipt:
    """Erase ``people`` from all that lies under ``home``; ``compact``: finish an erasure that had to wait.

    A server may run beside it: it sees the erasure in the log. Raises HomeError if there is no log.
    """
    with closing(_existing_log(home)) as log, ExitStack() as held:
        job = erasing.Job(
            log=log,
            home=Home(home),
            snapshot=partial(snapshot_of, home, config, log),
            keep=partial(keep_snapshot, home, log=log),
            new_key=partial(secrets.token_bytes, erasing.KEY_BYTES),
            wait=partial(time.sleep, SPOOL_SECONDS) if _is_served(home, log, held) else None,
        )
        if compact:
            return erasing.clean(job, erasing.Receipt(None, now_ms, ()), progress)
        return erasing.erase(job, people, now_ms, progress)


def export(
    home: Path, config: Config, person: Person, now_ms: int, progress: Progress | None = None
) -> exporting.Export:
    """All that is held of ``person``, by the API's names. Raises HomeError if there is no log."""
    with closing(_existing_log(home)) as log:
        with ExitStack() as held:
            _is_served(home, log, held)
        return exporting.export(log, replayed(home, config, log, progress), person, now_ms)


def repair(home: Path, *, look_only: bool = False) -> Repaired:
    """Read the whole log; where something cannot be read, make it anew of all that can."""
    return repair_log(Home(home), None if look_only else partial(_lock, home))


def _existing_log(home: Path) -> Log:
    if not Home(home).log.is_file():
        raise HomeError(f"there is no log in {home}: name the home folder of a shop with --home")
    return open_log(home)


def _is_served(home: Path, log: Log, held: ExitStack) -> bool:
    """Whether a server runs on ``home``. If not, none can start until ``held`` ends, and the spool is in ``log``."""
    try:
        held.enter_context(closing(_lock(home)))
    except HomeError:
        return True
    if Home(home).spool.is_file():
        with closing(Spool(Home(home).spool)) as spool:
            spool.drain(log)
    return False


def new_id() -> str:
    """An id that nobody can guess, for a request."""
    return secrets.token_urlsafe(12)


def recommend(home: Path, config: Config, request: Request, now_ms: int) -> Answer:
    """One list, without a server."""
    with closing(open_log(home)) as log:
        engine, _ = open_engine(home, config, log)
        return engine.recommend(request, now_ms)


def serving_model(state: State, contents: Contents, config: Config, models_dir: Path, version: str) -> ServingModel:
    """The version as it serves, over ``state``. Raises ModelError, or NotFoundError if there is no such version."""
    members = blend_members(state, contents.vectors, config.train)
    again = BuyAgain(config.train.due_after).fit(InteractionBuilder().build(state))
    hides_bought = False
    if version == UNTRAINED:
        members = {name: member for name, member in members.items() if name not in LEARNERS}
        weights, hides_seen = dict.fromkeys(members, 1.0 / len(members)), False
    else:
        learners: dict[str, Storable] = {name: cast(Storable, members[name]) for name in LEARNERS}
        learners[BUY_AGAIN] = again
        manifest = load_version(models_dir, version, learners, state.items)
        members = {name: member for name, member in members.items() if name not in LEARNERS or name in manifest.weights}
        weights, hides_seen = dict(manifest.weights), manifest.hides_seen
        hides_bought = manifest.hides_bought
    together = SessionKNN(state.baskets, TOGETHER)
    search = Search(contents.vectors, contents.letters, state.items)
    return ServingModel(
        version,
        proposers={
            "for-you": Blend(members, weights),
            "rerank": Blend(members, weights),
            "similar": Blend(members, SIMILAR),
            "bought-together": Blend({"bought_together": together}, {"bought_together": 1.0}),
            "next": _alone(members, "session_knn"),
            "trending": _alone(members, "trending"),
            "popular": _alone(members, "popular"),
            "search": Blend({"search": search}, {"search": 1.0}),
            "buy-again": Blend({BUY_AGAIN: again}, {BUY_AGAIN: 1.0}),
        },
        evidence={"bought_together": together, **_evidence(members)},
        hides_seen=hides_seen,
        hides_bought=hides_bought,
        again=again,
    )


def _only(names: Sequence[str], members: Mapping[str, Scorer]) -> dict[str, Scorer]:
    return {name: member for name, member in members.items() if name in names}


def _alone(members: Mapping[str, Scorer], name: str) -> Blend:
    return Blend({name: members[name]}, {name: 1.0})


def _evidence(members: Mapping[str, Scorer]) -> dict[str, Evidence]:
    return {name: cast(Evidence, members[name]) for name in PERSONAL if name in members}


def _store(home: Path) -> VectorStore:
    return VectorStore(Home(home).vectors, text_encoder())


def _lock(home: Path) -> IO[str]:
    """The home's lock, held until it is closed or the process ends."""
    path = Home(home).lock
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+")
    except OSError as error:
        raise HomeError(f"{home} cannot be written ({error.strerror}): give a home folder that can be") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise HomeError(f"{home} is served by another process: stop that, or give another --home") from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
