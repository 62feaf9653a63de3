"""What is bought again: recall@10 of the repeat purchases of each user's next visit, beside counting and recency.

Each shop is cut some days before its end. Whoever bought before the cut and comes back after it is asked about once,
at the beginning of that visit; relevant is what the visit holds of what the user had bought before. All three rank the
same items, the user's own, from the same history of the state.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray

from endcap.catalog.demo import demo_lines
from endcap.config import StateConfig
from endcap.events.schema import Event
from endcap.features.interactions import InteractionBuilder
from endcap.models.buy_again import BuyAgain
from endcap.state.batch import apply_batch
from endcap.state.fold import State
from endcap.types import MS_PER_DAY, Entry, Query
from machine import Machine, describe

RESULTS = Path(__file__).parent / "results" / "buy_again.json"
K = 10
DAYS = 28
"""The last days of each shop, which are asked about."""
VISIT_MS = MS_PER_DAY // 2
"""What somebody buys within that is one visit."""
Scores = Callable[[Query], NDArray[np.floating]]


class Shop(Struct):
    """One shop."""

    purchases: int
    """Lines before the cut."""
    history: int
    """Events that the state keeps of a user."""
    asked: int
    """Users who came back for something."""
    recall_at_10: dict[str, float]


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    shops: dict[str, Shop]


def purchases(frame: pl.DataFrame) -> list[Event]:
    """Events from the columns ``user, item, time`` (milliseconds), by time."""
    rows = frame.unique().sort("time", "user", "item").iter_rows(named=True)
    return [Event("purchase", row["time"], user_id=row["user"], item_id=row["item"]) for row in rows]


def online_retail() -> list[Event]:
    """The gift shop that the demo is made of; without lines that no customer is named in, or that take back."""
    lines = demo_lines().filter(pl.col("CustomerID").is_not_null() & (pl.col("Quantity") > 0))
    return purchases(lines.select(user=_text("CustomerID"), item=_text("StockCode"), time=_time("InvoiceDate")))


def complete_journey(folder: Path) -> list[Event]:
    """The grocery baskets of 300 households."""
    lines = pl.read_parquet(folder / "transactions_300_households.parquet")
    names = {"user": "household_id", "item": "product_id"}
    time = _time("transaction_timestamp")
    return purchases(lines.select(**{name: _text(column) for name, column in names.items()}, time=time))


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String)


def _time(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Datetime("ms")).cast(pl.Int64)


def measure(events: list[Event], max_history: int) -> Shop:
    """Recall@10 of what the next visit buys again, averaged over the users."""
    cut = events[-1].time - DAYS * MS_PER_DAY
    before = [event for event in events if event.time < cut]
    state, builder = State(StateConfig(max_history=max_history)), InteractionBuilder()
    apply_batch(state, [Entry(at, event.time, event) for at, event in enumerate(before, 1)], builder)
    model = BuyAgain().fit(builder.build(state))
    ways: Mapping[str, Scores] = {
        "buy_again": model.scores,
        "frequency": lambda query: np.bincount(query.history, minlength=len(state.items)).astype(np.float64),
        "recency": lambda query: latest(query, len(state.items)),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for query, wanted in questions(state, [event for event in events if event.time >= cut]):
        for name, scores in ways.items():
            value = scores(query)[query.history].astype(np.float64)
            rows, first = np.unique(query.history, return_index=True)
            best = rows[np.argsort(-value[first], kind="stable")[:K]]
            found[name].append(len(wanted & set(best.tolist())) / len(wanted))
    recall = {name: round(float(np.mean(values)), 4) for name, values in found.items()}
    return Shop(len(before), max_history, len(found["recency"]), recall)


def latest(query: Query, items: int) -> NDArray[np.floating]:
    """(items,) when each was bought last."""
    last = np.zeros(items)
    np.maximum.at(last, query.history, query.times)
    return last


def questions(state: State, after: list[Event]) -> Iterator[tuple[Query, set[int]]]:
    """For each known user: what is asked at the first visit, and what of it was bought before."""
    visits: dict[str, list[Event]] = {}
    for event in after:
        visit = visits.setdefault(event.user_id or "", [])
        if not visit or event.time < visit[0].time + VISIT_MS:
            visit.append(event)
    for user_id, visit in visits.items():
        query = state.query(state.user_row(user_id, None), visit[0].time)
        wanted = {state.items.row(event.item_id or "") for event in visit} & set(query.history.tolist())
        if wanted:
            yield query, wanted


def main() -> None:
    """Measure, and write results/buy_again.json."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument(
        "--complete-journey", type=Path, help="the folder of that data set; without it, it is left out"
    )
    given = options.parse_args()
    shops = {"online_retail": online_retail()}
    if given.complete_journey is not None:
        shops["complete_journey"] = complete_journey(given.complete_journey)
    found = {
        f"{name}, {history} events kept": measure(events, history)
        for name, events in shops.items()
        for history in (200, 2_000)
    }
    results = Results(datetime.now(UTC).date().isoformat(), describe(Path()), found)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


if __name__ == "__main__":
    main()
