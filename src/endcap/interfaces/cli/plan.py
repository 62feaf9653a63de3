"""``endcap plan``: the memory and the disk that a shop will take."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import click
import msgspec

from endcap.config import Home, load_config
from endcap.pipelines.planning import EVENTS_PER_USER, MEMORY, Size, available_memory, plan, size_of

_MEANING = {
    "server": "resident in `endcap serve`",
    "log": "what happened and what was shown; it grows with every event and list",
    "snapshot": "each; two are kept, and up to eight older ones",
    "model": "each version",
    "vectors": "of the items' texts",
}


@click.command("plan")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--items", type=click.IntRange(0), help="Items. Without --items and --users: what the home holds.")
@click.option("--users", type=click.IntRange(0), help="Users and visitors that do something.")
@click.option("--events", type=click.IntRange(0), help=f"Events kept; {EVENTS_PER_USER} a user where it is not given.")
@click.option(
    "--lists", type=click.IntRange(0), help="Lists served a day; kept as long as serve.keep_served_days says."
)
@click.option("--json", "as_json", is_flag=True, help="Machine output, in bytes.")
def plan_command(home: Path, as_json: bool, **sizes: int | None) -> None:
    """Predict the memory and the disk that a shop takes, before it takes them."""
    size = _size(Home(home), **sizes)
    planned, available = plan(size), available_memory()
    if as_json:
        click.echo(msgspec.json.encode({**asdict(size), "bytes": planned, "available_memory": available}))
        return
    click.echo(f"{size.items:,} items, {size.users:,} users, {size.events:,} events, {size.lists:,} served lists")
    for name, needed in planned.items():
        kind = "memory" if name == MEMORY else "disk"
        click.echo(f"{kind:<7} {name:<9} {_readable(needed):>9}  {_MEANING[name]}")
    fits = "enough for the server" if planned[MEMORY] <= available else "too little for the server"
    click.echo(f"{_readable(available)} of memory is available here now: {fits}.")


def _size(home: Home, items: int | None, users: int | None, events: int | None, lists: int | None) -> Size:
    if (items is None) != (users is None) or (items is None and events is not None):
        raise click.UsageError("--items and --users go together", click.get_current_context())
    if items is None or users is None:
        size = size_of(home)
    else:
        size = Size(items, users, EVENTS_PER_USER * users if events is None else events)
    if lists is None:
        return size
    return replace(size, lists=round(lists * load_config(home.path / "config.toml").serve.keep_served_days))


def _readable(amount: int) -> str:
    return f"{amount / 1e9:,.2f} GB" if amount >= 1e9 else f"{amount / 1e6:,.1f} MB"
