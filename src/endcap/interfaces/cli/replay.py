"""``endcap replay``: the state at any moment, from the log alone, and whether what serves equals it."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.checks import parse_moment
from endcap.config import load_config
from endcap.errors import InvalidFieldError
from endcap.interfaces.cli.progress import progress_bar
from endcap.pipelines.report import write_file

_DIFFERS = 1
"""The exit status of a check that failed: the fault is ours."""


@click.command("replay")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--until", help="Up to this moment (RFC 3339, or milliseconds since 1970); by default all of the log.")
@click.option("--offset", type=click.IntRange(0), help="Up to this entry of the log, instead of a moment.")
@click.option("--check", "checked", is_flag=True, help="Compare with what serves; fails if it differs.")
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def replay_command(home: Path, until: str | None, offset: int | None, checked: bool, as_json: bool) -> None:
    """Fold the log from its first entry and print the digest of the state.

    With --check, the same offset is reached by the newest snapshot and the log's tail, as a restart does it; and the
    digest that a server has kept of its memory is compared with that of the fold at the same entry. All must be equal
    to the last bit. The answer is kept in the home's reports, for the console. Meant for every night.
    """
    if until is not None and offset is not None:
        raise InvalidFieldError("until", "--until and --offset are both given: give one of them")
    moment = None if until is None else parse_moment("until", int(until) if until.isdigit() else until)
    with progress_bar("replaying") as show:
        found, checked_with = wiring.replay(home, load_config(home / "config.toml"), (offset, moment), checked, show)
    answer = {"at": wiring.clock(), **msgspec.to_builtins(found), **msgspec.to_builtins(checked_with)}
    if checked:
        write_file(home / "reports" / "replay.json", msgspec.json.encode(answer))
    if as_json:
        click.echo(msgspec.json.encode(answer).decode())
    else:
        click.echo(f"Entry {found.offset:,}: {found.events:,} events, {found.users:,} users, {found.items:,} items")
        click.echo(f"digest {found.digest}")
        for one in checked_with.checks:
            click.echo(f"{'equal to' if one.same else 'DIFFERS from'} {one.way} at entry {one.offset:,} ({one.digest})")
        if checked_with.not_live is not None:
            click.echo(f"not compared with a server's memory: {checked_with.not_live}")
    if not all(one.same for one in checked_with.checks):
        click.get_current_context().exit(_DIFFERS)
