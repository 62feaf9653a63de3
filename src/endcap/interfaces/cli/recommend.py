"""``endcap recommend``: one list, without a server."""

from __future__ import annotations

import time
from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.config import load_config
from endcap.serving.engine import RECIPES, Answer, Request


@click.command("recommend")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--recipe", type=click.Choice(RECIPES), default="for-you", show_default=True)
@click.option("--user-id", help="A known user.")
@click.option("--visitor-id", help="A visitor who is not known by name.")
@click.option("--item-id", "item_ids", multiple=True, help="What the list is about; may be repeated.")
@click.option("--query", default="", help="What to search for.")
@click.option("-k", "--count", "k", type=click.IntRange(1, 1_000), default=10, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def recommend_command(home: Path, as_json: bool, k: int, **asked: object) -> None:
    """One list, from the home folder, without a server."""
    request = msgspec.convert({"k": k, **asked}, Request)
    answer = wiring.recommend(home, load_config(home / "config.toml"), request, time.time_ns() // 1_000_000)
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
