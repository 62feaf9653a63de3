"""What 100 rules cost: lists over 100,000 items with and without them, and the first list after a change.

Two engines over equal states, one of them with the rules, are asked the same lists in turn, in one thread
and without a server. The model is the untrained one (popularity and sessions): a trained one takes longer
for the same list, so the share of the rules would be smaller.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import perf_counter, thread_time

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from endcap import wiring
from endcap.catalog.items import ItemChange, parse_change
from endcap.catalog.rules import RuleChange, parse_rule
from endcap.config import Config, StateConfig
from endcap.events.schema import Event
from endcap.serving.contents import Contents
from endcap.serving.engine import RECIPES, Engine, Request
from endcap.state.fold import State
from endcap.types import Entry
from machine import Machine, describe
from pages import BENCHMARKS, fill, table, where

NOW = 1_764_000_000_000
FloatArray64 = NDArray[np.float64]
RESULTS = Path(__file__).parent / "results" / "rules.json"


class Side(Struct):
    """Milliseconds of CPU time of the one thread that answers: the same whatever else the machine does."""

    median: float
    p90: float
    p99: float
    after_stock_change: float
    """Median of the first list after one item is out of stock or back."""
    after_price_change: float
    """The same after one item's price has changed, which conditions may speak of."""


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    items: int
    events: int
    rules: dict[str, int]
    """How many of each action, all in force for every list."""
    requests: int
    """Of each side and recipe; k = 20, recipe by recipe in turn."""
    without: dict[str, Side]
    by_recipe: dict[str, Side]
    """With the rules."""
    extra_percent: dict[str, float]
    """By recipe: how much the median is above that without rules."""
    after_rule_change_ms: float
    """Median of the first list after one rule has been put, its condition being new. On the clock: threads share it."""
    warm_ms: float
    """Before a server is ready: every condition over the whole catalogue. On the clock."""
    first_ms: float
    """The first list of all after that. On the clock."""
    violations: int


def conditions() -> list[dict[str, object]]:
    """A hundred rules as a shop might have them."""
    rules: list[dict[str, object]] = [
        {"action": "exclude", "where": f"brand = 'b{n}' AND price < {n + 5}"} for n in range(20)
    ]
    rules += [{"action": "exclude", "where": f"category LIKE 'c{n} %' AND season = 'winter'"} for n in range(20)]
    rules += [{"action": "boost", "where": f"margin > {n / 30} AND brand = 'b{n}'", "value": 0.1} for n in range(30)]
    rules += [{"action": "cap", "where": f"price > {n * 4}", "value": 5, "per": "brand"} for n in range(10)]
    rules += [{"action": "cap", "where": f"category LIKE 'c{n} %'", "value": 3} for n in range(10)]
    rules += [
        {"action": "pin", "where": f"item_id = 'i{n * 777}'", "value": n + 1, "kind": "campaign"} for n in range(5)
    ]
    rules += [{"action": "include", "where": f"price >= {n}"} for n in range(5)]
    return rules


def catalogue(items: int, random: np.random.Generator) -> list[ItemChange]:
    """A made-up shop: 50 brands, 20 departments, prices from 1 to 100."""
    prices, margins = random.uniform(1, 100, items).round(2).tolist(), random.random(items).round(3).tolist()
    return [
        parse_change(
            "put",
            {
                "item_id": f"i{n}",
                "title": f"Item {n}",
                "kind": "campaign" if n % 100 == 0 else "product",
                "brand": f"b{n % 50}",
                "categories": [f"c{n % 20} > d{n % 300}"],
                "price": prices[n],
                "attributes": {"margin": margins[n], "season": ("winter", "summer")[n % 2]},
            },
        )
        for n in range(items)
    ]


def visits(items: int, events: int, random: np.random.Generator) -> list[Event]:
    """Views by 2,000 visitors, few items having most of them."""
    rows = (items * random.power(0.25, events)).astype(int).tolist()
    who = random.integers(0, 2_000, events).tolist()
    times = np.sort(NOW - random.integers(0, 14 * 86_400_000, events)).tolist()
    return [
        Event("view", at, user_id=f"u{user}", item_id=f"i{row}") for at, user, row in zip(times, who, rows, strict=True)
    ]


def engine(bodies: list[object], folder: Path) -> Engine:
    """An engine over ``bodies``. Nothing is encoded: these lists need no vectors."""
    state = State(StateConfig())
    contents = Contents(wiring.reading(folder, Config()))
    model = wiring.serving_model(state, contents, Config(), Path(), wiring.UNTRAINED)
    ids = count(1)
    made = Engine(state, model, lambda: f"r{next(ids)}")
    add(made, *bodies)
    return made


def add(made: Engine, *bodies: object) -> None:
    """Apply ``bodies``."""
    for body in bodies:
        made.apply(Entry(made.state.offset + 1, NOW, body))


def ask(made: Engine, recipe: str, at: int, clock: Callable[[], float] = thread_time) -> float:
    """The milliseconds that one list takes by ``clock``."""
    about = (f"i{at % 500}",) if recipe in ("similar", "bought-together") else ()
    request = Request(recipe, user_id=f"u{at % 2_000}", k=20, item_ids=about)
    begun = clock()
    made.recommend(request, NOW)
    return (clock() - begun) * 1_000


