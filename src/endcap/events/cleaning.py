"""The rules that clean raw invoice lines: each one named, counted, and shown with two examples.

The input is what a shop's invoicing writes: one row per line of an invoice, with the columns of the data set
Online Retail (D. Chen, doi 10.24432/C5BW33). Every input line ends in exactly one place: dropped by the rule
that is named, a sale, or a return; a mended line is counted where it was mended and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from endcap.errors import DataError
from endcap.events.cancellations import match_cancellations

RAW_COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID")

MIN_LINES_OF_ITEM = 20
"""Sold on fewer lines, an item has no typical quantity of its own: it is held against the whole shop's."""
MAX_ROBUST_Z = 6.0
"""A line whose log quantity is more than this many robust standard deviations above the median is impossible."""
MAD_TO_SIGMA = 1.4826
"""The median absolute deviation times this is the standard deviation, where the noise is normal."""

Action = Literal["dropped", "mended", "kept"]


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one rule did."""

    name: str
    action: Action
    rows: int
    examples: tuple[str, ...]
    """Up to two lines it touched, in words."""
    meaning: str
    """What the rule looks for, and what it does about it."""


@dataclass(frozen=True, slots=True)
class CleanLines:
    """What is left, in time order.

    Columns: n (row of the input), invoice, line (of the invoice, from 1), code, quantity, price, time (milliseconds
    since 1970), customer (null: unknown).
    """

    sales: pl.DataFrame
    returns: pl.DataFrame
    """The same columns; quantity is above 0: what of the cancellation could be matched with a purchase."""
    goods: pl.DataFrame
    """One row per item that was sold: code, title, price."""
    rules: tuple[RuleResult, ...]
    rows: int
    """Lines that came in."""


def is_product() -> pl.Expr:
    """A product's code starts with five digits; what else is there is postage, fees, samples, corrections."""
    return pl.col("code").str.contains(r"^\d{5}")


def is_marketplace_product() -> pl.Expr:
    """DCGS and a number, or DCGSS and a name: goods that this shop sold under the codes of a marketplace."""
    return pl.col("code").str.contains(r"^(DCGS\d|DCGSS[A-Z])")


def is_service() -> pl.Expr:
    """A service that hides behind a product's code: its title says so."""
    return pl.col("title").str.contains(r"(?i)\b(carriage|postage|charge|resolution image)$|\bgift voucher\b")


def is_cancellation() -> pl.Expr:
    """The number of a cancelling invoice starts with C."""
    return pl.col("invoice").str.starts_with("C")


def has_price() -> pl.Expr:
    """The price is above zero."""
    return (pl.col("price") > 0) & pl.col("price").is_finite()


def has_quantity() -> pl.Expr:
    """The quantity is above zero: something went out."""
    return (pl.col("quantity") > 0) & pl.col("quantity").is_finite()


def has_customer() -> pl.Expr:
    """The line says who bought."""
    return pl.col("customer").is_not_null()


def raw_lines(frame: pl.DataFrame) -> pl.DataFrame:
    """``frame``, which has RAW_COLUMNS, as typed lines.

    Columns: n, invoice, line, code (in upper case), code_given (as it was written), title, quantity, price, time,
    customer. Raises DataError if a column is missing.
    """
    missing = [name for name in RAW_COLUMNS if name not in frame.columns]
    if missing:
        raise DataError(f"the invoice lines have no column {missing[0]}: needed are {', '.join(RAW_COLUMNS)}")
    text = pl.col("StockCode").cast(pl.String).str.strip_chars()
    return (
        frame.select(RAW_COLUMNS)
        .with_row_index("n")
        .select(
            "n",
            pl.col("InvoiceNo").cast(pl.String).str.strip_chars().str.to_uppercase().alias("invoice"),
            (pl.int_range(pl.len()).over("InvoiceNo") + 1).alias("line"),
            text.alias("code_given"),
            text.str.to_uppercase().alias("code"),
            pl.col("Description").str.strip_chars().replace("", None).alias("title"),
            pl.col("Quantity").cast(pl.Float64).alias("quantity"),
            pl.col("UnitPrice").cast(pl.Float64).alias("price"),
            pl.col("InvoiceDate").cast(pl.Datetime("ms")).dt.epoch("ms").alias("time"),
            _customer(frame.schema["CustomerID"]).alias("customer"),
        )
    )


