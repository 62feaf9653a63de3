"""What the lists bring, counted: by the day a list was served, its recipe, the model and the row of a page.

An event belongs to the list that its ``request_id`` names, if its item was in it. A purchase that names none belongs
to the list from which the same person last clicked, viewed or put that item into the cart, if that list was served
before it. Exact counts, no decay; a return is taken off where its purchase was counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from endcap.config import StateConfig
from endcap.events.schema import Event, Line, Listing
from endcap.events.served import Tally
from endcap.state.packing import Packed, pack_json, unpack_json
from endcap.types import MS_PER_DAY, Vocabulary

COUNTED = {"impression": "impressions", "click": "clicks", "view": "views", "cart": "carts"}
"""Event type -> what it is counted as, of those that must name their list."""
TRADE = frozenset({"purchase", "return"})
"""Those that count without naming one."""
MICROS = 1_000_000
"""Parts of one unit of a currency: sums of whole numbers are exact in any order."""

NOT_LOOKED_UP, LATE, NOT_IN_LIST, NO_ITEM = "not_looked_up", "late", "not_in_list", "no_item"
"""Why lines of events that name a list count for none, beside what the event itself says (``Event.listing``)."""

_RENDERED, _CLICKED, _CARTED, _BOUGHT = 1, 2, 4, 8
_BOTH = _RENDERED | _CLICKED
_STEPS = {"impression": _RENDERED, "click": _CLICKED, "view": _CLICKED, "cart": _CLICKED | _CARTED}


class Key(NamedTuple):
    """The lists of one kind."""

    recipe: str
    model: str
    page_row: int


@dataclass(slots=True)
class Counts:
    """Lists of one kind and one day, and what came of them."""

    lists: int = 0
    """Served."""
    items: int = 0
    """In the served lists."""
    rendered: int = 0
    """Lists of which an impression came."""
    clicked: int = 0
    """Lists with a click, a view or a cart of one of their items."""
    rendered_clicked: int = 0
    """Lists that are both."""
    carted: int = 0
    """Lists with a cart of one of their items."""
    bought: int = 0
    """Lists with a purchase of one of their items."""
    impressions: int = 0
    """Items that were rendered; this and the next are lines of events."""
    clicks: int = 0
    views: int = 0
    carts: int = 0
    purchases: int = 0
    followed: int = 0
    """Of the purchases: those that name no list with the item, and follow a click, a view or a cart that does."""
    unpriced: int = 0
    """Of the purchases: those without a price, which add nothing to the revenue."""
    returns: int = 0
    """Of those purchases."""


@dataclass(slots=True)
class Money:
    """Of one currency, in MICROS."""

    sold: int = 0
    returned: int = 0


@dataclass(slots=True)
class Day:
    """One day (UTC) of served lists; ``left_out``: by reason, lines of that day's events that count for no list."""

    counts: dict[Key, Counts] = field(default_factory=dict)
    money: dict[tuple[Key, str], Money] = field(default_factory=dict)
    """By kind of list and currency; an empty text where the event names none."""
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Bought:
    """The newest purchase of an item that was counted, less what was returned."""

    day: int
    key: Key
    currency: str
    price: int
    """A piece, in MICROS."""
    quantity: float


@dataclass(slots=True)
class Led:
    """The list that last led somebody to an item, and what they bought of it."""

    time: int
    """When the list was served."""
    key: Key
    request_id: str
    bought: Bought | None = None


