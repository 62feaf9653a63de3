"""Invoice lines as events."""

from __future__ import annotations

import polars as pl

from endcap.events.cleaning import RAW_COLUMNS, CleanLines
from endcap.events.dialects.invoices import event_count, holds_invoices, invoice_events
from endcap.events.schema import Event, Line


def lines(*rows: tuple[int, str, str | None, float, int]) -> pl.DataFrame:
    """Rows of n, invoice, customer, quantity, time."""
    table = pl.DataFrame(rows, schema=["n", "invoice", "customer", "quantity", "time"], orient="row")
    return table.with_columns(pl.lit(1).alias("line"), pl.lit("10001").alias("code"), pl.lit(0.1).alias("price"))


CLEAN = CleanLines(
    sales=lines((0, "1", "7", 3.0, 1_000), (2, "3", None, 1.0, 3_000)),
    returns=lines((1, "C2", "7", 1.0, 2_000)),
    goods=pl.DataFrame(),
    rules=(),
    rows=3,
)


def test_sales_and_returns_come_in_time_order() -> None:
    events = list(invoice_events(CLEAN))
    assert [(event.type, event.time) for event in events] == [
        ("purchase", 1_000),
        ("return", 2_000),
        ("purchase", 3_000),
    ]
    assert event_count(CLEAN) == 3


def test_an_invoice_is_a_session_and_a_line_a_purchase() -> None:
    assert next(invoice_events(CLEAN)) == Event(
        type="purchase",
        time=1_000,
        event_id="retail-1-1",
        user_id="7",
        session_id="1",
        items=(Line("10001", 3.0, 0.1),),
        value=0.3,
        currency="GBP",
    )


def test_an_invoice_without_customer_is_an_anonymous_visitor() -> None:
    event = list(invoice_events(CLEAN))[2]
    assert (event.user_id, event.visitor_id) == (None, "invoice-3")


def test_times_move_and_ids_stay() -> None:
    moved = list(invoice_events(CLEAN, shift_ms=500))
    assert [event.time for event in moved] == [1_500, 2_500, 3_500]
    assert [event.event_id for event in moved] == [event.event_id for event in invoice_events(CLEAN)]


def test_invoice_lines_are_known_by_their_columns() -> None:
    assert holds_invoices([*RAW_COLUMNS, "Country"])
    assert not holds_invoices(RAW_COLUMNS[1:])
