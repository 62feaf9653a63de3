"""``endcap demo``: a real gift shop, loaded, trained and served; what is done already is not done again."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click

from endcap import wiring
from endcap.config import Config, Home, load_config
from endcap.interfaces.cli.init import make_home
from endcap.interfaces.cli.progress import progress_bar
from endcap.interfaces.cli.serve import check_port, run_server
from endcap.interfaces.cli.train import run_training
from endcap.models.persistence import list_versions
from endcap.pipelines.demo import demo_import, read_marker
from endcap.pipelines.report import report_lines, write_report
from endcap.protocols import Log


@click.command("demo")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--host", help="Where to listen; by default serve.host of config.toml.")
@click.option("--port", type=click.IntRange(0, 65_535), help="By default serve.port of config.toml.")
@click.option("--no-serve", is_flag=True, help="Load and train only.")
def demo_command(home: Path, host: str | None, port: int | None, no_serve: bool) -> None:
    """Load the demo shop, train, serve it. What is loaded and trained already is not done again."""
    make_home(home)
    config = _addressed(load_config(home / "config.toml"), host, port)
    if not no_serve:
        check_port(config.serve)  # a port in use is said now, not after a minute of work
    prepare(home, config)
    if not no_serve:
        run_server(home, config)


def prepare(home: Path, config: Config) -> None:
    """Loads the demo shop into ``home`` and trains, as far as that is not done."""
    with closing(wiring.open_log(home)) as log:
        _load(home, log)
        trained = is_trained(log, home)
    if not trained:
        manifest = run_training(home, config)
        click.echo(f"Trained {manifest.version}.", err=True)


def is_trained(log: Log, home: Path) -> bool:
    """Whether a model was activated after the demo shop was loaded, and one is there. Reads on from that entry only."""
    marker = read_marker(home)
    after = 0 if marker is None else marker.last_offset
    activated = any(record.kind == "activation" for _, record in log.read(after))
    return activated and any(one.problem is None for one in list_versions(Home(home).models))


def _load(home: Path, log: Log) -> None:
    with progress_bar("loading the demo shop") as show:
        report = demo_import(log, wiring.clock(), home, show)
    if report.rows:
        write_report(report, home)
        click.echo("\n".join(report_lines(report)), err=True)


def _addressed(config: Config, host: str | None, port: int | None) -> Config:
    serve = config.serve
    host, port = serve.host if host is None else host, serve.port if port is None else port
    return replace(config, serve=replace(serve, host=host, port=port))
