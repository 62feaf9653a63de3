"""``endcap why``: why an item was in a list of the past, or at which step it was left out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.checks import parse_moment
from endcap.config import load_config
from endcap.errors import EndcapError, InvalidFieldError
from endcap.serving.engine import RECIPES, Request
from endcap.serving.rebuild import Why

_VERDICTS = {
    "shown": "It was shown at place {place}.",
    "pinned": "It was shown at place {place}: a rule of the shop pins it.",
    "filled": "It was shown at place {place}, to fill the list: no model proposed it for this visitor.",
    "hidden": "It was hidden: {hidden}.",
    "variant": "A variant of it, {variant}, was shown in its place.",
    "outranked": "It was outranked: {behind:.4f} less than {ahead}, the last of the list.",
    "moved": "It gave way to others that score less: to items that are unlike the list, or because of a cap or a pin.",
    "not_proposed": "No model proposed it.",
}


@click.command("why")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--request", "request_id", help="The request_id of the answer.")
@click.option("--item", "item_id", required=True, help="The item that is asked about.")
@click.option("--user", "user_id", help="Without --request: whose list.")
@click.option("--visitor", "visitor_id", help="Without --request: whose list.")
@click.option("--at", help="Without --request: when (RFC 3339, or milliseconds since 1970); by default now.")
@click.option("--recipe", type=click.Choice(RECIPES), default="for-you", show_default=True)
@click.option("--about", "item_ids", multiple=True, help="Without --request: what the list is about; may be repeated.")
@click.option("-k", "--count", "k", type=click.IntRange(1, 1_000), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Machine output.")
def why_command(
    home: Path, request_id: str | None, item_id: str, at: str | None, as_json: bool, **asked: object
) -> None:
    """Make a list of the past again, and say why the item was in it, or at which step it was left out."""
    try:
        found = _found(home, request_id, item_id, at, asked)
    except EndcapError as error:
        if not as_json:
            raise
        field = error.field if isinstance(error, InvalidFieldError) else None
        click.echo(msgspec.json.encode({"error": {"code": error.code, "message": str(error), "field": field}}))
        click.get_current_context().exit(2)
    click.echo(msgspec.json.encode(found).decode() if as_json else "\n".join(story(found)))


def _found(home: Path, request_id: str | None, item_id: str, at: str | None, asked: dict[str, object]) -> Why:
    config = load_config(home / "config.toml")
    if request_id is not None:
        return wiring.why_served(home, config, request_id, item_id)
    if asked["user_id"] is None and asked["visitor_id"] is None:
        raise InvalidFieldError("request_id", "whose list? Give a request, or a user or a visitor, and the moment")
    return wiring.why_at(home, config, msgspec.convert(asked, Request), _moment(at), item_id)


def _moment(at: str | None) -> int:
    if at is None:
        return wiring.clock()
    return parse_moment("at", int(at) if at.isdigit() else at)


def story(found: Why) -> list[str]:
    """What happened, line by line."""
    trace = found.trace
    when = datetime.fromtimestamp(found.now / 1000, UTC).isoformat(timespec="milliseconds")
    lines = [
        f"{found.item_id}{'' if found.title is None else f' ({found.title})'}",
        _VERDICTS[trace.verdict].format(
            place=trace.place,
            hidden=", ".join(trace.hidden_by),
            variant=found.variant_of,
            behind=trace.behind or 0.0,
            ahead=found.ahead,
        ),
        *([f"Reason shown: {found.reason}"] if found.reason else []),
        *(
            f"  proposed by {one.model:<16} part {one.part:.4f}, its no. {one.rank:,} of {one.of:,}"
            for one in trace.proposed
        ),
        *(f"  boosted by {one.name:<17} part {one.part:.4f}" for one in trace.boosts),
    ]
    if trace.due is not None:
        lines.append(f"  due again from {datetime.fromtimestamp(trace.due / 1000, UTC):%Y-%m-%d %H:%M} UTC on")
    if trace.rank is not None:
        visible = "" if trace.rank_visible is None else f", {trace.rank_visible:,} of what may be shown"
        lines.append(f"  score {trace.score:.4f}: no. {trace.rank:,} of all{visible}")
    lines.append(f"The list of {when} by model {found.model}, log entry {found.offset:,}: {', '.join(found.items)}")
    if found.same is not None:
        lines.append(_SAME[found.same, found.settled])
    return lines if found.note is None else [*lines, found.note]


_SAME = {
    (True, True): "It is, item by item, the list that was served.",
    (True, False): "It is, item by item, the list that was served.",
    (False, True): "It is NOT the list that was served: the settings, the code or the log have changed since.",
    (False, False): "It is not the list that was served: some items were still being encoded then.",
}
