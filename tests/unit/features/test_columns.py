"""A table as numbers, by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from endcap.features.columns import FAR, Category, Coding, Figure, as_text, learn_coding

TABLE = pl.DataFrame(
    {
        "item": ["b", "a", "b", "c"],
        "shop": [7, 7, 9, 9],
        "price": ["1", "3", "", "5"],
        "age": [2.0, 4.0, 2.0, 4.0],
        "same": ["x"] * 4,
        "one": [1, 1, 1, 1],
    }
)


def test_what_is_learnt_of_each_column() -> None:
    learnt = learn_coding(TABLE, ids=["item"], categorical=["shop"])
    assert learnt.coding == Coding(
        (Category("item", ("a", "b", "c")), Category("shop", ("7", "9"))),
        (Figure("price", 3.0, np.std([1, 3, 5]).item(), gaps=True), Figure("age", 3.0, 1.0, gaps=False)),
    )
    assert learnt.left_out == dict.fromkeys(["same", "one"], "it is always the same")
    assert (learnt.coding.sizes, learnt.coding.width) == ([4, 3], 3)


def test_a_table_in_numbers_and_what_of_it_is_not_known() -> None:
    coding = learn_coding(TABLE, ids=["item"], categorical=["shop"]).coding
    asked = pl.DataFrame(
        {"age": [5, None, 1_000], "price": ["3", "dear", "nan"], "item": ["c", "zebra", None], "shop": [9.0, 8.0, 7.0]}
    )
    coded = coding.encode(asked)
    assert coded.codes.tolist() == [[3, 2], [0, 0], [0, 1]]
    assert coded.numbers.tolist() == [[0, 0, 2], [0, 1, 0], [0, 1, FAR]]
    assert (coded.unknown, coded.missing) == ({"item": 2, "shop": 1}, {"price": 2, "age": 1})


def test_text_that_is_hardly_ever_the_same_says_nothing_of_another_row() -> None:
    titles = pl.DataFrame({"title": [f"title {n}" for n in range(40)], "user": [f"u{n}" for n in range(40)]})
    learnt = learn_coding(titles, ids=["user"])
    assert [one.name for one in learnt.coding.categories] == ["user"]
    assert learnt.left_out == {"title": "it is hardly ever the same twice"}
    assert [one.name for one in learn_coding(titles, ["user"], ["title"]).coding.categories] == ["user", "title"]


def test_a_column_with_a_few_words_among_its_numbers_holds_figures() -> None:
    column = pl.Series("price", [*map(str, range(30)), "on request"])
    (figure,) = learn_coding(column.to_frame()).coding.figures
    assert (figure.name, figure.mean, figure.gaps) == ("price", 14.5, True)


def test_where_a_kind_of_column_is_not_there_one_of_zeros_stands() -> None:
    figures = learn_coding(pl.DataFrame({"x": [1, 2]})).coding.encode(pl.DataFrame({"x": [1, 2]}))
    assert figures.codes.tolist() == [[0], [0]]
    names = learn_coding(pl.DataFrame({"x": ["a", "b"]})).coding.encode(pl.DataFrame({"x": ["b", "a"]}))
    assert names.codes.tolist() == [[2], [1]]
    assert names.numbers.tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([5.0, 0.5, float("nan"), float("inf"), None], ["5", "0.5", None, "inf", None]),
        ([" a ", "", "  ", None], ["a", None, None, None]),
        ([True, False], ["true", "false"]),
        ([3, -4], ["3", "-4"]),
    ],
)
def test_values_as_text(given: list[object], expected: list[str | None]) -> None:
    assert as_text(pl.Series("x", given)).to_list() == expected
