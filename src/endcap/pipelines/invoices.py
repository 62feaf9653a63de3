"""Raw invoice lines from a file: typed columns for the cleaning rules, unreadable lines refused alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

import polars as pl

from endcap.checks import FUTURE_TOLERANCE_MS, parse_past
from endcap.errors import InvalidFieldError
from endcap.events.cleaning import RAW_COLUMNS
from endcap.events.loaders import read_number
from endcap.events.times import TimeReader, time_reader
from endcap.pipelines.rows import Refusal, Row, Source, column

INVOICE_COLUMNS: Mapping[str, str] = {
    "session_id": "InvoiceNo",
    "item_id": "StockCode",
    "title": "Description",
    "quantity": "Quantity",
    "time": "InvoiceDate",
    "price": "UnitPrice",
    "user_id": "CustomerID",
}
"""What the columns of invoice lines become, for the report."""

_NUMBERS = ("Quantity", "UnitPrice")
_NEEDED = ("InvoiceNo", "StockCode", *_NUMBERS, "InvoiceDate")
_SCHEMA = pl.Schema(
    {
        "row": pl.Int64(),
        "InvoiceNo": pl.String(),
        "StockCode": pl.String(),
        "Description": pl.String(),
        "Quantity": pl.Float64(),
        "InvoiceDate": pl.Datetime("ms"),
        "UnitPrice": pl.Float64(),
        "CustomerID": pl.String(),
    }
)

Refuse = Callable[[Iterable[Refusal]], None]


def read_invoices(source: Source, now_ms: int, refuse: Refuse) -> pl.DataFrame:
    """All lines of ``source``, whose columns include RAW_COLUMNS, in the file's order.

    They are held in memory together (about 100 bytes a line): the cleaning rules compare them all.
    """
    typed = _typed_parquet(source)
    if typed is not None:
        return _without_broken(typed, now_ms, refuse)
    places = [source.columns.index(name) for name in RAW_COLUMNS]
    when = places[RAW_COLUMNS.index("InvoiceDate")]
    read_time = time_reader(column(source, when))
    frames: list[pl.DataFrame] = []
    for batch in source.batches():
        refuse(batch.refused)
        lines = [_line(row, places, read_time, now_ms) for row in batch.rows]
        refuse(line for line in lines if isinstance(line, Refusal))
        good = [line for line in lines if not isinstance(line, Refusal)]
        frames.append(pl.DataFrame(good, schema=_SCHEMA, orient="row"))
    return pl.concat(frames).drop("row")


def _line(row: Row, places: list[int], read_time: TimeReader, now_ms: int) -> tuple[object, ...] | Refusal:
    raw = dict(zip(RAW_COLUMNS, (row.values[place] for place in places), strict=True))
    try:
        for name in _NEEDED:
            if raw[name] is None or raw[name] == "":
                raise InvalidFieldError(name, f"{name} is empty: an invoice line needs it")
        for name in _NUMBERS:
            raw[name] = read_number(name, raw[name])
        moment = parse_past("InvoiceDate", read_time(raw["InvoiceDate"]), now_ms)
    except InvalidFieldError as error:
        return Refusal(row.line, error.field, str(error))
    raw["InvoiceDate"] = datetime.fromtimestamp(moment / 1000, UTC).replace(tzinfo=None)
    texts = {name: _text(raw[name]) for name in ("InvoiceNo", "StockCode", "Description", "CustomerID")}
    return (row.line, *({**raw, **texts}[name] for name in RAW_COLUMNS))


def _text(value: object) -> str | None:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return None if value is None or value == "" else str(value)


def _typed_parquet(source: Source) -> pl.DataFrame | None:
    """The lines of a Parquet file whose columns have the right types already; None for any other file."""
    if source.path.suffix not in (".parquet", ".pq"):
        return None
    schema = pl.read_parquet_schema(source.path)
    right = all(schema[name].is_numeric() for name in _NUMBERS) and schema["InvoiceDate"].is_temporal()
    return pl.read_parquet(source.path, columns=list(RAW_COLUMNS)) if right else None


def _without_broken(frame: pl.DataFrame, now_ms: int, refuse: Refuse) -> pl.DataFrame:
    moment = pl.col("InvoiceDate").cast(pl.Datetime("ms")).dt.epoch("ms")
    checks = [(name, pl.col(name).is_null(), f"{name} is empty: an invoice line needs it") for name in _NEEDED]
    future = "InvoiceDate is more than a day in the future, or before 1970: check the clock"
    checks.append(("InvoiceDate", (moment > now_ms + FUTURE_TOLERANCE_MS) | (moment < 0), future))
    lines = frame.with_row_index("row", offset=1)
    for name, broken, reason in checks:
        bad = lines.filter(broken.fill_null(value=False))["row"]
        refuse(Refusal(row, name, reason) for row in bad)
        lines = lines.filter(~broken.fill_null(value=False))
    return lines.drop("row")