class Attribution:
    """The counts by day, and what is remembered to make them.

    Bounded by ``report_days``, ``max_attributed_lists`` and ``max_attributed_items``: the oldest day goes first, the
    list that an event named longest ago (it would count as a new one), and of the items those of the person whom a
    list led to one longest ago (a purchase that names no list then belongs to none).
    """

    def __init__(self, config: StateConfig) -> None:
        self.days: dict[int, Day] = {}
        self.tallied = 0
        """The newest served list that is counted in ``days``."""
        self._window_ms = int(config.attribution_days * MS_PER_DAY)
        self._config = config
        self._steps: OrderedDict[str, int] = OrderedDict()
        self._led: OrderedDict[int, dict[int, Led]] = OrderedDict()
        self._led_items = 0
        self._keys: dict[Key, Key] = {}
        """One object for equal keys; as many as there are recipes and models."""

    def tally(self, tally: Tally) -> None:
        """Count the served lists that ``tally`` counts."""
        for shown in tally.shown:
            counts = self._counts(shown.day, Key(shown.recipe, shown.model, shown.page_row))
            counts.lists += shown.lists
            counts.items += shown.items
        self.tallied = max(self.tallied, tally.until)

    def happened(self, user: int, event: Event, items: Vocabulary) -> None:
        """Take in an event of the user at row ``user``, whose items have their rows."""
        if event.type == "purchase":
            if event.request_id is not None or user in self._led:
                self._bought(user, event, items)
        elif event.type == "return":
            if user in self._led:
                self._returned(user, event, items)
        elif event.request_id is not None and event.type in COUNTED:
            self._named(user, event, items)

    def all_happened(self, user: int, events: Sequence[Event], items: Vocabulary) -> None:
        """The same for several of one type."""
        bought = events[0].type == "purchase"
        led = bought and user in self._led
        for event in events:
            if led or event.request_id is not None:
                self.happened(user, event, items)
                led = bought  # the one that names a list leads to what comes after it

    def join(self, user: int, visitor: int) -> None:
        """What led the visitor to an item led the user."""
        theirs = self._led.pop(visitor, None)
        if theirs is None:
            return
        self._led_items -= len(theirs)
        for item, led in theirs.items():
            known = self._led.get(user, {}).get(item)
            if known is None or known.time <= led.time:
                self._lead(user, item, led)

    def examples(self, most: int, people: int) -> Mapping[Key, list[tuple[int, str, int]]]:
        """Newest first, at most ``most`` of a kind: when served, request id and item row of what led somebody.

        Looks at the ``people`` whom a list led last.
        """
        found: dict[Key, list[tuple[int, str, int]]] = {}
        for _, items in zip(range(people), reversed(self._led.values()), strict=False):
            for item, led in reversed(items.items()):
                some = found.setdefault(led.key, [])
                if len(some) < most:
                    some.append((led.time, led.request_id, item))
        return found

    def _named(self, user: int, event: Event, items: Vocabulary) -> None:
        listing, lines = self._listing(event), event.lines()
        if isinstance(listing, str):
            self._leave_out(event, listing, max(len(lines), 1))
            return
        shown = [line for line, place in zip(lines, listing.places, strict=True) if place > 0]
        self._leave_out(event, NOT_IN_LIST, len(lines) - len(shown))
        if not lines and event.type != "impression":  # an impression may be of the list as a whole
            self._leave_out(event, NO_ITEM, 1)
        elif shown or not lines:
            led = self._led_by(listing, event)
            self._step(led, _STEPS[event.type])
            counts, name = self._counts(led.time // MS_PER_DAY, led.key), COUNTED[event.type]
            setattr(counts, name, getattr(counts, name) + len(shown))
            if event.type != "impression":
                for line in shown:
                    self._lead(user, items.row(line.item_id), led)

    def _bought(self, user: int, event: Event, items: Vocabulary) -> None:
        listing = None if event.request_id is None else self._listing(event)
        for at, line in enumerate(event.lines()):
            item = items.row(line.item_id)
            named = isinstance(listing, Listing) and listing.places[at] > 0
            if isinstance(listing, Listing) and named:
                self._lead(user, item, self._led_by(listing, event))
            led = self._led.get(user, {}).get(item)
            if led is not None and (named or 0 <= event.time - led.time <= self._window_ms):
                self._sold(event, line, led, followed=not named)
            elif listing is not None:
                self._leave_out(event, listing if isinstance(listing, str) else NOT_IN_LIST, 1)

    def _sold(self, event: Event, line: Line, led: Led, followed: bool) -> None:
        day = led.time // MS_PER_DAY
        self._step(led, _BOUGHT)
        counts = self._counts(day, led.key)
        counts.purchases += 1
        counts.followed += followed
        price = line.price
        if price is None and event.value is not None and event.value >= 0 and len(event.lines()) == 1:
            price = event.value / line.quantity
        counts.unpriced += price is None
        led.bought = Bought(day, led.key, event.currency or "", round((price or 0.0) * MICROS), line.quantity)
        if price is not None:
            self._money(led.bought).sold += round(led.bought.price * line.quantity)

    def _returned(self, user: int, event: Event, items: Vocabulary) -> None:
        led_to = self._led.get(user, {})
        for line in event.lines():
            led = led_to.get(items.row(line.item_id))
            bought = None if led is None else led.bought
            if bought is None or bought.quantity <= 0:
                continue
            self._counts(bought.day, bought.key).returns += 1
            before = round(bought.price * bought.quantity)
            bought.quantity = max(bought.quantity - line.quantity, 0.0)
            # The difference of what is left: all pieces together come to what was sold, to the last micro.
            self._money(bought).returned += before - round(bought.price * bought.quantity)

    def _listing(self, event: Event) -> Listing | str:
        """The list that ``event`` is of, or why it is of none."""
        found = event.listing
        if isinstance(found, Listing) and event.time - found.time > self._window_ms:
            return LATE
        return NOT_LOOKED_UP if found is None else found

    def _led_by(self, listing: Listing, event: Event) -> Led:
        key = Key(listing.recipe, listing.model, listing.page_row)
        return Led(listing.time, self._keys.setdefault(key, key), event.request_id or "")

    def _step(self, led: Led, step: int) -> None:
        """Count the list once for each step that it takes for the first time."""
        before = self._steps.pop(led.request_id, 0)
        after = self._steps[led.request_id] = before | step
        if len(self._steps) > self._config.max_attributed_lists:
            self._steps.popitem(last=False)
        new = after & ~before
        if new:
            counts = self._counts(led.time // MS_PER_DAY, led.key)
            counts.rendered += bool(new & _RENDERED)
            counts.clicked += bool(new & _CLICKED)
            counts.rendered_clicked += after & _BOTH == _BOTH and before & _BOTH != _BOTH
            counts.carted += bool(new & _CARTED)
            counts.bought += bool(new & _BOUGHT)

    def _lead(self, user: int, item: int, led: Led) -> None:
        mine = self._led.pop(user, {})
        before = mine.pop(item, None)
        mine[item] = Led(led.time, led.key, led.request_id, led.bought if before is None else before.bought)
        self._led[user] = mine
        self._led_items += before is None
        if len(mine) > self._config.max_history:
            del mine[next(iter(mine))]
            self._led_items -= 1
        while self._led_items > self._config.max_attributed_items:
            self._led_items -= len(self._led.popitem(last=False)[1])

    def _leave_out(self, event: Event, reason: str, lines: int) -> None:
        if lines:
            left_out = self._day(event.time // MS_PER_DAY).left_out
            left_out[reason] = left_out.get(reason, 0) + lines

    def _counts(self, day: int, key: Key) -> Counts:
        return self._day(day).counts.setdefault(key, Counts())

    def _money(self, bought: Bought) -> Money:
        return self._day(bought.day).money.setdefault((bought.key, bought.currency), Money())

    def _day(self, day: int) -> Day:
        found = self.days.get(day)
        if found is None:
            found = self.days[day] = Day()
            if len(self.days) > self._config.report_days:
                del self.days[min(self.days)]  # it may be this one: then what is counted is let go of
        return found

    def pack(self) -> Packed:
        """Everything, as arrays."""
        return {
            "tallied": np.array(self.tallied, np.int64),
            "days": pack_json([_pack_day(number, day) for number, day in self.days.items()]),
            "lists": pack_json(list(self._steps)),
            "steps": np.fromiter(self._steps.values(), np.uint8, len(self._steps)),
            "led": pack_json([[user, _pack_led(items)] for user, items in self._led.items()]),
        }

    def unpack(self, arrays: Packed) -> None:
        """Take over what ``pack`` gave."""
        self.tallied = int(arrays["tallied"])
        self.days = {number: self._unpack_day(rest) for number, *rest in unpack_json(arrays["days"])}
        self._steps = OrderedDict(zip(unpack_json(arrays["lists"]), arrays["steps"].tolist(), strict=True))
        self._led = OrderedDict((user, self._unpack_led(items)) for user, items in unpack_json(arrays["led"]))
        self._led_items = sum(map(len, self._led.values()))

    def _same(self, parts: list[Any]) -> Key:
        key = Key(*parts)
        return self._keys.setdefault(key, key)

    def _unpack_day(self, packed: list[Any]) -> Day:
        counts, money, left_out = packed
        return Day(
            {self._same(key): Counts(*numbers) for key, numbers in counts},
            {(self._same(key), currency): Money(*numbers) for key, currency, numbers in money},
            left_out,
        )

    def _unpack_led(self, packed: list[Any]) -> dict[int, Led]:
        found = {}
        for item, time, key, request_id, bought in packed:
            purchase = None if bought is None else Bought(bought[0], self._same(bought[1]), *bought[2:])
            found[item] = Led(time, self._same(key), request_id, purchase)
        return found


def _pack_day(number: int, day: Day) -> list[Any]:
    counts = [[key, astuple(one)] for key, one in day.counts.items()]
    money = [[key, currency, astuple(one)] for (key, currency), one in day.money.items()]
    return [number, counts, money, day.left_out]


def _pack_led(items: Mapping[int, Led]) -> list[Any]:
    return [
        [item, led.time, led.key, led.request_id, None if led.bought is None else astuple(led.bought)]
        for item, led in items.items()
    ]
