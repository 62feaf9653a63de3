"""Two shops with texts and events, for what is measured about new items, new people and few events."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from endcap.catalog.demo import demo_lines, goods_changes
from endcap.catalog.items import parse_change
from endcap.events.cleaning import clean
from endcap.events.dialects.invoices import invoice_events
from endcap.events.schema import Event, Line
from endcap.types import Entry
from script import parser_of

Entries = Callable[[], Sequence[Entry]]
BEFORE_ALL = 0
"""Milliseconds since 1970: the catalogue is there before the first event."""


def parser_of_shops(name: str, doc: str | None) -> ArgumentParser:
    """What the scripts about these shops are told."""
    parser = parser_of(name, doc)
    parser.add_argument("--complete-journey", type=Path, help="the folder of that data set; without it, it is left out")
    return parser


def shops_of(options: Namespace) -> dict[str, Entries]:
    """The shops that ``options`` ask for, by name."""
    shops: dict[str, Entries] = {"Online Retail": online_retail}
    if options.complete_journey is not None:
        shops["The Complete Journey"] = lambda: complete_journey(options.complete_journey)
    return shops


def online_retail() -> list[Entry]:
    """The gift shop that the demo is made of: 4,000 titles without categories, baskets of many lines."""
    lines = clean(demo_lines())
    changes = [Entry(0, BEFORE_ALL, change) for change in goods_changes(lines.goods)]
    return [*changes, *(Entry(0, event.time, event) for event in invoice_events(lines))]


def complete_journey(folder: Path, least_sold: int = 5) -> list[Entry]:
    """The grocery baskets of 300 households; products with a type that were bought ``least_sold`` times or more.

    A product has no title: its type, its category and its package size stand for it, and many products share them.
    """
    lines = pl.read_parquet(folder / "transactions_300_households.parquet")
    goods = pl.read_parquet(folder / "products_zstd.parquet").filter(pl.col("product_type").is_not_null())
    sold = lines.group_by("product_id").len().filter(pl.col("len") >= least_sold)
    goods = goods.join(sold, on="product_id", how="semi").sort("product_id")
    lines = lines.join(goods, on="product_id", how="semi")
    return [*_products(goods), *_baskets(lines)]


def _products(goods: pl.DataFrame) -> Sequence[Entry]:
    found = []
    for row in goods.iter_rows(named=True):
        fields = {
            "item_id": str(row["product_id"]),
            "title": " ".join(part for part in (row["product_type"], row["package_size"]) if part),
            "brand": str(row["manufacturer_id"]),
            "categories": [" > ".join(part for part in (row["department"], row["product_category"]) if part)],
        }
        found.append(Entry(0, BEFORE_ALL, parse_change("put", fields)))
    return found


def _baskets(lines: pl.DataFrame) -> Sequence[Entry]:
    columns = {
        "user": pl.col("household_id").cast(pl.String),
        "item": pl.col("product_id").cast(pl.String),
        "time": pl.col("transaction_timestamp").cast(pl.Datetime("ms")).cast(pl.Int64),
        "basket": pl.col("basket_id").cast(pl.String),
    }
    rows = lines.select(**columns).unique().group_by("user", "time", "basket").agg(pl.col("item").sort())
    found = []
    for user, time, basket, items in rows.sort("time", "user", "basket").iter_rows():
        event = Event("purchase", time, user_id=user, session_id=basket, items=tuple(map(Line, items)))
        found.append(Entry(0, time, event))
    return found
