"""``endcap repair``: a damaged log is made anew of all that can be read; what breaks the fold is set aside."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.backends.log.salvage import Looked
from endcap.config import load_config
from endcap.interfaces.cli.progress import progress_bar
from endcap.pipelines.aside import Aside
from endcap.pipelines.repair import Repaired

_DAMAGED = 1
"""The exit status of --dry-run where something is damaged."""
_SHOWN = 20


@click.command("repair")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--dry-run", is_flag=True, help="Only look, also beside a server; exit status 1 if anything is damaged.")
@click.option("--fold", is_flag=True, help="Set aside the entries that break the fold, for which a start is refused.")
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def repair_command(home: Path, dry_run: bool, fold: bool, as_json: bool) -> None:
    """Read every entry of the log. Where some are damaged, write the log anew with all the others.

    Entries keep their offsets. The damaged file stays beside the new one. It takes room for as much again. Stop the
    server first.

    With --fold, the log is folded instead, and what a start fails at is set aside: it stays where it is, with its
    bytes, and is left out until a later version, with the same command, takes it back.
    """
    if fold:
        _fold(home, dry_run, as_json)
        return
    done = wiring.repair(home, look_only=dry_run)
    if as_json:
        click.echo(msgspec.json.encode(done, enc_hook=str).decode())
    else:
        click.echo("\n".join(_lines(done, dry_run)))
    if dry_run and not done.found.sound:
        click.get_current_context().exit(_DAMAGED)


def _fold(home: Path, dry_run: bool, as_json: bool) -> None:
    with progress_bar("folding") as show:
        done = wiring.set_aside(home, load_config(home / "config.toml"), show, look_only=dry_run)
    if as_json:
        click.echo(msgspec.json.encode(done).decode())
    else:
        click.echo("\n".join(_fold_lines(done, dry_run)))
    if dry_run and done.broken:
        click.get_current_context().exit(_DAMAGED)


def _fold_lines(done: Aside, dry_run: bool) -> list[str]:
    broken = "Breaks the fold" if dry_run else "Set aside"
    back = "Would be taken back" if dry_run else "Taken back"
    lines = [f"{broken}: entry {offset:,} ({why})." for offset, why in done.broken.items()]
    lines += [f"{back}: entry {offset:,}." for offset in done.taken_back]
    if not lines:
        return ["All entries that can be read can be folded."]
    if dry_run:
        return [*lines, "Stop the server and run endcap repair --fold without --dry-run."]
    return [*lines, "The server can be started."]


def _lines(done: Repaired, dry_run: bool) -> list[str]:
    lines = [f"{done.found.records:,} entries can be read."]
    if done.found.sound:
        return [*lines, "Nothing is damaged."]
    lines += _damage(done.found)
    if dry_run:
        return [*lines, "Stop the server and run endcap repair without --dry-run, or restore a backup."]
    return [
        *lines,
        f"The log holds the {done.found.records:,} entries. The damaged file is kept: {done.kept}",
        "Delete it when nothing is to be got from it any more: an erasure of people does not reach into it.",
    ]


def _damage(found: Looked) -> list[str]:
    lines = [f"Damaged: entry {offset:,}." for offset in found.damaged[:_SHOWN]]
    lines += [
        f"Cannot be read: entry {first:,} and all after it."
        if last is None
        else f"Cannot be read: entries {first:,} to {last:,}."
        for first, last in found.gaps[:_SHOWN]
    ]
    more = len(found.damaged) + len(found.gaps) - len(lines)
    return [*lines, f"And {more:,} more."] if more else lines
