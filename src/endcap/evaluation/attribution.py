"""What the lists bring, as a report: a row for each recipe, day, model or row of a page, and how sure its shares are.

An interval is Wilson's (Wilson, JASA 22, 1927), at 95 %: it stays within 0 and 1 and is right for few lists too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from math import sqrt

from endcap.errors import InvalidFieldError
from endcap.events.served import Shown
from endcap.state.attribution import MICROS, Attribution, Counts, Day, Key, Money
from endcap.types import MS_PER_DAY, Vocabulary

Z = 1.959963984540054
"""The normal quantile of 97.5 %."""
DAYS = 28
"""Four whole weeks: what is reported on if no days are named."""
EXAMPLES = 3
"""Of a row, for ``endcap why``."""
LOOKED_AT = 2_000
"""People whom a list led last, among whose items the examples are looked for."""

GROUPS: Mapping[str, Callable[[int, Key], str]] = {
    "recipe": lambda _, key: key.recipe,
    "day": lambda day, _: iso(day),
    "model": lambda _, key: key.model,
    "page_row": lambda _, key: str(key.page_row),
}
"""What the rows of a report may stand for, and the name of the row that lists of a day and kind belong to."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of the lists, and the interval that holds the true one with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Revenue:
    """In one currency; an empty text where the events name none. ``net``: what was sold, less what came back."""

    currency: str
    sold: float
    returned: float
    net: float


@dataclass(frozen=True, slots=True)
class Example:
    """An item that was clicked, viewed, put into the cart or bought from a list: what ``endcap why`` asks for."""

    request_id: str
    item_id: str


@dataclass(frozen=True, slots=True)
class Row:
    """Lists of one kind, and what came of them. Lists are counted once; impressions to returns are lines of events."""

    name: str
    lists: int
    """Served."""
    items: int
    """In them."""
    rendered: int
    """Lists of which an impression came."""
    clicked: int
    """Lists with a click, a view or a cart of one of their items."""
    carted: int
    bought: int
    impressions: int
    clicks: int
    views: int
    carts: int
    purchases: int
    followed: int
    """Of the purchases: those that name no list, and follow a click, a view or a cart that does."""
    unpriced: int
    """Of the purchases: those without a price."""
    returns: int
    click_through: Rate | None
    """Clicked of the served lists; None where none was served."""
    click_through_rendered: Rate | None
    """Clicked of the rendered lists; None where the shop sends no impressions."""
    conversion: Rate | None
    """Bought from, of the served lists."""
    revenue: tuple[Revenue, ...]
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What the lists of some days brought, to the last event."""

    first: str
    """The first day (UTC) on which these lists were served; the last is among them too."""
    last: str
    window_days: float
    """An event counts for a list that was served at most so long before it."""
    by: str
    rows: tuple[Row, ...]
    total: Row
    left_out: dict[str, int]
    """By reason: lines of these days' events that name a list and count for none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lists the report is about."""

    first: int
    """Days since 1970, UTC."""
    last: int
    by: str = "recipe"
    recipe: str | None = None
    """Only those of this recipe."""


@dataclass(slots=True)
class _Sum:
    counts: Counts = field(default_factory=Counts)
    money: dict[str, Money] = field(default_factory=dict)

    def add(self, counts: Counts) -> None:
        for name in _COUNTS:
            setattr(self.counts, name, getattr(self.counts, name) + getattr(counts, name))

    def earn(self, currency: str, money: Money) -> None:
        known = self.money.setdefault(currency, Money())
        known.sold += money.sold
        known.returned += money.returned


class _Sums:
    """The rows of a report, as they grow."""

    def __init__(self, wanted: Asked) -> None:
        self.rows: dict[str, _Sum] = {}
        self._wanted = wanted

    def take(self, number: int, day: Day) -> None:
        """Add what was counted of the lists of that day."""
        if not self._wanted.first <= number <= self._wanted.last:
            return
        for key, counts in day.counts.items():
            if self._wanted.recipe in (None, key.recipe):
                self._row(number, key).add(counts)
        for (key, currency), money in day.money.items():
            if self._wanted.recipe in (None, key.recipe):
                self._row(number, key).earn(currency, money)

    def total(self) -> _Sum:
        """All rows together."""
        total = _Sum()
        for row in self.rows.values():
            total.add(row.counts)
            for currency, money in row.money.items():
                total.earn(currency, money)
        return total

    def _row(self, number: int, key: Key) -> _Sum:
        return self.rows.setdefault(GROUPS[self._wanted.by](number, key), _Sum())


