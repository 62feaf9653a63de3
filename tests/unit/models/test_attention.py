"""A history that is read at once, one that is followed click by click, and attention as it is defined."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from endcap.models import attention
from endcap.models.attention import Reader
from endcap.types import FloatArray, IntArray

Wide = NDArray[np.float64]
ITEMS = np.random.default_rng(0).normal(size=(40, 96)).astype(np.float32)
SIZES = [(16, 2, 3, 8), (64, 2, 2, 50), (96, 2, 2, 70), (20, 5, 3, 130), (24, 1, 1, 20)]
"""Factors, heads, blocks, length: panels that are full and not, events in more than one."""


def _network(factors: int, blocks: int, length: int) -> dict[str, FloatArray]:
    random = np.random.default_rng(1)
    shapes = attention.shapes(factors, blocks, length)
    found = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    found["matrices"] /= np.float32(factors**0.5)
    return found


def _rows(count: int, seed: int = 2) -> IntArray:
    return np.random.default_rng(seed).integers(len(ITEMS), size=count).astype(np.int32)


def _norm(x: Wide, scale: Wide) -> Wide:
    spread = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    found: Wide = (x - x.mean(axis=1, keepdims=True)) / spread * scale[0] + scale[1]
    return found


def _slowly(network: dict[str, FloatArray], events: FloatArray, heads: int) -> Wide:
    """Kang, McAuley 2018, equations 2 to 6, in float64; the norm before each part."""
    wide = {name: value.astype(np.float64) for name, value in network.items()}
    x: Wide = events.astype(np.float64) + wide["places"][: len(events)]
    later = np.triu(np.full((len(events), len(events)), -np.inf), 1)
    for matrices, biases, norms in zip(wide["matrices"], wide["biases"], wide["norms"], strict=True):
        query, key, value = (np.split(_norm(x, norms[0]) @ matrices[at] + biases[at], heads, 1) for at in range(3))
        seen = []
        for asked, given, said in zip(query, key, value, strict=True):
            fits = np.exp(asked @ given.T / np.sqrt(asked.shape[1]) + later)
            seen.append(fits / fits.sum(axis=1, keepdims=True) @ said)
        x = x + np.hstack(seen) @ matrices[3] + biases[3]
        x = x + np.maximum(_norm(x, norms[1]) @ matrices[4] + biases[4], 0) @ matrices[5] + biases[5]
    vector: Wide = _norm(x, wide["last_norm"])[-1]
    return vector


@pytest.mark.parametrize(("factors", "heads", "blocks", "length"), SIZES)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_vector_is_what_the_paper_says(factors: int, heads: int, blocks: int, length: int, share: float) -> None:
    network, items = _network(factors, blocks, length), np.ascontiguousarray(ITEMS[:, :factors])
    rows = _rows(max(int(length * share), 1))
    found = Reader(network, heads).newest(rows, items)
    np.testing.assert_allclose(found, _slowly(network, items[rows], heads), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(("factors", "heads", "blocks", "length"), SIZES)
@pytest.mark.parametrize("at_a_time", [1, 3, 6])
def test_a_history_that_is_followed_has_the_same_vector_to_the_last_bit(
    factors: int, heads: int, blocks: int, length: int, at_a_time: int
) -> None:
    network, items = _network(factors, blocks, length), np.ascontiguousarray(ITEMS[:, :factors])
    follows, forgets, rows = Reader(network, heads), Reader(network, heads, kept=0), _rows(length + 9)
    for end in range(1, rows.size + 1, at_a_time):
        read = rows[max(end - length, 0) : end]  # beyond length, the oldest goes, and all places change
        np.testing.assert_array_equal(follows.newest(read, items), forgets.newest(read, items))
        np.testing.assert_array_equal(follows.newest(read, items), forgets.newest(read, items))


def test_a_history_is_found_again_and_one_that_only_looks_like_it_is_not() -> None:
    network, items = _network(16, 2, 20), np.ascontiguousarray(ITEMS[:, :16])
    reader, rows = Reader(network, 2), _rows(12)
    first = reader.newest(rows, items)
    assert reader.newest(rows.astype(np.int64), items) is first  # nothing was computed
    for other in (rows[1:], rows[::-1], np.append(rows[:-1], (rows[-1] + 1) % 40)):
        np.testing.assert_array_equal(reader.newest(other, items), Reader(network, 2).newest(other, items))
    assert reader.newest(rows, items) is first


def test_items_that_changed_are_read_again() -> None:
    network, items = _network(16, 2, 20), np.ascontiguousarray(ITEMS[:, :16])
    reader, rows = Reader(network, 2), _rows(12)
    before = reader.newest(rows, items)
    changed = items.copy()
    changed[rows[0]] += 1
    after = reader.newest(rows, changed)
    np.testing.assert_array_equal(after, Reader(network, 2).newest(rows, changed))
    assert not np.array_equal(before, after)


def test_no_more_are_remembered_than_is_said() -> None:
    reader, items = Reader(_network(16, 2, 20), 2, kept=3), np.ascontiguousarray(ITEMS[:, :16])
    vectors = [reader.newest(_rows(10, seed), items) for seed in range(4)]
    assert [reader.newest(_rows(10, seed), items) is vectors[seed] for seed in (3, 2, 1, 0)] == [
        True,
        True,
        True,
        False,
    ]


def test_the_memory_of_a_history_is_as_stated() -> None:
    held = [sum(part.nbytes for part in attention._History(factors, 2, 50).kept) for factors in (64, 256)]
    assert [round(attention.OPEN * size / 1e6) for size in held] == [21, 86]


def test_threads_that_follow_the_same_histories_hear_the_same() -> None:
    network, items = _network(16, 2, 20), np.ascontiguousarray(ITEMS[:, :16])
    reader, wrong = Reader(network, 2, kept=4), []
    wanted = {seed: [Reader(network, 2).newest(_rows(n, seed), items) for n in range(1, 20)] for seed in range(6)}

    def ask(shift: int) -> None:
        for step in range(300):
            seed, n = (step + shift) % 6, 1 + step % 19
            if not np.array_equal(reader.newest(_rows(n, seed), items), wanted[seed][n - 1]):
                wrong.append((seed, n))

    threads = [threading.Thread(target=ask, args=(shift,)) for shift in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
