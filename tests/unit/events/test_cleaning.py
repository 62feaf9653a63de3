"""The cleaning rules: reconciled with the published data to the line, and each one on lines made for it."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from endcap.catalog.demo import demo_lines
from endcap.errors import DataError
from endcap.events.cleaning import (
    CleanLines,
    RuleResult,
    clean,
    has_customer,
    has_price,
    has_quantity,
    is_cancellation,
    is_product,
    is_service,
    raw_lines,
)


@pytest.fixture(scope="module")
def published() -> pl.DataFrame:
    return demo_lines()


@pytest.fixture(scope="module")
def cleaned(published: pl.DataFrame) -> CleanLines:
    return clean(published)


def rule(lines: CleanLines, name: str) -> RuleResult:
    return next(result for result in lines.rules if result.name == name)


def frame(*rows: tuple[str, str, str | None, float, float, float | None]) -> pl.DataFrame:
    """Lines of invoice, code, title, quantity, price, customer; a minute apart."""
    table = pl.DataFrame(
        rows,
        schema={
            "InvoiceNo": pl.String,
            "StockCode": pl.String,
            "Description": pl.String,
            "Quantity": pl.Float64,
            "UnitPrice": pl.Float64,
            "CustomerID": pl.Float64,
        },
        orient="row",
    )
    times = [datetime(2011, 1, 1, 9, minute) for minute in range(len(rows))]
    return table.with_columns(pl.Series("InvoiceDate", times))


def test_the_masks_reconcile_with_the_published_counts(published: pl.DataFrame) -> None:
    # Before duplicates go: five digits, price and quantity above 0, customer known, not cancelled.
    kept = raw_lines(published).filter(
        is_product() & has_price() & has_quantity() & has_customer() & ~is_cancellation()
    )
    assert kept.height == 396_337
    assert kept["customer"].n_unique() == 4_334
    assert kept["code"].n_unique() == 3_659
    assert kept["invoice"].n_unique() == 18_402


def test_every_line_ends_in_exactly_one_place(cleaned: CleanLines) -> None:
    dropped = sum(result.rows for result in cleaned.rules if result.action == "dropped")
    assert cleaned.rows == 541_909
    assert dropped + cleaned.sales.height + cleaned.returns.height == cleaned.rows


def test_counts_that_a_plain_look_at_the_file_gives_too(published: pl.DataFrame, cleaned: CleanLines) -> None:
    distinct = published.unique()
    product = pl.col("StockCode").str.contains(r"^(\d{5}|DCGS\d|DCGSS[A-Z])")
    assert rule(cleaned, "exact duplicate").rows == published.height - distinct.height == 5_268
    assert rule(cleaned, "not a product").rows == distinct.filter(~product).height
    found = [rule(cleaned, name).rows for name in ("cancellation", "cancellation, partly")]
    assert sum(found) == cleaned.returns.height


def test_services_behind_product_codes_are_found_by_their_titles(published: pl.DataFrame) -> None:
    found = raw_lines(published).filter(is_product() & is_service())
    assert set(found["title"].unique()) == {
        "Next Day Carriage",
        "PACKING CHARGE",
        "High Resolution Image",
        "Dotcomgiftshop Gift Voucher £100.00",
    }


def test_the_two_monstrous_quantities_and_their_cancellations_go(cleaned: CleanLines) -> None:
    assert cleaned.sales["quantity"].max() < 5_000  # type: ignore[operator]  # a number
    assert not {"541431", "581483"} & set(cleaned.sales["invoice"])
    assert not {"C541433", "C581484"} & set(cleaned.returns["invoice"])
    assert rule(cleaned, "impossible quantity").rows < 20  # it is no cap on ordinary wholesale


def test_what_is_left_is_clean_and_in_order(cleaned: CleanLines) -> None:
    for lines in (cleaned.sales, cleaned.returns):
        assert lines.filter(~(has_price() & has_quantity())).is_empty()
        assert lines["time"].is_sorted()
        assert (lines["code"] == lines["code"].str.to_uppercase()).all()
    assert cleaned.goods["code"].is_unique().all()
    assert set(cleaned.sales["code"]) == set(cleaned.goods["code"])


def test_each_rule_gives_two_examples(cleaned: CleanLines) -> None:
    for result in cleaned.rules:
        assert len(result.examples) == 2, result.name
        assert result.meaning


def test_an_exact_duplicate_goes_and_the_first_stays() -> None:
    lines = frame(("1", "10001", "MUG", 2, 1, 7), ("1", "10001", "MUG", 2, 1, 7)).with_columns(
        pl.lit(datetime(2011, 1, 1)).alias("InvoiceDate")
    )
    result = clean(lines)
    assert result.sales.select("invoice", "line").rows() == [("1", 1)]
    assert rule(result, "exact duplicate").examples == ("invoice 1 line 2: 10001 MUG, 2 x 1",)


def test_postage_goes_and_marketplace_codes_stay() -> None:
    result = clean(
        frame(
            ("1", "POST", "POSTAGE", 1, 18, 7),
            ("1", "DCGS0003", "ASHTRAY", 1, 2.5, 7),
            ("1", "gift_0001_20", "V", 1, 2, 7),
        )
    )
    assert result.sales["code"].to_list() == ["DCGS0003"]
    assert rule(result, "not a product").rows == 2
    assert rule(result, "marketplace code").rows == 1


def test_a_remark_is_a_description_that_no_priced_line_bears() -> None:
    result = clean(
        frame(
            ("1", "10001", "Mug, small", 1, 1, 7),
            ("2", "10001", "DAMAGED", 5, 0, None),
            ("3", "10001", "?", 5, 0, None),
        )
    )
    assert rule(result, "note, not a title").rows == 2
    assert result.goods.rows() == [("10001", "Mug, small", 1.0)]


def test_zero_prices_nan_prices_and_stock_corrections_go() -> None:
    nan = float("nan")
    result = clean(
        frame(
            ("1", "10001", "MUG", 1, 1, 7),
            ("2", "10001", "MUG", 1, 0, 7),
            ("3", "10001", "MUG", 1, -5, 7),
            ("4", "10001", "MUG", 1, nan, 7),
            ("5", "10001", "MUG", -4, 1, None),
            ("6", "10001", "MUG", nan, 1, 7),
        )
    )
    assert result.sales["invoice"].to_list() == ["1"]
    assert rule(result, "no price").rows == 3
    assert rule(result, "stock correction").rows == 2


def test_letter_case_is_mended_and_the_most_frequent_title_wins() -> None:
    result = clean(
        frame(
            ("1", "85123a", "WHITE HEART", 1, 2.5, 7),
            ("2", "85123A", "WHITE HEART", 1, 2.5, 7),
            ("3", "85123A", "CREAM HEART", 1, 3.0, 7),
        )
    )
    assert result.goods.rows() == [("85123A", "WHITE HEART", 2.5)]
    assert rule(result, "letter case of a code").rows == 1
    assert rule(result, "several titles").examples == ("invoice 3 line 1: 85123A CREAM HEART, 1 x 3",)


def test_of_equally_frequent_titles_the_latest_wins() -> None:
    assert clean(frame(("1", "10001", "OLD", 1, 1, 7), ("2", "10001", "NEW", 1, 1, 7))).goods["title"].item() == "NEW"


def test_the_price_is_one_that_somebody_paid() -> None:
    result = clean(frame(*[(str(i), "10001", "MUG", 1, price, 7) for i, price in enumerate((1.0, 2.0, 3.0, 9.0))]))
    assert result.goods["price"].item() == 2.0  # not 2.5


def test_an_impossible_quantity_is_judged_by_the_stated_statistic() -> None:
    # 40 lines of 1, 2, 4 or 8: log median between 2 and 4, MAD of the logs ln 2, so sigma = 1.4826 ln 2 and the
    # cut is at sqrt(8) * 2 ** (6 * 1.4826) = 1348.
    usual = [(str(i), "10001", "MUG", float(2 ** (i % 4)), 1.0, 7.0) for i in range(40)]
    result = clean(frame(*usual, ("98", "10001", "MUG", 1_200.0, 1.0, 7.0), ("99", "10001", "MUG", 2_000.0, 1.0, 7.0)))
    assert rule(result, "impossible quantity").examples == ("invoice 99 line 1: 10001 MUG, 2000 x 1",)


def test_a_shop_of_equal_quantities_has_no_impossible_one() -> None:
    lines = [(str(i), "10001", "MUG", 1.0, 1.0, 7.0) for i in range(30)]
    assert clean(frame(*lines, ("98", "10001", "MUG", 3.0, 1.0, 7.0))).sales.height == 31


def test_cancellations_become_returns_of_what_was_found() -> None:
    result = clean(
        frame(
            ("1", "10001", "MUG", 5, 1, 7),
            ("C2", "10001", "MUG", -2, 1, 7),  # whole
            ("C3", "10001", "MUG", -9, 1, 7),  # only 3 are left
            ("C4", "10001", "MUG", -1, 1, 7),  # nothing is left
            ("C5", "10001", "MUG", -1, 1, None),  # nobody's
        )
    )
    assert result.returns.select("invoice", "quantity").rows() == [("C2", 2.0), ("C3", 3.0)]
    assert [rule(result, name).rows for name in ("cancellation", "cancellation, partly")] == [1, 1]
    assert rule(result, "cancellation, unmatched").rows == 2


def test_a_missing_customer_is_kept_and_numbers_become_digits() -> None:
    result = clean(frame(("1", "10001", "MUG", 1, 1, None), ("2", "10001", "MUG", 1, 1, 17850.0)))
    assert result.sales["customer"].to_list() == [None, "17850"]
    assert rule(result, "missing customer").rows == 1


def test_customers_may_be_texts() -> None:
    lines = frame(("1", "10001", "MUG", 1, 1, 7), ("2", "10001", "MUG", 1, 1, 7))
    result = clean(lines.with_columns(pl.Series("CustomerID", [" anna ", ""])))
    assert result.sales["customer"].to_list() == ["anna", None]


def test_no_lines_are_no_sales() -> None:
    result = clean(frame(("1", "10001", "MUG", 1, 1, 7)).clear())
    assert (result.sales.height, result.returns.height, result.goods.height) == (0, 0, 0)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match=r"no column UnitPrice: needed are InvoiceNo, StockCode"):
        clean(frame(("1", "10001", "MUG", 1, 1, 7)).drop("UnitPrice"))
