"""``endcap import`` and ``endcap validate``: files into the log, or only looked at; what was done is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import click

from endcap import wiring
from endcap.events.schema import EVENT_TYPES
from endcap.interfaces.cli.init import make_home
from endcap.interfaces.cli.progress import progress_bar
from endcap.pipelines.importing import ImportOptions, import_events, import_items
from endcap.pipelines.mapping import Columns, parse_map
from endcap.pipelines.report import ImportReport, mapping_lines, report_lines, write_report
from endcap.pipelines.sources import Format
from endcap.protocols import Log

Kind = Literal["items", "events"]
Command = Callable[..., None]

_REFUSED = 2
"""The exit status when rows were refused: the good ones are stored all the same."""


def _options(command: Command) -> Command:
    """The arguments that the commands have in common."""
    for decorate in (
        click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
        click.option("--type", "default_type", type=click.Choice(EVENT_TYPES), help="Type of events that name none."),
        click.option("--map", "given", multiple=True, metavar="OUR=THEIRS", help="Read our field from this column."),
        click.option("--format", type=click.Choice(get_args(Format)), default="auto"),
        click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path)),
    ):
        command = decorate(command)
    return command


@click.command("import")
@click.argument("kind", type=click.Choice(["items", "events"]))
@_options
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
def import_command(
    kind: Kind,
    files: tuple[Path, ...],
    format: Format,
    given: tuple[str, ...],
    home: Path,
    **rest: object,
) -> None:
    """Read items or events from FILES into the log.

    Columns are found by name and shown; --map says what cannot be found. A row that is wrong is refused alone, with
    the reason, and the exit status is then 2; the good rows are stored. Importing events twice stores them once.
    """
    options = _import_options(kind, format, given, rest)
    make_home(home)
    with closing(wiring.open_log(home)) as log:
        report = _run(kind, log, files, options)
    path = write_report(report, home)
    _show(report, rest)
    click.echo(f"The report is in {path}.", err=True)
    _end(report)


@click.command("validate")
@_options
@click.option("--as", "kind", type=click.Choice(["items", "events"]), default="events", show_default=True)
@click.option("--home", type=click.Path(path_type=Path), help="Keep the report in this home, for the console.")
def validate_command(
    kind: Kind,
    home: Path | None,
    files: tuple[Path, ...],
    format: Format,
    given: tuple[str, ...],
    **rest: object,
) -> None:
    """Say what an import of FILES would keep, mend, drop and refuse; nothing is stored.

    The exit status is 2 if a row would be refused.
    """
    report = _run(kind, None, files, _import_options(kind, format, given, rest))
    if home is not None:
        write_report(report, home)
    _show(report, rest)
    _end(report)


def _import_options(kind: Kind, format: Format, given: Sequence[str], rest: dict[str, object]) -> ImportOptions:
    default_type = rest["default_type"]
    return ImportOptions(
        format, parse_map(given), None if default_type is None else str(default_type), partial(_show_columns, kind)
    )


def _show_columns(kind: Kind, path: Path, columns: Columns) -> None:
    fate = "attributes" if kind == "items" else "not read"
    click.echo("\n".join(mapping_lines(columns.found, columns.others, str(path), fate)), err=True)


def _run(kind: Kind, log: Log | None, files: Sequence[Path], options: ImportOptions) -> ImportReport:
    run = import_items if kind == "items" else import_events
    with progress_bar("checking" if log is None else "importing") as show:
        return run(log, files, options, wiring.clock(), show)


def _show(report: ImportReport, rest: dict[str, object]) -> None:
    click.echo(report.to_json().decode() if rest["as_json"] else "\n".join(report_lines(report)))


def _end(report: ImportReport) -> None:
    if report.refused:
        click.echo(
            f"endcap: {report.refused_rows:,} of {report.rows:,} rows were refused ({report.refused[0].examples[0]}); "
            "mend them and import the file again: what is stored already is not stored twice",
            err=True,
        )
        click.get_current_context().exit(_REFUSED)
