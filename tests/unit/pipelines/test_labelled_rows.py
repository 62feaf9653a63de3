"""Which rows of a labelled table are learnt from, validate and test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.errors import DataError
from endcap.pipelines.labelled_rows import Columns, LabelledRows, read_labelled, split_rows


def rows(n: int, times: list[int] | None = None) -> LabelledRows:
    frame = pl.DataFrame({"user_id": [f"u{one % 7}" for one in range(n)], "item_id": [f"i{one}" for one in range(n)]})
    labels = (np.arange(n) % 2).astype(np.float32)
    return LabelledRows(frame, labels, None if times is None else np.array(times), ("user_id", "item_id"))


@given(st.lists(st.integers(0, 30), min_size=60, max_size=120, unique=False), st.integers(0, 5))
def test_by_time_what_tests_is_later_and_a_moment_is_never_cut(times: list[int], seed: int) -> None:
    try:
        parts = split_rows(rows(len(times), times), seed=seed)
    except DataError as error:
        assert "the split by time fails" in str(error)
        return
    assert parts.how == "time"
    moments = [np.array(times)[part] for part in (parts.training, parts.validation, parts.test)]
    assert moments[0].max() < moments[1].min()
    assert moments[1].max() < moments[2].min()
    assert sum(part.size for part in moments) == len(times)


def test_by_hash_the_shares_are_kept_and_the_order_of_the_file_does_not_matter() -> None:
    table = rows(3_000)
    parts = split_rows(table, seed=1)
    sizes = [part.size for part in (parts.training, parts.validation, parts.test)]
    assert sum(sizes) == 3_000
    assert sizes == pytest.approx([2_400, 300, 300], rel=0.15)
    order = np.random.default_rng(0).permutation(3_000)
    turned = split_rows(LabelledRows(table.frame[order], table.labels[order], None, table.ids), seed=1)
    assert set(order[turned.test]) == set(parts.test)
    assert set(split_rows(table, seed=2).test) != set(parts.test)


def test_rows_that_say_the_same_are_drawn_one_by_one() -> None:
    same = pl.DataFrame({"item_id": ["a"] * 500})
    parts = split_rows(LabelledRows(same, (np.arange(500) % 2).astype(np.float32), None, ("item_id",)))
    assert parts.test.size == pytest.approx(50, abs=25)


def test_values_are_read_as_text_ids_first(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"size": [5.0, 0.5] * 15, "new": [True, None] * 15, "item_id": list(range(30)), "click": [0, 1] * 15}
    )
    frame.write_parquet(tmp_path / "x.parquet")
    found = read_labelled(tmp_path / "x.parquet", Columns("click"))
    assert found.ids == ("item_id",)
    assert found.frame.columns == ["item_id", "size", "new"]
    assert found.frame.row(0) == ("0", "5", "true")
    assert found.frame.row(1) == ("1", "0.5", None)
    assert found.labels.tolist() == [0.0, 1.0] * 15
