"""``endcap backup`` and ``endcap restore``: a home folder as one file, and back."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from endcap.interfaces.cli.progress import progress_bar
from endcap.pipelines.backup import Archive, backup
from endcap.pipelines.restore import restore


@click.command("backup")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The tar file to write.")
@click.option("--json", "as_json", is_flag=True, help="Machine output: what the archive holds.")
def backup_command(home: Path, out: Path, as_json: bool) -> None:
    """Write a home folder to one tar file. A server may run on it, and take events, meanwhile."""
    with progress_bar("backing up") as show:
        archive = backup(home, out, time.time_ns() // 1_000_000, show)
    if archive.problem is not None:
        click.echo(f"endcap: the log is kept, the model that serves is not: {archive.problem}", err=True)
    _show(archive, as_json, f"{out}: the log up to entry {archive.offset:,}")


@click.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Machine output: what the archive holds.")
def restore_command(file: Path, home: Path, as_json: bool) -> None:
    """Make a home folder of FILE, an archive of `endcap backup`. The folder must be empty, or not there."""
    with progress_bar("restoring") as show:
        archive = restore(file, home, show)
    _show(archive, as_json, f"{home}: the log up to entry {archive.offset:,}")


def _show(archive: Archive, as_json: bool, what: str) -> None:
    if as_json:
        click.echo(msgspec.json.encode(archive))
        return
    size = sum(file.size for file in archive.files.values()) / 1e6
    click.echo(f"{what}, {len(archive.files)} files, {size:,.1f} MB, model {archive.active or 'none'}.")
