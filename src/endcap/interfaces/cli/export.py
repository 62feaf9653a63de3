"""``endcap export``: all that is held of a person, as JSON."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.config import load_config
from endcap.errors import InvalidFieldError
from endcap.interfaces.cli.erase import people_named
from endcap.interfaces.cli.progress import progress_bar
from endcap.pipelines.report import write_file


@click.command("export")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--user", "user_id", help="Whose data.")
@click.option("--visitor", "visitor_id", help="Instead of --user: a visitor who was never identified.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="The file to write; else standard output.")
def export_command(home: Path, user_id: str | None, visitor_id: str | None, out: Path | None) -> None:
    """Write all that is held of one person as JSON: events, served lists, profile. A server may run beside it."""
    people = people_named(*(() if one is None else (one,) for one in (user_id, visitor_id)))
    if len(people) != 1:
        raise InvalidFieldError("user_id", "whose data? Give one --user or one --visitor")
    config = load_config(home / "config.toml")
    with progress_bar("reading") as show:
        found = wiring.export(home, config, people[0], wiring.clock(), show)
    data = msgspec.json.format(msgspec.json.encode(found), indent=2)
    if out is None:
        click.echo(data.decode())
    else:
        write_file(out, data + b"\n")
    if not found.events and not found.served:
        click.echo("endcap: nothing is held of them: no entry of the log is theirs", err=True)