def _customer(dtype: pl.DataType) -> pl.Expr:
    """The customer as a text; a number that the table keeps as a float (17850.0) is its digits."""
    if dtype.is_float():
        return pl.col("CustomerID").cast(pl.Int64).cast(pl.String)
    return pl.col("CustomerID").cast(pl.String).str.strip_chars().str.strip_suffix(".0").replace("", None)


def clean(frame: pl.DataFrame) -> CleanLines:
    """The sales, the returns and the goods that raw invoice lines hold. Raises DataError if a column is missing.

    The whole frame is held in memory: a duplicate, a title and a typical quantity are facts about all lines.
    """
    lines = raw_lines(frame)
    rules: list[RuleResult] = []
    for rule in _DROPS:
        lines = rule.apply(lines, rules)
    goods, lines = _name_goods(lines, rules)
    _count(rules, lines.filter(~has_customer()), "missing customer", "kept", _MEANINGS["missing customer"])
    lines = _drop_impossible_quantities(lines, rules)
    sales = lines.filter(~is_cancellation())
    returns = _undo(sales, lines.filter(is_cancellation()), rules)
    sold = goods.join(sales.select("code").unique(), on="code", how="semi").sort("code")
    return CleanLines(_in_order(sales), _in_order(returns), sold, tuple(rules), frame.height)


@dataclass(frozen=True, slots=True)
class _Drop:
    """A rule that leaves lines out."""

    name: str
    broken: pl.Expr
    meaning: str

    def apply(self, lines: pl.DataFrame, rules: list[RuleResult]) -> pl.DataFrame:
        marked = lines.with_columns(self.broken.fill_null(value=False).alias("broken"))
        _count(rules, marked.filter("broken"), self.name, "dropped", self.meaning)
        return marked.filter(~pl.col("broken")).drop("broken")


_LINE = ("invoice", "code_given", "title", "quantity", "time", "price", "customer")
_PRICED_TITLES = pl.col("title").filter(has_price()).unique().implode()

_DROPS = (
    _Drop(
        "exact duplicate",
        ~pl.struct(_LINE).is_first_distinct(),
        "a line equal to an earlier one in every column; the first stays",
    ),
    _Drop(
        "not a product",
        ~(is_product() | is_marketplace_product()),
        "the code does not start with five digits: postage, fees, samples, vouchers, corrections "
        "(DCGS codes are goods sold on a marketplace and stay)",
    ),
    _Drop("service", is_service(), "a product's code whose title is a carriage, a charge, an image right or a voucher"),
    _Drop(
        "note, not a title",
        pl.col("title").is_not_null() & ~pl.col("title").is_in(_PRICED_TITLES),
        "a description that no line with a price bears: a remark of the stock keepers (damaged, ?, check)",
    ),
    _Drop(
        "stock correction",
        ~has_quantity() & ~is_cancellation(),
        "a quantity of zero or less on an invoice that cancels nothing",
    ),
    _Drop("no price", ~has_price(), "a price of zero or less: nothing was sold"),
)
_MEANINGS = {
    "missing customer": "the invoice names no customer: it is kept as the session of an anonymous visitor",
    "letter case of a code": "codes that differ by letter case are one item: the code is written in upper case",
    "several titles": "one code, several titles: the most frequent one is the item's (the latest of equals)",
    "marketplace code": "a DCGS code: goods that the shop sold under the code of a marketplace; kept as products",
    "impossible quantity": (
        f"the log of the quantity is more than {MAX_ROBUST_Z:g} robust standard deviations "
        f"({MAD_TO_SIGMA} x median absolute deviation, at least that of all items about their own medians) above the "
        f"item's median; items with under {MIN_LINES_OF_ITEM} lines are held against the whole shop"
    ),
    "cancellation": "a C invoice: a return that undoes the latest earlier purchases of the same customer and code",
    "cancellation, partly": "it cancels more than the customer had bought: the return has the quantity that was found",
    "cancellation, unmatched": "no earlier purchase of this customer and code is left to undo: it becomes no event",
}


def _count(rules: list[RuleResult], touched: pl.DataFrame, name: str, action: Action, meaning: str) -> None:
    rules.append(RuleResult(name, action, touched.height, _examples(touched), meaning))


def _examples(lines: pl.DataFrame) -> tuple[str, ...]:
    rows = lines.head(2).select("invoice", "line", "code_given", "title", "quantity", "price").iter_rows()
    return tuple(
        f"invoice {invoice} line {line}: {code} {title or '(no description)'}, {quantity:g} x {price:g}"
        for invoice, line, code, title, quantity, price in rows
    )


