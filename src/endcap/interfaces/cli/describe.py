"""``endcap describe``: attributes and keywords of items from their text, by a language model."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.config import load_config
from endcap.interfaces.cli.progress import progress_bar


@click.command("describe")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Describe at most so many items now.")
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def describe_command(home: Path, limit: int | None, as_json: bool) -> None:
    """Attributes and keywords of items from their text, by the language model of [llm], into the log.

    It goes on where it stopped, and describes again what has changed. It may run beside a server.
    """
    config = load_config(home / "config.toml")
    with progress_bar("describing") as show:
        found = wiring.describe(home, config, limit, wiring.clock(), show)
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(
        f"Described {found.described:,} items; of {found.nothing:,} the answer was of no use, {found.failed:,} got "
        f"none, {found.changed:,} changed meanwhile. {found.left:,} are left."
    )
