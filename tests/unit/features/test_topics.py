"""Topics against planted ones, and factors against what they must hold to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from endcap.features import topics as module
from endcap.features.topics import ITEMS_EACH, factors, greatest, topics
from endcap.types import Interactions, Vocabulary

KINDS = 4
EACH = 12
OF = np.repeat(np.arange(KINDS), EACH)
"""Which kind each item is of."""
TEXTS = [(row, f"{('mug', 'lamp', 'scarf', 'candle')[kind]} number {row}") for row, kind in enumerate(OF)]


def visits(pairs: list[tuple[int, int]], items: int, users: int) -> Interactions:
    """Of (user, item)."""
    user, item = np.array(pairs or np.zeros((0, 2)), np.int32).T
    return Interactions(
        users=Vocabulary(map(str, range(users))),
        items=Vocabulary(map(str, range(items))),
        user=user,
        item=item,
        weight=np.ones(user.size, np.float32),
        time=np.zeros(user.size, np.int64),
        session=user,
    )


def shoppers(rows: set[int], users: int = 40) -> Interactions:
    """Each likes one kind, and touches six things of it that are among ``rows``."""
    draw, pairs = np.random.default_rng(0), []
    for user in range(users):
        liked = [row for row in np.flatnonzero(user % KINDS == OF).tolist() if row in rows]
        pairs += [(user, int(row)) for row in draw.permutation(liked)[:6]]
    return visits(pairs, OF.size, users)


EVERYTHING = set(range(OF.size))
NOBODY = visits([], OF.size, 3)


def strongest(shares: csr_array) -> list[set[int]]:
    """By kind: the topics that its items have most of."""
    found = shares.toarray().argmax(axis=1)
    return [set(found[kind == OF].tolist()) for kind in range(KINDS)]


def assert_kinds_are_topics(shares: csr_array) -> None:
    found = strongest(shares)
    assert [len(one) for one in found] == [1] * KINDS
    assert len(set.union(*found)) == KINDS


def test_kinds_are_found_by_words_by_visitors_and_by_both() -> None:
    assert_kinds_are_topics(topics(TEXTS, NOBODY, KINDS, seed=0))
    assert_kinds_are_topics(topics([], shoppers(EVERYTHING), KINDS, seed=0))
    assert_kinds_are_topics(topics(TEXTS, shoppers(EVERYTHING), KINDS, seed=0))


def test_what_nobody_touched_goes_by_its_words_and_what_has_no_words_by_its_visitors() -> None:
    untouched, wordless = {0, 13, 26, 39}, {1, 14, 27, 40}
    told = [(row, "" if row in wordless else text) for row, text in TEXTS]
    assert_kinds_are_topics(topics(told, shoppers(EVERYTHING - untouched), KINDS, seed=0))


def test_what_has_neither_is_of_no_topic() -> None:
    shares = topics(TEXTS[1:], shoppers(EVERYTHING - {0}), KINDS, seed=0).toarray()
    assert_array_equal(shares[0], 0)
    assert (shares[1:].sum(axis=1) > 0).all()


def test_the_seed_decides() -> None:
    past = shoppers(EVERYTHING)
    first, again = topics(TEXTS, past, KINDS, seed=7).toarray(), topics(TEXTS, past, KINDS, seed=7).toarray()
    assert_array_equal(first, again)
    assert not np.array_equal(first, topics(TEXTS, past, KINDS, seed=8).toarray())


@pytest.mark.parametrize(("texts", "items"), [([], 0), ([(0, "blue mug")], 1), (TEXTS[: 2 * ITEMS_EACH - 1], 48)])
def test_a_shop_of_too_few_items_has_none(texts: list[tuple[int, str]], items: int) -> None:
    assert topics(texts, visits([], items, 0), KINDS, seed=0).shape == (items, 0)


def test_there_is_a_topic_for_so_many_items_at_most() -> None:
    assert topics(TEXTS, shoppers(EVERYTHING), 64, seed=0).shape[1] <= OF.size // ITEMS_EACH


def test_of_many_visitors_a_sample_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    past = shoppers(EVERYTHING, users=200)
    of_all = topics([], past, KINDS, seed=0).toarray()
    monkeypatch.setattr(module, "SAMPLE", 100)
    of_some = topics([], past, KINDS, seed=0)
    assert_kinds_are_topics(of_some)
    assert not np.array_equal(of_some.toarray(), of_all)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(max_examples=25)
def test_no_update_makes_the_error_greater_and_no_factor_is_negative(seed: int, k: int) -> None:
    draw, before = np.random.default_rng(seed), np.inf
    table = draw.random((9, 7)) * (draw.random((9, 7)) < 0.5)  # rows and columns of it may be empty
    for rounds in range(4):
        rows, columns = factors(csr_array(table), k, seed, rounds)
        assert min(rows.min(), columns.min()) >= 0.0
        error = float(np.square(table - rows @ columns.T).sum())
        assert error <= before * (1 + 1e-5)
        before = error


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 5))
def test_the_greatest_shares_add_up_to_one(seed: int, items: int, k: int) -> None:
    draw = np.random.default_rng(seed)
    amounts = (draw.random((items, k)) * (draw.random((items, k)) < 0.6)).astype(np.float32)
    shares = greatest(amounts, most=2).toarray()
    assert_allclose(shares.sum(axis=1), amounts.any(axis=1), rtol=1e-6)
    assert ((shares > 0).sum(axis=1) <= 2).all()
    assert ((shares == 0) | (shares >= module.LEAST)).all()


def test_the_greatest_by_hand() -> None:
    amounts = np.array([[3, 1, 0, 2], [0, 0, 0, 5], [9.6, 0.4, 0, 0]], np.float32)
    expected = np.array([[0.6, 0, 0, 0.4], [0, 0, 0, 1], [1, 0, 0, 0]])
    assert_allclose(greatest(amounts, 2).toarray(), expected)
