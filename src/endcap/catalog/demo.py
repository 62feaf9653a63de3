"""The demo shop: a real gift shop's invoice lines, shipped with the package (see data/NOTICE)."""

from __future__ import annotations

from importlib import resources

import polars as pl

from endcap.catalog.items import ItemChange, parse_change

CURRENCY = "GBP"


def demo_lines() -> pl.DataFrame:
    """The 541,909 raw lines of Online Retail as they were published, with all their dirt."""
    with resources.as_file(resources.files("endcap.catalog") / "data" / "online_retail.parquet") as path:
        return pl.read_parquet(path)


def goods_changes(goods: pl.DataFrame) -> list[ItemChange]:
    """The catalogue entries of ``goods`` (code, title, price): what is known, and nothing else.

    The title is as the shop wrote it; how it is shown is the storefront's business.
    """
    return [
        parse_change("put", {"item_id": code, "title": title, "price": price, "currency": CURRENCY, "in_stock": True})
        for code, title, price in goods.select("code", "title", "price").iter_rows()
    ]
