"""``endcap serve``: the HTTP server."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from endcap import wiring
from endcap.backends.trace.environment import tracer
from endcap.config import Config, Home, ServeConfig, load_config
from endcap.encoders.registry import open_speech
from endcap.errors import ConfigError, HomeError, ModelError, NotFoundError
from endcap.interfaces.api.auth import KEYS_VARIABLE, Keys
from endcap.interfaces.api.server import ServerOptions, bind, check_access, serve
from endcap.interfaces.api.webhooks import SHOPIFY_VARIABLE, ShopifySecrets
from endcap.interfaces.cli.durations import duration
from endcap.interfaces.cli.logs import FORMATS, configure_logging
from endcap.interfaces.cli.progress import progress_bar
from endcap.pipelines.planning import available_memory, check_fits
from endcap.pipelines.repair import look_at_write_ahead_log
from endcap.protocols import Transcriber
from endcap.state.fold import State


def check_port(config: ServeConfig) -> None:
    """Raises ConfigError if the server could not be started: a port in use, or no key where one is needed."""
    check_access(config, _keys())
    bind(config).close()


def run_server(
    home: Path, config: Config, keep_alive_seconds: int = 30, retrain_every_seconds: float | None = None
) -> None:
    """Serves ``home`` until it is told to stop. Raises ConfigError or HomeError if it cannot start."""
    if not home.is_dir():
        raise HomeError(f"there is no home folder {home}: run 'endcap init --home {home}' or 'endcap demo' first")
    keys = _keys()
    shopify = ShopifySecrets.parse(os.environ.get(SHOPIFY_VARIABLE, ""))
    check_access(config.serve, keys)
    look_at_write_ahead_log(Home(home).log)  # first: whoever opens the log makes SQLite forget what is damaged
    check_fits(Home(home), available_memory())
    told = tracer(os.environ)
    bound = bind(config.serve)  # first, because opening a large home takes a while
    try:
        with progress_bar("reading the log") as show:
            live = wiring.open_live(home, config, show)
        if live.model_problem is not None:
            click.echo(f"endcap: {live.model_problem}; until then lists show what is in demand", err=True)
        _say_unreadable(live.engine.state)
        pictures = Path(config.encode.image_folder) if config.encode.image_folder else None
        speech = _speech(home, config)
        options = ServerOptions(
            home, config.serve, keys, keep_alive_seconds, retrain_every_seconds, told, shopify, speech, pictures
        )
        options = replace(options, advice=wiring.advice(live, config))
        serve(live, bound, options, lambda address: _announce(address, keys))
    finally:
        bound.close()


def _speech(home: Path, config: Config) -> Transcriber | None:
    """What hears spoken queries. That it cannot be had is said, and is no reason not to serve."""
    try:
        speech = open_speech(home, config)
        if speech is not None:
            speech.load()
        return speech
    except (ModelError, NotFoundError) as error:
        click.echo(f"endcap: {error}; until then spoken queries are refused", err=True)
        return None


def _say_unreadable(state: State) -> None:
    for sentence in state.unreadable_first.values():
        click.echo(f"endcap: set aside: {sentence}", err=True)
    more = state.unreadable - len(state.unreadable_first)
    if more:
        click.echo(f"endcap: set aside: {more:,} more entries of the log", err=True)


def _keys() -> Keys:
    return Keys.parse(os.environ.get(KEYS_VARIABLE, ""))


def _announce(address: str, keys: Keys) -> None:
    access = f"is open: no key in {KEYS_VARIABLE}, for this machine only" if keys.open else "asks for a key"
    click.echo(f"Shop     {address}/shop\nConsole  {address}/\nThe server {access}. Ctrl+C stops it.")


@click.command("serve")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--host", help="Where to listen; by default serve.host of config.toml.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), help="By default serve.port of config.toml; 0 takes a free one."
)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="One process serves a home.")
@click.option(
    "--timeout-keep-alive",
    "keep_alive_seconds",
    type=click.IntRange(1, 3_600),
    default=30,
    show_default=True,
    help="Seconds after which an idle connection is closed.",
)
@click.option(
    "--log-format", type=click.Choice(FORMATS), default="text", show_default=True, help="Of what stderr says."
)
@click.option(
    "--retrain-every",
    "retrain_every_seconds",
    type=duration,
    help="Train in a process of its own whenever the newest model is so old: 30m, 6h, 1d.",
)
def serve_command(
    home: Path, host: str | None, port: int | None, workers: int, log_format: str, **running: Any
) -> None:
    """Answer over HTTP: the API, the shop at /shop, the console at /."""
    if workers > 1:
        raise ConfigError(f"--workers is {workers}: one process serves a home; leave it at 1")
    config = load_config(home / "config.toml")
    serving = config.serve
    serving = replace(serving, host=host or serving.host, port=serving.port if port is None else port)
    configure_logging(log_format)
    run_server(home, replace(config, serve=serving), **running)