def measure(sides: tuple[Engine, Engine], recipe: str, requests: int) -> tuple[Side, Side]:
    """Both sides in turn, so that whatever else the machine does meets both."""
    for at in range(200):  # warm
        for side in sides:
            ask(side, recipe, at)
    times = [[ask(side, recipe, at) for side in sides] for at in range(requests)]
    stock = after_changes(sides, recipe, lambda at: {"in_stock": bool(at % 2)})
    price = after_changes(sides, recipe, lambda at: {"price": 50 + at})
    without, those = (_side(*columns) for columns in zip(np.array(times).T, stock, price, strict=True))
    return without, those


def after_changes(
    sides: tuple[Engine, Engine], recipe: str, change: Callable[[int], dict[str, object]]
) -> tuple[float, ...]:
    """Of each side, the median milliseconds of the first list after a change of one item."""
    times = []
    for at in range(30):
        patch = parse_change("patch", {"item_id": f"i{at}", **change(at)})
        for side in sides:
            add(side, patch)
        times.append([ask(side, recipe, at) for side in sides])
    return tuple(round(float(median), 3) for median in np.median(np.array(times), axis=0))


def _side(times: FloatArray64, stock: float, price: float) -> Side:
    median, p90, p99 = (round(float(np.percentile(times, share)), 3) for share in (50, 90, 99))
    return Side(median, p90, p99, stock, price)


def changes(made: Engine, make: Callable[[int], RuleChange]) -> float:
    """Median milliseconds of the first list after a rule has changed."""
    times = []
    for at in range(20):
        change = make(at)
        if change.rule is not None:
            made.visibility.matching(change.rule.where)  # as the call that puts a rule does, to refuse a wrong one
        add(made, change)
        times.append(ask(made, "for-you", at, perf_counter))
    return round(float(np.median(times)), 3)


def figures(results: Results) -> str:
    """As a table of docs/reference/benchmarks.md."""
    rows = [
        (
            f"`{recipe}`",
            f"{results.without[recipe].median:.2f}",
            f"{with_rules.median:.2f}",
            f"{results.extra_percent[recipe]:+.1f} %",
            f"{with_rules.after_stock_change:.1f}",
            f"{with_rules.after_price_change:.1f}",
        )
        for recipe, with_rules in results.by_recipe.items()
    ]
    head = (f"a list of 20 among {results.items:,}, ms of CPU", "without rules", f"{sum(results.rules.values())} rules")
    more = (
        f"\nAfter a rule was put: {results.after_rule_change_ms:.0f} ms. Before a server is ready, once: "
        f"{results.warm_ms:,.0f} ms; the first list after that: {results.first_ms:.0f} ms.\n"
    )
    ends = ("more", "after a change of stock", "of a price")
    return where(results.date, results.machine) + table((*head, *ends), rows) + more


def main() -> None:
    """Measure, and write results/rules.json."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--items", type=int, default=100_000)
    options.add_argument("--events", type=int, default=200_000)
    options.add_argument("--requests", type=int, default=1_000)
    options.add_argument(
        "--render", action="store_true", help="measure nothing; write into docs/reference/benchmarks.md"
    )
    given = options.parse_args()
    if given.render:
        fill(BENCHMARKS, "rules", figures(msgspec.json.decode(RESULTS.read_bytes(), type=Results)))
        return
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        machine = describe(folder)
        bodies: list[object] = [*catalogue(given.items, random), *visits(given.items, given.events, random)]
        plain, ruled = engine(bodies, folder), engine(bodies, folder)
        rules = [parse_rule({"id": f"r{n}", **fields}, RECIPES) for n, fields in enumerate(conditions())]
        add(ruled, *(RuleChange(rule.id, rule) for rule in rules))
        begun = perf_counter()
        ruled.warm(NOW)
        warm = (perf_counter() - begun) * 1_000
        first = ask(ruled, "popular", 0, perf_counter)
        found = {
            recipe: measure((plain, ruled), recipe, given.requests) for recipe in ("for-you", "similar", "popular")
        }
        changed = changes(
            ruled,
            lambda at: RuleChange(
                "r0", parse_rule({"id": "r0", "action": "exclude", "where": f"price < 1.{at}"}, RECIPES)
            ),
        )
    results = Results(
        date=datetime.now(UTC).date().isoformat(),
        machine=machine,
        items=given.items,
        events=given.events,
        rules={action: sum(rule.action == action for rule in rules) for action in {rule.action: 0 for rule in rules}},
        requests=given.requests,
        without={recipe: one for recipe, (one, _) in found.items()},
        by_recipe={recipe: other for recipe, (_, other) in found.items()},
        extra_percent={recipe: round((b.median / a.median - 1) * 100, 1) for recipe, (a, b) in found.items()},
        after_rule_change_ms=changed,
        warm_ms=round(warm, 1),
        first_ms=round(first, 1),
        violations=sum(ruled.violations.values()),
    )
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


if __name__ == "__main__":
    main()
