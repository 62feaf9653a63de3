"""``endcap erase``: people leave the log, and all that follows from it."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from endcap import wiring
from endcap.checks import parse_id
from endcap.config import load_config
from endcap.errors import InvalidFieldError
from endcap.interfaces.cli.progress import progress_bar
from endcap.pipelines.erase import Receipt
from endcap.pipelines.person import Person


@click.command("erase")
@click.option("--home", type=click.Path(path_type=Path), default=Path("endcap-home"), show_default=True)
@click.option("--user", "user_ids", multiple=True, help="Whom to erase; may be repeated, which costs no more time.")
@click.option("--visitor", "visitor_ids", multiple=True, help="The same, a visitor who was never identified.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--compact", is_flag=True, help="Finish erasures whose last bytes are still in the log's file.")
@click.option("--json", "as_json", is_flag=True, help="Machine output: the receipt.")
def erase_command(
    home: Path, user_ids: tuple[str, ...], visitor_ids: tuple[str, ...], yes: bool, compact: bool, as_json: bool
) -> None:
    """Erase people from the log, the state and all that lies in the home. It cannot be undone.

    A server may run beside it. The receipt names nobody: it has a keyed hash of each id. Models keep an influence
    that names nobody until the next training.
    """
    people = people_named(user_ids, visitor_ids)
    if not people and not compact:
        raise InvalidFieldError("user_id", "whom? Give --user or --visitor, or --compact alone")
    if people and compact:
        raise InvalidFieldError("compact", "--compact is for itself: leave it out, or leave out whom to erase")
    config = load_config(home / "config.toml")
    if people and not yes:
        many = "one person" if len(people) == 1 else f"{len(people):,} people"
        click.confirm(f"Erase {many} from {home} for ever?", abort=True, err=True)
    with progress_bar("erasing") as show:
        receipt = wiring.erase(home, config, people, wiring.clock(), show, compact=compact)
    click.echo(msgspec.json.encode(receipt).decode() if as_json else "\n".join(_lines(receipt, compact)))


def people_named(user_ids: tuple[str, ...], visitor_ids: tuple[str, ...]) -> list[Person]:
    """Each of them once. Raises InvalidFieldError for what cannot be an id."""
    users = [Person(user_id=parse_id("user_id", one)) for one in user_ids]
    visitors = [Person(visitor_id=parse_id("visitor_id", one)) for one in visitor_ids]
    return list(dict.fromkeys([*users, *visitors]))


def _lines(receipt: Receipt, compact: bool) -> list[str]:
    lines = []
    if receipt.number is not None:
        events = ", ".join(f"{count:,} {name}" for name, count in receipt.events.items()) or "none"
        lines += [
            f"Erasure {receipt.number}, entry {receipt.entry:,} of the log.",
            f"Events: {events}. Served lists: {receipt.lists:,}. Visitor ids: {receipt.visitors:,}.",
            f"Snapshots deleted: {receipt.snapshots:,}. Import reports without their examples: {receipt.reports:,}.",
            f"Digest at entry {receipt.offset:,}: before {receipt.before}, after {receipt.after}.",
            *(f"Keyed hash: {one}" for one in receipt.people),
        ]
    elif not compact:
        lines.append("Nothing is held of them: no entry of the log is theirs.")
    lines += [sentence.format(count) for sentence, count in _besides(receipt) if count]
    if receipt.problem is not None:
        lines.append(f"NOT FINISHED: {receipt.problem}")
    elif compact:
        lines.append("No byte of what was erased is left in the log's files.")
    return lines if receipt.number is None else [*lines, "Not reached:", *(f"  {one}" for one in _beyond(receipt))]


def _beyond(receipt: Receipt) -> list[str]:
    return [*receipt.beyond, *(f"{one} may hold what was erased: delete it." for one in receipt.unreached)]


def _besides(receipt: Receipt) -> list[tuple[str, int]]:
    return [
        (
            "{:,} damaged entries, which nobody can read, may have been theirs: gone too. See that the disk is sound.",
            len(receipt.damaged),
        ),
        (
            "{:,} of the visitor ids are known as a user: what they did is the user's. Erase the user.",
            receipt.known_visitors,
        ),
        (
            "{:,} visitor ids of theirs were sent with other users' ids too: what those did without a user id stays.",
            receipt.shared_visitors,
        ),
        (
            "{:,} models of labelled tables know them no more. Train these again to be rid of what was learnt.",
            receipt.tables,
        ),
    ]
