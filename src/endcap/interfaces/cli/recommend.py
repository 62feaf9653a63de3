"""``endcap recommend``: one list, or everybody's, without a server."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.config import load_config
from endcap.interfaces.cli.progress import progress_bar
from endcap.pipelines.lists import Row, check_format, write_lists
from endcap.serving.engine import RECIPES, Answer, Engine, Request


@click.command("recommend")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--recipe", type=click.Choice(RECIPES), default="for-you", show_default=True)
@click.option("--user-id", help="A known user.")
@click.option("--visitor-id", help="A visitor who is not known by name.")
@click.option("--item-id", "item_ids", multiple=True, help="What the list is about; may be repeated.")
@click.option("--query", default="", help="What to search for.")
@click.option("-k", "--count", "k", type=click.IntRange(1, 1_000), default=10, show_default=True, help="How many.")
@click.option("--all-users", is_flag=True, help="A list for every known user, into the file that --out names.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="FILE.parquet, .csv or .jsonl.")
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def recommend_command(home: Path, as_json: bool, all_users: bool, out: Path | None, **asked: object) -> None:
    """One list, or with --all-users everybody's, from the home folder, without a server."""
    request = msgspec.convert(asked, Request)
    if all_users or out is not None:
        _everybody(home, request, _wanted(request, all_users, out), as_json)
        return
    answer = wiring.recommend(home, load_config(home / "config.toml"), request, wiring.clock())
    click.echo(msgspec.json.encode(answer).decode() if as_json else "\n".join(table(answer)))


def table(answer: Answer) -> list[str]:
    """The list for a person, line by line."""
    if not answer.items:
        return ["Nothing to recommend: the catalogue is empty, or nothing in it may be shown."]
    width = max(len(item.item_id) for item in answer.items)
    rows = [
        f"{rank:>4}  {item.item_id:<{width}}  {item.score:>8.4f}  {item.reason}"
        for rank, item in enumerate(answer.items, 1)
    ]
    return [*rows, f"model {answer.model}, log entry {answer.offset:,}"]


def _wanted(request: Request, all_users: bool, out: Path | None) -> Path:
    if not all_users or out is None:
        raise click.UsageError("--all-users and --out FILE go together", click.get_current_context())
    if request.user_id is not None or request.visitor_id is not None:
        raise click.UsageError("--all-users is for everybody: leave --user-id and --visitor-id out")
    check_format(out)
    return out


def _everybody(home: Path, request: Request, out: Path, as_json: bool) -> None:
    now = wiring.clock()  # every list is of one moment
    with closing(wiring.open_log(home)) as log, progress_bar("reading the log") as show:
        engine, _ = wiring.open_engine(home, load_config(home / "config.toml"), log, show)
    began = time.perf_counter()
    with progress_bar("lists") as show:
        users, rows = write_lists(out, known_users(engine), lambda user: _rows(engine, request, user, now), show)
    seconds = time.perf_counter() - began
    rate = users / seconds
    if as_json:
        told = {"file": str(out), "users": users, "rows": rows, "seconds": seconds, "users_per_second": rate}
        click.echo(msgspec.json.encode(told))
    else:
        click.echo(f"{out}: {rows:,} rows for {users:,} users, {rate:,.0f} users a second.")


def known_users(engine: Engine) -> list[str]:
    """The ids of all users that are known by name; visitors have no address that a letter could go to."""
    return [key.removeprefix("u:") for key in engine.state.users if key.startswith("u:")]


def _rows(engine: Engine, request: Request, user_id: str, now: int) -> list[Row]:
    items = engine.recommend(replace(request, user_id=user_id), now).items
    return [Row(user_id, item.item_id, rank, item.score, item.reason) for rank, item in enumerate(items, 1)]
