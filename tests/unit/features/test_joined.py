"""Features side by side: what is never made dense is the same as what is."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from endcap.encoders.cache import ItemVectors
from endcap.features.joined import Joined
from endcap.types import FloatArray


class Sparse:
    """A block of sparse columns."""

    version = 1

    def __init__(self, table: FloatArray) -> None:
        self.matrix = csr_array(table)
        self.dim = table.shape[1]


def held(table: FloatArray) -> ItemVectors:
    found = ItemVectors(table.shape[1])
    found.set(np.arange(len(table), dtype=np.int32), table)
    return found


def test_a_product_is_that_of_the_dense_rows() -> None:
    random = np.random.default_rng(0)
    one, other = (random.normal(size=(7, 3)).astype(np.float32), random.normal(size=(5, 2)).astype(np.float32))
    words, brands = ((random.random((n, 6)) < 0.3).astype(np.float32) for n in (9, 4))
    one[2] = other[2] = words[2] = brands[2] = 0.0  # nothing is known of that one
    joined = Joined([held(one), Sparse(words), held(other), Sparse(brands)])
    columns = np.array([0, 3, 5, 6, 9, 11], np.int32)
    rows = np.array([8, 2, 0, 6, 3, 0, 1], np.int32)
    dense = joined.rows(rows, columns)
    assert dense.shape == (7, joined.width(columns)) == (7, 11)
    np.testing.assert_array_equal(dense[2, :5], [*one[0], *other[0]])
    np.testing.assert_array_equal(dense[2, 5:], [*words[0, [0, 3, 5]], *brands[0, [0, 3, 5]]])
    table = random.normal(size=(11, 4)).astype(np.float32)
    found, has = joined.product(rows, columns, table)
    np.testing.assert_allclose(found, dense @ table, atol=1e-5)
    assert has.tolist() == dense.any(axis=1).tolist()
    assert not has[1]


def test_without_blocks_there_is_nothing() -> None:
    found, has = Joined([]).product(np.arange(3, dtype=np.int32), np.empty(0, np.int32), np.zeros((0, 2), np.float32))
    assert found.tolist() == [[0.0, 0.0]] * 3
    assert not has.any()