_COUNTS = tuple(one.name for one in fields(Counts))
_IN_A_ROW = tuple(name for name in _COUNTS if name != "rendered_clicked")


def asked(first: int | None, last: int | None, by: str, recipe: str | None, now: int) -> Asked:
    """The days from that of ``first`` to that of ``last`` (milliseconds since 1970; by default four weeks until now).

    Raises InvalidFieldError for a ``by`` that there is not, and for an end before the beginning.
    """
    if by not in GROUPS:
        raise InvalidFieldError("by", f"by is {by!r:.80}: use one of {', '.join(GROUPS)}")
    end = (now if last is None else last) // MS_PER_DAY
    begin = end - DAYS + 1 if first is None else first // MS_PER_DAY
    if begin > end:
        raise InvalidFieldError("from", f"from is {iso(begin)}, after until, {iso(end)}: exchange them")
    return Asked(begin, end, by, recipe)


def report(
    attribution: Attribution, untallied: Sequence[Shown], wanted: Asked, window_days: float, items: Vocabulary
) -> Report:
    """What ``attribution`` has counted, and the lists that it does not count yet. Costs a look at each of its days."""
    sums = _Sums(wanted)
    left_out: Counter[str] = Counter()
    for number, day in attribution.days.items():
        sums.take(number, day)
        if wanted.first <= number <= wanted.last:
            left_out.update(day.left_out)
    for shown in untallied:
        key = Key(shown.recipe, shown.model, shown.page_row)
        sums.take(shown.day, Day({key: Counts(lists=shown.lists, items=shown.items)}))
    examples = _examples(attribution, wanted, items)
    return Report(
        iso(wanted.first),
        iso(wanted.last),
        window_days,
        wanted.by,
        tuple(_row(name, sums.rows[name], examples.get(name, ())) for name in sorted(sums.rows)),
        _row("", sums.total(), ()),
        dict(left_out),
    )


def wilson(successes: int, trials: int) -> Rate | None:
    """The share and its interval; None without trials, or where more is known of the successes than of the trials."""
    if not 0 <= successes <= trials or trials == 0:
        return None
    share, square = successes / trials, Z * Z
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = Z / (1 + square / trials) * sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    low, high = centre - half if successes else 0.0, centre + half if successes < trials else 1.0
    return Rate(share, low, high)


def iso(day: int) -> str:
    """The day so many days after 1970 began, as 2026-11-24."""
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()


def _row(name: str, found: _Sum, examples: Sequence[Example]) -> Row:
    counts = found.counts
    return Row(
        name=name,
        **{name: getattr(counts, name) for name in _IN_A_ROW},
        click_through=wilson(counts.clicked, counts.lists),
        click_through_rendered=wilson(counts.rendered_clicked, counts.rendered),
        conversion=wilson(counts.bought, counts.lists),
        revenue=tuple(_revenue(currency, found.money[currency]) for currency in sorted(found.money)),
        examples=tuple(examples),
    )


def _revenue(currency: str, money: Money) -> Revenue:
    return Revenue(currency, money.sold / MICROS, money.returned / MICROS, (money.sold - money.returned) / MICROS)


def _examples(attribution: Attribution, wanted: Asked, items: Vocabulary) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {}
    for key, some in attribution.examples(EXAMPLES, LOOKED_AT).items():
        for time, request_id, item in some:
            day = time // MS_PER_DAY
            if wanted.first <= day <= wanted.last and wanted.recipe in (None, key.recipe):
                examples = found.setdefault(GROUPS[wanted.by](day, key), [])
                if len(examples) < EXAMPLES:
                    examples.append(Example(request_id, items.name(item)))
    return found
