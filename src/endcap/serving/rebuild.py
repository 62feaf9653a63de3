"""Answers about the past: the list that was served, made again, and the way of one item through it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from endcap.errors import NotFoundError
from endcap.events.erasing import erased_under
from endcap.events.log import SERVED_KEY, to_entry
from endcap.events.served import Served
from endcap.explain.trace import Trace
from endcap.protocols import Log
from endcap.serving.engine import Answer, Engine, Request
from endcap.serving.exposure import request_of


@dataclass(frozen=True, slots=True)
class ErasedSince:
    """People who were erased after a moment of the past, and had done something before it."""

    number: int
    """Of the erasure."""
    time: int
    """Milliseconds since 1970: when they were erased."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A list of the past: what was asked, when, and what the shop knew."""

    request: Request
    now: int
    """Milliseconds since 1970."""
    offset: int
    """The newest entry that the list reflects."""
    model: str | None
    """The version that served; None: the one that was active."""
    shown: Served | None = None
    """What the log says was served; None: the moment is asked for without a request id."""
    erasures: tuple[ErasedSince, ...] = ()
    """What has been taken out of what the shop knew, oldest first."""


@dataclass(frozen=True, slots=True)
class Why:
    """What is said about one item in one list of the past."""

    request_id: str | None
    now: int
    offset: int
    model: str
    request: Request
    items: tuple[str, ...]
    """The list, made again."""
    same: bool | None
    """Whether it is the list that was served; None where no request id was given."""
    settled: bool
    """Whether all items had their vectors then; if not, ``same`` may be false for that reason."""
    item_id: str
    title: str | None
    reason: str | None
    """The sentence that was shown with it."""
    trace: Trace
    variant_of: str | None
    """The id of the item that is shown in its place."""
    ahead: str | None
    """The id of the last item of the list, which it did not get past."""
    experiment: str | None
    """The experiment and the variant that made the list; None: none did."""
    erasures: tuple[ErasedSince, ...]
    """Erasures since: the list is made again without what those people did, so it may be another than was shown."""
    note: str | None
    """The same as a sentence; None: nobody was erased."""


def served_moment(log: Log, request_id: str) -> Moment:
    """The moment of the list ``request_id``. Raises NotFoundError where the log has none (any more)."""
    found = log.find(SERVED_KEY + request_id)
    if found is None:
        raise NotFoundError(
            f"the log has no list {request_id!r}: see the id, and how long lists are kept (serve.keep_served_days); "
            "the lists of a person who was erased are gone too"
        )
    shown = to_entry(*found).body
    if not isinstance(shown, Served):
        raise NotFoundError(f"{request_id!r} is not the id of a served list")
    erasures = erasures_since(log, shown.offset)
    return Moment(request_of(shown), shown.now, shown.offset, shown.model, shown, erasures)


def erasures_since(log: Log, offset: int) -> tuple[ErasedSince, ...]:
    """The erasures that took away something of what ``log`` held when ``offset`` was its newest entry."""
    return tuple(ErasedSince(one.number, one.time) for one in erased_under(log, offset))


def offset_at(log: Log, moment: int) -> int:
    """The newest entry before the first that is later than ``moment`` (milliseconds since 1970), in log order.

    By entry time: what came late counts from where it stands in the log.
    """
    last = 0
    for offset, record in log.read():
        if record.time > moment:
            break
        last = offset
    return last


def why(engine_at: Callable[[Moment], Engine], moment: Moment, item_id: str) -> Why:
    """The list of ``moment``, made again by what ``engine_at`` builds, and the way of ``item_id`` through it.

    Raises NotFoundError for an item that was unknown then.
    """
    engine = engine_at(moment)
    row = engine.state.items.row(item_id)
    if row < 0:
        raise NotFoundError(f"item {item_id!r} was unknown then: neither the catalogue nor an event had named it")
    answer = engine.recommend(moment.request, moment.now)
    found = engine.why(moment.request, moment.now, row)
    item = engine.state.shop.item(row)
    reasons = {one.item_id: one.reason for one in answer.items}
    return Why(
        request_id=None if moment.shown is None else moment.shown.request_id,
        now=moment.now,
        offset=engine.state.offset,
        model=answer.model,
        request=moment.request,
        items=tuple(one.item_id for one in answer.items),
        same=None if moment.shown is None else _rows(engine, answer) == moment.shown.rows,
        settled=moment.shown is None or moment.shown.settled,
        item_id=item_id,
        title=None if item is None else item.title,
        reason=reasons.get(item_id),
        trace=found,
        variant_of=None if found.variant_of is None else engine.state.items.name(found.variant_of),
        ahead=answer.items[-1].item_id if found.behind is not None and answer.items else None,
        experiment=None if moment.shown is None else moment.shown.experiment,
        erasures=moment.erasures,
        note=_note(moment.erasures),
    )


def _note(erasures: tuple[ErasedSince, ...]) -> str | None:
    if not erasures:
        return None
    dates = ", ".join(
        f"no. {one.number} of {datetime.fromtimestamp(one.time / 1000, UTC):%Y-%m-%d}" for one in erasures
    )
    return (
        f"People were erased from the log since then (erasure {dates}): the list is made again without what they "
        "did, so it may differ from the one that was shown."
    )


def _rows(engine: Engine, answer: Answer) -> tuple[int, ...]:
    return tuple(engine.state.items.row(one.item_id) for one in answer.items)
