"""Engines over the log, of now and of the past, for who needs no server."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from endcap.config import Config, Home
from endcap.encoders.lexical import LexicalEncoder
from endcap.errors import ConfigError, ModelError, NotFoundError
from endcap.evaluation.attribution import Asked, Report, report
from endcap.pipelines.restart import replayed, replayed_at
from endcap.protocols import Log
from endcap.serving.contents import Contents
from endcap.serving.engine import Answer, Engine, Request
from endcap.serving.rebuild import Moment, Why, erasures_since, offset_at, served_moment, why
from endcap.serving.tallies import Tallies
from endcap.state.fold import State
from endcap.types import Progress
from endcap.wiring.encoders import contents_of, reading
from endcap.wiring.home import new_id, open_log
from endcap.wiring.models import UNTRAINED, load_model

_UNUSABLE = (ModelError, NotFoundError, ConfigError)
"""What is wrong with a version or an encoder, not with the home."""


def open_engine(home: Path, config: Config, log: Log, progress: Progress | None = None) -> tuple[Engine, str | None]:
    """The engine over the state of ``log``, and why the active model does not serve (None when it does)."""
    return engine_over(home, config, replayed(home, config, log, progress))


def engine_over(
    home: Path, config: Config, state: State, contents: Contents | None = None
) -> tuple[Engine, str | None]:
    """The engine over ``state``, and why the active version does not serve. ``contents``: what is encoded already.

    An encoder that cannot be had is no reason not to serve: letters take its place.
    """
    try:
        return _engine(home, config, state, state.shop.active_version or UNTRAINED, contents), None
    except _UNUSABLE as error:
        problem = str(error)
    if contents is None:
        contents = _readable_contents(home, config, state)
    return _engine(home, config, state, UNTRAINED, contents), problem


def _readable_contents(home: Path, config: Config, state: State) -> Contents:
    try:
        return contents_of(state, reading(home, config))
    except _UNUSABLE:
        return contents_of(state, reading(home, config, (LexicalEncoder.name, "")))


def _engine(home: Path, config: Config, state: State, version: str, contents: Contents | None = None) -> Engine:
    """``version`` over ``state``, with ``contents`` if they are of the encoders that it goes with."""
    loaded = load_model(state.items, config, Home(home).models, version)
    if contents is None or loaded.encoders not in (None, contents.reading.names):
        contents = contents_of(state, reading(home, config, loaded.encoders))
    return Engine(state, loaded.over(state, contents), new_id)


def recommend(home: Path, config: Config, request: Request, now_ms: int) -> Answer:
    """One list, without a server."""
    with closing(open_log(home)) as log:
        engine, _ = open_engine(home, config, log)
        return engine.recommend(request, now_ms)


def why_served(home: Path, config: Config, request_id: str, item_id: str) -> Why:
    """Why ``item_id`` was in the served list ``request_id``, or where it was left out. Raises NotFoundError."""
    with closing(open_log(home)) as log:
        return why(partial(engine_at, home, config, log), served_moment(log, request_id), item_id)


def served_again(home: Path, config: Config, request_id: str) -> Answer:
    """The served list ``request_id``, made again from the log. Raises NotFoundError."""
    with closing(open_log(home)) as log:
        moment = served_moment(log, request_id)
        made = engine_at(home, config, log, moment).recommend(moment.request, moment.now)
    return replace(made, request_id=request_id)


def why_at(home: Path, config: Config, request: Request, moment: int, item_id: str) -> Why:
    """The same for a list that ``request`` would have got at ``moment`` (milliseconds since 1970)."""
    with closing(open_log(home)) as log:
        offset = offset_at(log, moment)
        asked = Moment(request, moment, offset, None, erasures=erasures_since(log, offset))
        return why(partial(engine_at, home, config, log), asked, item_id)


def engine_at(home: Path, config: Config, log: Log, moment: Moment) -> Engine:
    """The engine as it was at a moment of the past. Raises ModelError, or NotFoundError for a version that is gone."""
    state = replayed_at(home, config, log, moment.offset)
    version = state.shop.active_version or UNTRAINED if moment.model is None else moment.model
    return _engine(home, config, state, version)


def attribution(home: Path, config: Config, wanted: Asked) -> Report:
    """What the lists of some days brought, from the log alone: no server is needed, and none is in the way."""
    with closing(open_log(home)) as log:
        state = replayed(home, config, log)
        tallies = Tallies()
        tallies.read(log, state.attribution.tallied)
    days = config.state.attribution_days
    return report(state.attribution, tallies.waiting(), wanted, days, state.items)
