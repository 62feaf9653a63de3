"""Invoice lines as events: an invoice is a session, a line is a purchase, a matched cancellation a return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from endcap.events.cleaning import RAW_COLUMNS, CleanLines
from endcap.events.schema import Event, Line

CURRENCY = "GBP"


def holds_invoices(columns: Iterable[str]) -> bool:
    """Whether a file with these columns holds raw invoice lines."""
    return set(RAW_COLUMNS) <= set(columns)


def event_count(lines: CleanLines) -> int:
    """How many events ``invoice_events`` gives."""
    return lines.sales.height + lines.returns.height


def invoice_events(lines: CleanLines, shift_ms: int = 0) -> Iterator[Event]:
    """The purchases and returns of ``lines`` in time order, every time moved by ``shift_ms``.

    An event's id is made of its invoice and line, so importing the same invoices twice stores them once.
    """
    both = pl.concat(
        [
            lines.sales.with_columns(pl.lit("purchase").alias("type")),
            lines.returns.with_columns(pl.lit("return").alias("type")),
        ]
    ).sort("time", "n")
    columns = ("type", "time", "invoice", "line", "code", "quantity", "price", "customer")
    for type_, time, invoice, line, code, quantity, price, customer in both.select(columns).iter_rows():
        # By position: this runs half a million times. The rules have checked every value.
        yield Event(
            type_,
            time + shift_ms,
            f"retail-{invoice}-{line}",
            customer,
            None if customer else f"invoice-{invoice}",
            invoice,
            None,
            (Line(code, quantity, price),),
            round(quantity * price, 2),
            CURRENCY,
        )
