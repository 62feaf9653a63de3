"""Which purchases a cancellation undoes: the latest earlier ones of the same customer and code."""

from __future__ import annotations

import polars as pl


def match_cancellations(sales: pl.DataFrame, cancelling: pl.DataFrame) -> list[float]:
    """How much of each row of ``cancelling`` undoes earlier purchases: (cancelling,) quantities, 0 for unmatched.

    Both frames have the columns n, time, customer, code, quantity (above 0). A cancellation takes from the latest
    earlier purchase first, then from the one before; what was undone once cannot be undone again. A line without a
    customer matches nothing.
    """
    pairs = ["customer", "code"]
    bought = sales.filter(pl.col("customer").is_not_null()).join(
        cancelling.select(pairs).unique(), on=pairs, how="semi"
    )
    columns = ["time", "n", *pairs, "quantity"]
    moves = pl.concat(
        [
            bought.select(*columns, pl.lit(-1).alias("row")),
            cancelling.select(*columns, pl.int_range(pl.len()).cast(pl.Int32).alias("row")),
        ],
        how="vertical_relaxed",
    ).sort("time", "n")
    found = [0.0] * cancelling.height
    open_purchases: dict[tuple[str, str], list[float]] = {}
    for _, _, customer, code, quantity, row in moves.iter_rows():
        if customer is None:
            continue
        left = open_purchases.setdefault((customer, code), [])
        if row < 0:
            left.append(quantity)
        else:
            found[row] = _take(left, quantity)
    return found


def _take(left: list[float], quantity: float) -> float:
    """Takes ``quantity`` from the end of ``left``; what could be taken."""
    wanted = quantity
    while left and wanted > 0:
        taken = min(left[-1], wanted)
        wanted -= taken
        left[-1] -= taken
        if left[-1] <= 0:
            left.pop()
    return quantity - wanted
