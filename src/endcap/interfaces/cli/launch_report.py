"""``endcap launch-report``: what can be expected of a catalogue before there is any event."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.config import load_config
from endcap.errors import DataError
from endcap.evaluation.launch import LaunchReport, launch_report
from endcap.evaluation.launch_page import as_html, as_text
from endcap.pipelines.report import write_file
from endcap.pipelines.restart import replayed


@click.command("launch-report")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Write the page here, as HTML.")
@click.option(
    "--depth", type=click.IntRange(1), default=1, show_default=True, help="Steps of a path that are a category."
)
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def launch_report_command(home: Path, out: Path | None, depth: int, as_json: bool) -> None:
    """Judge a catalogue before there is any event, by category.

    Says how many items have text, image and price, which read almost the same, and what lists of new items can be
    expected to be worth. Import the items first.
    """
    report = _report(home, depth)
    if out is not None:
        write_file(out, as_html(report).encode())
    click.echo(msgspec.json.encode(asdict(report)).decode() if as_json else as_text(report))


def _report(home: Path, depth: int) -> LaunchReport:
    config = load_config(home / "config.toml")
    with closing(wiring.open_log(home)) as log:
        state = replayed(home, config, log)
    listed = state.shop.listed_items()
    if not listed:
        raise DataError(f"the catalogue of {home} is empty: run endcap import items FILE first")
    reading, items = wiring.reading(home, config), [item for _, item in listed]
    return launch_report(items, reading.texts(items, None), reading.name, depth)