def _name_goods(lines: pl.DataFrame, rules: list[RuleResult]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The goods with their winning titles and prices, and the lines, whose title then agrees."""
    sales = lines.filter(~is_cancellation())
    winners = (
        sales.filter(pl.col("title").is_not_null())
        .group_by("code", "title")
        .agg(pl.len().alias("count"), pl.col("n").max().alias("latest"))
        .sort("count", "latest", descending=True)
        .unique("code", keep="first", maintain_order=True)
        .select("code", pl.col("title").alias("winner"))
    )
    # The lower median is a price that somebody paid; the mean of two middle ones may not be.
    prices = sales.group_by("code").agg(pl.col("price").quantile(0.5, "lower"))
    goods = prices.join(winners, on="code", how="left").select(
        "code", pl.col("winner").fill_null(pl.col("code")).alias("title"), "price"
    )
    named = lines.join(winners, on="code", how="left", maintain_order="left")
    other = named.filter(pl.col("title").ne_missing(pl.col("winner")) & pl.col("winner").is_not_null())
    for name, action, touched in _mended(lines, other):
        _count(rules, touched, name, action, _MEANINGS[name])
    return goods, named.drop("winner")


def _mended(lines: pl.DataFrame, other: pl.DataFrame) -> Iterable[tuple[str, Action, pl.DataFrame]]:
    yield "letter case of a code", "mended", lines.filter(pl.col("code") != pl.col("code_given"))
    yield "several titles", "mended", other
    yield "marketplace code", "kept", lines.filter(is_marketplace_product())


def _drop_impossible_quantities(lines: pl.DataFrame, rules: list[RuleResult]) -> pl.DataFrame:
    """Lines without those (cancelling ones too) whose quantity no customer of this shop would buy."""
    sold = lines.filter(~is_cancellation()).select("code", pl.col("quantity").log().alias("log"))
    typical = sold.with_columns(pl.col("log").median().over("code").alias("middle"))
    typical = typical.with_columns((pl.col("log") - pl.col("middle")).abs().alias("off"))
    shop_middle = pl.col("log").median()
    shop = typical.select(
        shop_middle.alias("middle"),
        ((pl.col("log") - shop_middle).abs().median() * MAD_TO_SIGMA).alias("sigma"),
        (pl.col("off").median() * MAD_TO_SIGMA).alias("floor"),
    ).row(0, named=True)
    items = typical.group_by("code").agg(
        pl.len().alias("count"), pl.col("middle").first(), (pl.col("off").median() * MAD_TO_SIGMA).alias("sigma")
    )
    known = pl.col("count").fill_null(0) >= MIN_LINES_OF_ITEM
    middle = pl.when(known).then("middle").otherwise(pl.lit(shop["middle"], pl.Float64))
    at_least_floor = pl.max_horizontal("sigma", pl.lit(shop["floor"], pl.Float64))
    sigma = pl.when(known).then(at_least_floor).otherwise(pl.lit(shop["sigma"], pl.Float64))
    # Multiplied out, so that a shop in which every quantity is the same (sigma 0) divides by nothing.
    above = pl.col("quantity").abs().log() - middle
    rule = _Drop(
        "impossible quantity",
        (above > MAX_ROBUST_Z * sigma) & (sigma > 0),
        _MEANINGS["impossible quantity"],
    )
    judged = lines.join(items, on="code", how="left", maintain_order="left")
    return rule.apply(judged, rules).drop("count", "middle", "sigma")


def _undo(sales: pl.DataFrame, cancelling: pl.DataFrame, rules: list[RuleResult]) -> pl.DataFrame:
    """The cancelling lines that undo something, with the quantity that they undo."""
    asked = cancelling.with_columns(-pl.col("quantity"))
    found = pl.Series("found", match_cancellations(sales, asked), pl.Float64)
    judged = cancelling.with_columns(found)
    for name, action, mask in (
        ("cancellation", "mended", pl.col("found") == -pl.col("quantity")),
        ("cancellation, partly", "mended", (pl.col("found") > 0) & (pl.col("found") < -pl.col("quantity"))),
        ("cancellation, unmatched", "dropped", pl.col("found") == 0),
    ):
        _count(rules, judged.filter(mask), name, action, _MEANINGS[name])  # type: ignore[arg-type]  # an Action
    return judged.filter(pl.col("found") > 0).with_columns(pl.col("found").alias("quantity"))


def _in_order(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.select("n", "invoice", "line", "code", "quantity", "price", "time", "customer").sort("time", "n")
