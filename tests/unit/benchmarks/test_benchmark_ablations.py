"""The ablation of the neural models: what is kept from training, the comparison, and the page."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.unit.benchmarks.given import Given

import ablations
from endcap.config import StateConfig
from endcap.encoders.cache import ItemVectors
from endcap.evaluation.offline import Case
from endcap.evaluation.past import Past
from endcap.evaluation.significance import LEVEL
from endcap.state.fold import State
from endcap.types import Interactions, Query, Vocabulary
from pages import BENCHMARKS, filled

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_page_holds_what_was_measured() -> None:
    page = BENCHMARKS.read_text(encoding="utf-8")
    results = msgspec.json.decode((RESULTS / "ablations.json").read_bytes(), type=ablations.Results)
    assert filled(page, "ablations", ablations.figures(results)) == page


def test_a_question_without_the_new_items_is_one_where_nobody_touched_them() -> None:
    new = np.array([False, True, False])
    rows = np.array([0, 1, 2, 1], np.int32)
    query = Query(
        rows, np.array([1, 2, 3, 4], np.float32), np.array([10, 20, 30, 40]), session=rows[2:], user=7, now=50
    )
    found = ablations.without(query, new)
    assert found.history.tolist() == [0, 2]
    assert found.weights.tolist() == [1, 3]
    assert found.times.tolist() == [10, 30]
    assert found.session.tolist() == [2]
    assert (found.user, found.now, found.bought.size) == (7, 50, 0)


def _shop(*wanted: list[int]) -> ablations.Given:
    """Thirty items, of which the last five are new; each case wants some."""
    new = np.arange(30) >= 25
    empty = np.zeros(0, np.int32)
    items = Vocabulary(f"i{row}" for row in range(30))
    past = Interactions(Vocabulary(), items, empty, empty, empty.astype(np.float32), empty.astype(np.int64), empty)
    cases = [Case(Query(), np.array(rows, np.int32)) for rows in wanted]
    return ablations.Given("retail", Past(State(StateConfig()), past, ItemVectors(4)), cases, new)


def test_new_items_are_judged_among_all_and_among_themselves() -> None:
    scores = [30.0 - row for row in range(30)]  # the new ones, 25 to 29, are behind all others
    found = ablations.columns(Given(*scores), _shop([0], [26], [0, 24, 29]))
    np.testing.assert_allclose(found["ndcg"], [1.0, np.nan, 1 / (1 + 1 / np.log2(3))], rtol=1e-6)
    np.testing.assert_allclose(found["recall"], [1.0, np.nan, 0.5])
    np.testing.assert_allclose(found["cold_recall"], [np.nan, 0.0, 0.0])
    np.testing.assert_allclose(found["cold_alone"], [np.nan, 1.0, 1.0])
    silent = ablations.columns(Given(*scores[:25]), _shop([26]))
    assert silent["cold_alone"].tolist() == [0.0], "what has no score is not proposed"


def test_each_model_is_held_against_itself_on_ids_alone() -> None:
    random = np.random.default_rng(0)
    base = random.random(200)
    values = {
        ("gru", "ids"): base,
        ("gru", "text"): base + 0.1,
        ("gru", "profile"): base + random.normal(0, 0.2, 200),
        ("ncf", "text"): base,  # its ids are not there yet
    }
    found = ablations.against_ids(values)
    assert list(found) == [("gru", "text"), ("gru", "profile")]
    sure = found["gru", "text"]
    assert (sure.mean, sure.low, sure.high) == pytest.approx((0.1, 0.1, 0.1))
    assert sure.p == pytest.approx(2 / (1 + ablations.SAMPLES), abs=1e-4), "the least, times two comparisons"
    assert found["gru", "profile"].low < 0 < found["gru", "profile"].high
    assert found["gru", "profile"].p > LEVEL


def test_a_group_that_goes_first_stands_last() -> None:
    shop = ablations.Shop("", 0, 0, 0, 0, 0)
    shop.lasso = [
        ablations.Strength(0.0, ["noise", "text"], 0.1),
        ablations.Strength(1.0, ["text"], 0.25),
        ablations.Strength(9.0, [], 0.2),
    ]
    assert [line.split("|")[1:5] for line in ablations._lasso(shop).splitlines()[2:]] == [
        [" 0 ", " kept ", " kept ", " 0.1000 "],
        [" 1 ", " kept ", " dropped ", " 0.2500 "],
        [" 9 ", " dropped ", " dropped ", " 0.2000 "],
    ]
