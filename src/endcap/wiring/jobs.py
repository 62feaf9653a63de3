"""Batch jobs over a home: training, evaluation, replay, erasure, export, repair."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

from endcap.catalog.items import Item
from endcap.config import Config, Home
from endcap.encoders.cache import ItemVectors
from endcap.evaluation.past import Past
from endcap.events.log import to_record
from endcap.features.behaviour import Nearest, check_ways
from endcap.models.persistence import Manifest
from endcap.pipelines import aside as setting
from endcap.pipelines import erase as erasing
from endcap.pipelines import export as exporting
from endcap.pipelines.aside import Aside
from endcap.pipelines.evaluate import Factory, Kit
from endcap.pipelines.locking import lock
from endcap.pipelines.person import Person
from endcap.pipelines.repair import Repaired
from endcap.pipelines.repair import repair as repair_log
from endcap.pipelines.replay import Check, Checked, Mark, Replayed, check_live, check_restart, described
from endcap.pipelines.replay import replay as replay_log
from endcap.pipelines.restart import fold_on, keep_snapshot, live_digest, replayed, snapshot_of
from endcap.pipelines.train import Workshop
from endcap.pipelines.train import train as train_version
from endcap.profiles.interests import Themes
from endcap.protocols import Learner, Log, Scorer
from endcap.serving.contents import Contents
from endcap.state.fold import State
from endcap.types import Activation, Interactions, Progress
from endcap.wiring.encoders import bridge_of, contents_of, floor_of, reading
from endcap.wiring.home import await_lists, existing_log, is_served, open_log
from endcap.wiring.llm import reasons
from endcap.wiring.models import LEARNERS, NEURAL, blend_members, check_trainable, chosen_models, no_themes, only


def train(
    home: Path, config: Config, seed: int, now_ms: int, progress: Progress, encoding: Progress | None = None
) -> Manifest:
    """Train a version on the whole log and activate it. May run beside a server, which then loads it.

    ``encoding`` follows the texts that have no vector yet, ``progress`` the rest. Raises DataError for a log without
    events, ConfigError for a name in ``train.models`` that no model has, ModelError where torch is wanted and missing.
    """
    names = chosen_models(config.train.models)
    check_trainable(names, config.train)
    check_ways(config.train.augment)
    with closing(open_log(home)) as log:
        contents = Contents(reading(home, config))
        settings = replace(config.train, seed=seed)
        encoded: dict[int, Item] = {}

        def prepare(state: State) -> None:
            changed = [(row, item) for row, item in state.shop.listed_items() if encoded.get(row) is not item]
            contents.fill(changed, encoding)
            encoded.update(changed)

        workshop = Workshop(
            log=log,
            models_dir=Home(home).models,
            config=replace(config, train=settings),
            encoders=contents.reading.names,
            members=lambda state: only(names, blend_members(state, contents.vectors, settings, contents.words)),
            learners=[name for name in LEARNERS if name in names],
            prepare=prepare,
            keep=lambda state: keep_snapshot(home, state, log),
            themes=lambda state, past: _themes(config, state, contents.vectors, past, seed),
            similar=lambda: Nearest(contents.vectors.matrix),
            reading=lambda: bridge_of(contents),
            meaning_floor=lambda: floor_of(contents),
            reasons=lambda: reasons(config),
        )
        manifest = train_version(workshop, seed, now_ms, progress)
        log.append([to_record(Activation(manifest.version), now_ms)])
    return manifest


def _themes(config: Config, state: State, vectors: ItemVectors, past: Interactions, seed: int) -> Themes:
    texts = [(row, item.title) for row, item in state.shop.listed_items()]
    return no_themes(config).fit(texts, vectors.matrix, past, seed)


def evaluation_kit(home: Path | None, config: Config, wanted: Sequence[str] = ()) -> Kit:
    """What is evaluated: every member of the blend by name; with content vectors where ``home`` has a catalogue.

    Those that take minutes to train only where ``train.models`` or ``wanted`` names them.
    """

    def vectors(state: State) -> ItemVectors | None:
        if home is None:
            return None
        return contents_of(state, reading(home, config)).vectors

    def factory(name: str) -> Factory:
        def make(past: Past) -> Scorer:
            words = None if past.vectors is None else past.words
            model = blend_members(past.state, past.vectors, config.train, words)[name]
            return cast(Learner, model).fit(past.interactions) if name in LEARNERS else model

        return make

    names = blend_members(State(config.state), ItemVectors(1) if home is not None else None, config.train)
    slow = set(NEURAL) - {*config.train.models, *wanted}
    evaluated = [name for name in names if name not in slow]
    check_trainable(evaluated, config.train)
    return Kit({name: factory(name) for name in evaluated}, vectors)


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


def erase(
    home: Path, config: Config, people: Sequence[Person], now_ms: int, progress: Progress, *, compact: bool = False
) -> erasing.Receipt:
    """Erase ``people`` from all that lies under ``home``; ``compact``: finish an erasure that had to wait.

    A server may run beside it: it sees the erasure in the log. Raises HomeError if there is no log.
    """
    with closing(existing_log(home)) as log, ExitStack() as held:
        job = erasing.Job(
            log=log,
            home=Home(home),
            snapshot=partial(snapshot_of, home, config, log),
            keep=partial(keep_snapshot, home, log=log),
            new_key=partial(secrets.token_bytes, erasing.KEY_BYTES),
            wait=partial(await_lists, home, log, held) if is_served(home, log, held) else None,
        )
        if compact:
            return erasing.clean(job, erasing.Receipt(None, now_ms, ()), progress)
        return erasing.erase(job, people, now_ms, progress)


def export(
    home: Path, config: Config, person: Person, now_ms: int, progress: Progress | None = None
) -> exporting.Export:
    """All that is held of ``person``, by the API's names. Raises HomeError if there is no log."""
    with closing(existing_log(home)) as log:
        with ExitStack() as held:
            is_served(home, log, held)
        return exporting.export(log, replayed(home, config, log, progress), person, now_ms)


def repair(home: Path, *, look_only: bool = False) -> Repaired:
    """Read the whole log; where something cannot be read, make it anew of all that can."""
    return repair_log(Home(home), None if look_only else partial(lock, home))


def set_aside(home: Path, config: Config, progress: Progress, *, look_only: bool = False) -> Aside:
    """Set aside the entries that break the fold, and take back those that no longer do. Raises HomeError."""
    with ExitStack() as held:
        if not look_only:
            held.enter_context(closing(lock(home)))
        log = held.enter_context(closing(existing_log(home)))
        return setting.set_aside(home, config, log, progress, look_only=look_only)
