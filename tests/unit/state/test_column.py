"""A growing column against a plain list."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.state.column import Column


def test_rows_that_were_never_set_hold_the_default() -> None:
    column = Column(np.float32, np.nan)
    assert len(column) == 0
    column.grow(3)
    column[1] = 2.5
    np.testing.assert_array_equal(column.values, np.array([np.nan, 2.5, np.nan], np.float32))
    assert column[1] == np.float32(2.5)
    assert column.values.dtype == np.float32


@pytest.mark.parametrize("size", [64, 65, 128, 129, 1_000])
def test_growing_keeps_what_was_set(size: int) -> None:
    column = Column(np.int64, -1)
    column.grow(10)
    column[9] = 7
    column.grow(size)
    assert len(column) == size
    assert column.values.tolist() == [-1] * 9 + [7] + [-1] * (size - 10)


def test_a_smaller_size_changes_nothing() -> None:
    column = Column(np.int32)
    column.grow(5)
    column[4] = 3
    column.grow(2)
    assert column.values.tolist() == [0, 0, 0, 0, 3]


def test_the_view_sees_later_changes_and_stays_where_it_is() -> None:
    column = Column(np.int32)
    column.grow(2)
    view = column.values
    column[0] = 4
    assert view.tolist() == [4, 0]
    column.grow(10_000)
    assert view.tolist() == [4, 0], "a reader keeps what it reads when the column moves"


def test_scaling_spares_rows_that_are_not_there_yet() -> None:
    column = Column(np.float64, 8.0)
    column.grow(2)
    column.scale(0.25)
    column.grow(3)
    assert column.values.tolist() == [2.0, 2.0, 8.0]


def test_loading_replaces_the_first_rows() -> None:
    column = Column(np.int32, -1)
    column.load(np.arange(100, dtype=np.int32))
    column.load(np.array([5, 6], np.int32))
    assert column.values.tolist() == [5, 6, *range(2, 100)]


_OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), st.integers(0, 300), st.just(0)),
        st.tuples(st.sampled_from(["set", "add"]), st.integers(0, 299), st.integers(-9, 9)),
    ),
    max_size=40,
)


@given(_OPERATIONS)
def test_equals_a_plain_list(operations: list[tuple[str, int, int]]) -> None:
    column, plain = Column(np.int64, 2), [0] * 0
    for name, at, value in operations:
        if name == "grow":
            column.grow(at)
            plain += [2] * (at - len(plain))
        elif at < len(plain) and name == "set":
            column[at] = value
            plain[at] = value
        elif at < len(plain):
            column.add(at, value)
            plain[at] += value
    assert column.values.tolist() == plain
