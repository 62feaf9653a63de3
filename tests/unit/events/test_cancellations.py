"""Matching cancellations with purchases, by hand."""

from __future__ import annotations

import polars as pl

from endcap.events.cancellations import match_cancellations


def moves(*rows: tuple[int, str | None, str, float]) -> pl.DataFrame:
    """Rows of time, customer, code, quantity."""
    schema = {"time": pl.Int64, "customer": pl.String, "code": pl.String, "quantity": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("time").cast(pl.UInt32).alias("n"))


def test_the_latest_earlier_purchase_goes_first_then_the_one_before() -> None:
    sales = moves((1, "a", "x", 5.0), (2, "a", "x", 3.0))
    # 4 takes all of the later 3 and one of the 5; 4 more are left, so 6 finds 4.
    assert match_cancellations(sales, moves((3, "a", "x", 4.0), (4, "a", "x", 6.0))) == [4.0, 4.0]


def test_a_later_purchase_is_not_undone() -> None:
    assert match_cancellations(moves((5, "a", "x", 1.0)), moves((4, "a", "x", 1.0))) == [0.0]


def test_another_customer_or_code_is_not_undone() -> None:
    sales = moves((1, "a", "x", 1.0))
    assert match_cancellations(sales, moves((2, "b", "x", 1.0), (2, "a", "y", 1.0), (2, None, "x", 1.0))) == [0, 0, 0]


def test_results_stand_in_the_order_of_the_cancellations() -> None:
    sales = moves((1, "a", "x", 1.0))
    assert match_cancellations(sales, moves((9, "a", "x", 1.0), (2, "a", "x", 1.0))) == [0.0, 1.0]
