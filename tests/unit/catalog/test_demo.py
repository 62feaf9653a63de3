"""The demo shop's data and catalogue."""

from __future__ import annotations

from importlib import resources

import polars as pl

from endcap.catalog.demo import demo_lines, goods_changes
from endcap.catalog.items import Item


def test_the_shipped_lines_are_all_of_the_published_ones() -> None:
    lines = demo_lines()
    assert lines.height == 541_909
    assert lines["CustomerID"].drop_nulls().n_unique() == 4_372
    assert lines["StockCode"].n_unique() == 4_070


def test_the_credit_is_shipped_with_the_data() -> None:
    notice = (resources.files("endcap.catalog") / "data" / "NOTICE").read_text(encoding="utf-8")
    for credit in ("Daqing Chen", "10.24432/C5BW33", "CC BY 4.0", "CC0"):
        assert credit in notice


def test_goods_become_items_with_what_is_known() -> None:
    (change,) = goods_changes(pl.DataFrame({"code": ["85123A"], "title": ["WHITE HEART"], "price": [2.55]}))
    assert change.applied_to(None) == Item("85123A", "WHITE HEART", price=2.55, currency="GBP", in_stock=True)
