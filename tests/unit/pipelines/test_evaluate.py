"""The evaluation of real models on a small made-up shop: what is fitted on what, and what is reported."""

from __future__ import annotations

import numpy as np
import pytest

from endcap.encoders.cache import ItemVectors
from endcap.errors import DataError
from endcap.evaluation.offline import Settings
from endcap.evaluation.past import Past
from endcap.evaluation.problems import Touches, leave_last_out_problem
from endcap.models.itemknn import ItemKNN
from endcap.models.popularity import Popularity
from endcap.models.session_knn import SessionKNN
from endcap.pipelines.evaluate import Fit, Kit, Plan, Watch, background, run
from endcap.protocols import Scorer
from endcap.state.fold import State
from endcap.types import FloatArray, Query, Ranking

RNG = np.random.default_rng(0)


def chains(users: int = 60, items: int = 12, length: int = 7) -> Touches:
    """Everybody walks the items in one ring, from another start: what follows what is all there is to learn."""
    starts = RNG.integers(0, items, users)
    rows = [(f"user{u}", f"item{(starts[u] + step) % items}", step) for step in range(length) for u in range(users)]
    return Touches(
        [user for user, _, _ in rows],
        [item for _, item, _ in rows],
        np.array([step for _, _, step in rows], np.int64) * 100,
        has_clock=False,
    )


PROBLEM = leave_last_out_problem(chains())


def no_vectors(_state: State) -> ItemVectors | None:
    return None


def itemknn(past: Past) -> Scorer:
    return ItemKNN().fit(past.interactions)


def popular(past: Past) -> Scorer:
    return Popularity(past.state.popularity, "popular")


def session_knn(past: Past) -> Scorer:
    return SessionKNN(past.state.sessions)


KIT = Kit({"itemknn": itemknn, "popular": popular, "session_knn": session_knn}, no_vectors)
PLAN = Plan(fit="train", settings=Settings(ks=(1, 3), hide_seen=True, samples=50))


def test_every_model_and_their_blend_are_judged() -> None:
    found = run(PROBLEM, KIT, PLAN)
    rows = {row.model: row for row in found.report.table.rows}
    assert list(rows) == ["itemknn", "popular", "session_knn", "blend"]
    recall = {name: row.estimates["recall@3"].mean for name, row in rows.items()}
    assert recall["session_knn"] > recall["popular"]  # what follows what can be learnt
    assert recall["blend"] >= recall["popular"]
    assert sum(found.report.blend_weights.values()) == pytest.approx(1.0)
    assert found.questions.people[:2] == ("user0", "user1")
    assert found.report.n_items == 12
    assert found.report.fit == "train"
    assert found.report.config["state.max_history"] == 200


@pytest.mark.parametrize("fit", ["train", "refit"])
def test_every_ensemble_can_be_named(fit: Fit) -> None:
    names = ("session_knn", "popular", "stacking", "rrf", "blend")
    problem = leave_last_out_problem(chains(users=300))  # enough to grow trees from
    found = run(problem, KIT, Plan(fit=fit, settings=PLAN.settings, names=names))
    recall = {row.model: row.estimates["recall@3"].mean for row in found.report.table.rows}
    assert tuple(recall) == names
    assert set(found.report.blend_weights) == {"session_knn", "popular"}
    assert recall["stacking"] >= recall["popular"]
    assert recall["rrf"] >= recall["popular"]
    alone = run(problem, KIT, Plan(fit=fit, settings=PLAN.settings, names=("stacking",)))
    assert [row.model for row in alone.report.table.rows] == ["stacking"]  # of all models, none of them shown


def test_seen_items_are_in_no_list() -> None:
    found = run(PROBLEM, KIT, PLAN)
    for row in found.report.table.rows:
        for case, items in zip(found.questions.cases, row.lists.items, strict=True):
            assert not np.isin(items[items >= 0], case.seen).any()


