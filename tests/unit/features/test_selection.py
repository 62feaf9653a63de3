"""Feature selection against the definitions, pair by pair."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from tests.unit.models.pasts import random_past

from endcap.features.interactions import visit_shares
from endcap.features.selection import SELECTIONS, group_lasso, mutual_information, pair_marginals, select, variance

VISITS = visit_shares(random_past(5, items=12))
TABLE = csr_array((np.random.default_rng(4).random((12, 6)) < 0.4).astype(np.float64))


def pairs() -> list[tuple[int, int, float]]:
    """Two different items of a visit, with their weight: slow and obvious."""
    found = []
    for visit in VISITS.toarray().astype(np.float64):
        for i, j in product(range(visit.size), repeat=2):
            if i != j and visit[i] * visit[j] > 0:
                found.append((i, j, visit[i] * visit[j]))
    return found


def test_marginals_are_what_an_item_weighs_in_all_pairs() -> None:
    expected = np.zeros(12)
    for i, _, weight in pairs():
        expected[i] += weight
    assert_allclose(pair_marginals(VISITS), expected, rtol=1e-5)


def test_mutual_information_is_that_of_the_table_of_pairs() -> None:
    has, total = TABLE.toarray() > 0, sum(weight for _, _, weight in pairs())
    for column in range(6):
        joint = np.zeros((2, 2))
        for i, j, weight in pairs():
            joint[int(has[i, column]), int(has[j, column])] += weight / total
        one, other = joint.sum(1), joint.sum(0)
        expected = sum(
            joint[a, b] * math.log(joint[a, b] / (one[a] * other[b])) for a in (0, 1) for b in (0, 1) if joint[a, b] > 0
        )
        assert mutual_information(TABLE, VISITS)[column] == pytest.approx(expected, abs=1e-6)


def test_variance_is_that_of_the_items_in_pairs() -> None:
    table, weights = TABLE.toarray(), pair_marginals(VISITS)
    mean = np.average(table, axis=0, weights=weights)
    assert_allclose(variance(TABLE, VISITS), np.average((table - mean) ** 2, axis=0, weights=weights), rtol=1e-6)


def test_group_norms_are_those_of_the_correlations_between_the_sides() -> None:
    table, total = TABLE.toarray(), sum(weight for _, _, weight in pairs())
    mean = np.average(table, axis=0, weights=pair_marginals(VISITS))
    standard = (table - mean) / np.sqrt(variance(TABLE, VISITS))
    cross = sum(weight * np.outer(standard[i], standard[j]) for i, j, weight in pairs()) / total
    assert_allclose(group_lasso(TABLE, VISITS), np.linalg.norm(cross, axis=1), rtol=1e-5)


@pytest.mark.parametrize("how", SELECTIONS)
def test_a_column_that_says_nothing_is_not_chosen(how: str) -> None:
    table = csr_array(np.column_stack([np.ones(12), TABLE.toarray()[:, 0], np.zeros(12)]))
    assert select(table, VISITS, how, 3).tolist() == [1]  # type: ignore[arg-type]  # one of them


@pytest.mark.parametrize("how", SELECTIONS)
def test_the_best_are_chosen_in_the_order_of_their_columns(how: str) -> None:
    scores = SELECTIONS[how](TABLE, VISITS)
    assert select(TABLE, VISITS, how, 2).tolist() == sorted(np.argsort(-scores)[:2].tolist())  # type: ignore[arg-type]


@pytest.mark.parametrize("how", SELECTIONS)
def test_without_visits_there_is_nothing_to_choose_by(how: str) -> None:
    assert select(TABLE, csr_array((0, 12), dtype=np.float32), how, 3).size == 0  # type: ignore[arg-type]


def test_information_prefers_what_goes_together_to_what_is_common() -> None:
    """Items 0 to 3 have the first column, and meet each other only; the second is spread over everything."""
    table = csr_array(np.array([[1, 1], [1, 0], [1, 1], [1, 0], [0, 1], [0, 0], [0, 1], [0, 0]], np.float64))
    visits = csr_array(np.array([[0.25] * 4 + [0] * 4, [0] * 4 + [0.25] * 4]))
    assert select(table, visits, "mutual_information", 1).tolist() == [0]
    assert select(table, visits, "group_lasso", 1).tolist() == [0]
