"""``endcap attribution``: what the lists bring, from the log alone."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.checks import parse_moment
from endcap.config import load_config
from endcap.evaluation.attribution import GROUPS, Rate, Report, Row, asked

_HEADS = ("lists", "rendered", "clicked", "click-through (95 %)", "carts", "purchases", "revenue")
_REASONS = {
    "unknown_list": "name a list that is not known (any more)",
    "another_visitor": "name a list that was served to somebody else",
    "not_looked_up": "came in by a way that looks for no list, such as an import",
    "late": "came after the attribution window",
    "not_in_list": "are of an item that was not in the list",
    "no_item": "name no item",
}


@click.command("attribution")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--from", "first", help="The first day of the lists (2026-11-24, or any moment of it); 27 days ago.")
@click.option("--until", "last", help="The last day; by default today.")
@click.option(
    "--by", type=click.Choice(list(GROUPS)), default="recipe", show_default=True, help="What a row stands for."
)
@click.option("--recipe", help="Only lists of this recipe.")
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def attribution_command(
    home: Path, first: str | None, last: str | None, by: str, recipe: str | None, as_json: bool
) -> None:
    """Say what was viewed, clicked and bought from the lists that were served on some days (UTC).

    An event belongs to the list that its request_id names; a purchase that names none, to the list that last led its
    buyer to the item. May run beside a server; needs none.
    """
    wanted = asked(_moment("from", first), _moment("until", last), by, recipe, wiring.clock())
    found = wiring.attribution(home, load_config(home / "config.toml"), wanted)
    click.echo(msgspec.json.encode(found).decode() if as_json else "\n".join(_story(found)))


def _moment(name: str, value: str | None) -> int | None:
    return None if value is None else parse_moment(name, int(value) if value.isdecimal() else value)


def _story(found: Report) -> list[str]:
    rows = [(row.name, *_cells(row)) for row in found.rows]
    if not rows:
        lines = [f"No list was served from {found.first} to {found.last}."]
    else:
        rows = [(found.by, *_HEADS), *rows, ("all", *_cells(found.total))]
        widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.append(f"Lists of {found.first} to {found.last}; events up to {found.window_days:g} days after them.")
    left_out = sorted(found.left_out.items())
    return [*lines, *(f"Not counted: {count:,} that {_REASONS[reason]}." for reason, count in left_out)]


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (row.lists, row.rendered, row.clicked)
    revenue = ", ".join(f"{one.net:,.2f} {one.currency or '(no currency)'}" for one in row.revenue)
    return (
        *(f"{number:,}" for number in numbers),
        _share(row.click_through),
        f"{row.carts:,}",
        f"{row.purchases:,}",
        revenue or "-",
    )


def _share(rate: Rate | None) -> str:
    return "-" if rate is None else f"{rate.value:.2%} ({rate.low:.2%} to {rate.high:.2%})"