@pytest.mark.parametrize(("fit", "fitted_on"), [("train", [5 * 60]), ("refit", [5 * 60, 6 * 60])])
def test_what_the_models_are_fitted_on(fit: Fit, fitted_on: list[int]) -> None:
    sizes: list[int] = []
    asked_of: list[int] = []

    class Spy:
        """Notes how long the histories are that it is asked with."""

        def __init__(self, past: Past) -> None:
            sizes.append(len(past.interactions))
            self.inner = SessionKNN(past.state.sessions)

        def recommend(self, query: Query, k: int) -> Ranking:
            return Ranking.top(self.scores(query), k, above=0.0)

        def scores(self, query: Query) -> FloatArray:
            asked_of.append(query.history.size)
            return self.inner.scores(query)

    kit = Kit({"spy": Spy, "popular": popular}, no_vectors)
    run(PROBLEM, kit, Plan(fit=fit, settings=PLAN.settings))
    assert sizes == fitted_on
    assert set(asked_of) == {5, 6}  # five while weights are learnt; at test time with the validation item


def test_only_the_named_are_judged() -> None:
    def names(*wanted: str) -> list[str]:
        found = run(PROBLEM, KIT, Plan(fit="train", settings=PLAN.settings, names=wanted))
        return [row.model for row in found.report.table.rows]

    assert names("popular") == ["popular"]
    assert names("blend") == ["blend"]
    assert names("session_knn", "popular") == ["session_knn", "popular"]
    assert names("blend", "popular") == ["blend", "popular"]


def test_the_blend_is_of_the_named_ones() -> None:
    found = run(PROBLEM, KIT, Plan(fit="train", settings=PLAN.settings, names=("blend", "popular", "itemknn")))
    assert set(found.report.blend_weights) == {"popular", "itemknn"}


def test_an_unknown_name_says_which_there_are() -> None:
    plan = Plan(names=("nonsense",))
    with pytest.raises(DataError, match="no model 'nonsense': choose among itemknn, popular, session_knn, blend"):
        run(PROBLEM, KIT, plan)


def test_fitting_again_gives_the_same_lists() -> None:
    first, second = (run(PROBLEM, KIT, PLAN).report.table for _ in range(2))
    for one, other in zip(first.rows, second.rows, strict=True):
        assert (one.lists.items == other.lists.items).all()
        assert one.estimates["recall@3"] == other.estimates["recall@3"]  # the interval too


def test_progress_is_told() -> None:
    steps: list[str] = []
    folds: list[str] = []

    def entries(of: object, what: str) -> object:
        folds.append(what)
        return of

    watch = Watch(entries=entries, step=steps.append)  # type: ignore[arg-type]  # passes its entries on
    run(PROBLEM, KIT, PLAN, watch)
    assert steps == ["itemknn", "popular", "session_knn", "blend"]
    assert folds == ["learning", "what is known at test time"]


def test_likeness_is_by_content_where_there_are_vectors() -> None:
    def vectors(state: State) -> ItemVectors:
        found = ItemVectors(2)
        found.set(np.array([state.items.row("item0")], np.int32), np.array([[0.0, 1.0]], np.float32))
        return found

    def recorded(past: Past) -> Scorer:
        back = background(past)
        assert back.likeness == "content"
        assert back.vectors.shape == (12, 2)
        assert back.vectors[past.state.items.row("item0")].tolist() == [0.0, 1.0]
        assert back.vectors.sum() == 1.0
        return popular(past)

    found = run(PROBLEM, Kit({"popular": recorded}, vectors), PLAN)
    assert found.report.table.likeness == "content"
    assert run(PROBLEM, KIT, PLAN).report.table.likeness == "co-occurrence"


def test_popularity_is_counted_before_the_test() -> None:
    found = run(PROBLEM, KIT, PLAN)
    back = background(found.past)
    assert back.n_users == 60
    assert back.popularity.sum() == 6 * 60  # the last item of each user is not in it
