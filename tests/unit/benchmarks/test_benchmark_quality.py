"""The quality benchmark on a ring of items: its search, its stages, their resumption, ensembles, verdict and pages."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from tests.unit.benchmarks.given import Given

import quality_page
import quality_stages
from endcap.config import StateConfig
from endcap.evaluation.offline import Case
from endcap.evaluation.problems import Problem, Touches, leave_last_out_problem
from endcap.events.schema import Event
from endcap.features.interactions import InteractionBuilder
from endcap.models.ensemble import scaled
from endcap.state.fold import State, apply
from endcap.types import Entry, Query
from peers.exchange import Asked
from quality_data import DATA, Data, Setting
from quality_ensembles import compare_stage, run_ensemble
from quality_lists import LENGTH, Proposed, pools, propose, top
from quality_models import FAMILIES, Family, steps
from quality_peers import Peer
from quality_stages import Place, read, run_model


def answered(first: dict[str, object], axes: dict[str, tuple[object, ...]], good: dict[str, object]) -> list[object]:
    """What is tried where a configuration is the better the more of ``good`` it has."""
    search = steps(first, axes)
    one, best = next(search), -1
    tried: list[object] = []
    while True:
        tried.append(one)
        value = sum(one.get(name) == wanted for name, wanted in good.items())
        try:
            one = search.send(value > best)
        except StopIteration:
            return tried
        best = max(best, value)


def test_the_search_keeps_what_is_better_and_tries_nothing_twice() -> None:
    tried = answered({"a": 0}, {"a": (1, 2), "b": (1,)}, {"a": 2, "b": 1})
    assert tried == [{"a": 0}, {"a": 1}, {"a": 2}, {"a": 2, "b": 1}, {"a": 1, "b": 1}]


CASE = Case(Query(history=np.array([1], np.int32)), np.array([2], np.int32), np.array([1], np.int32))


@pytest.mark.parametrize(("hide", "items"), [(True, [2, 3]), (False, [1, 2, 3])])
def test_lists_leave_out_what_was_seen_where_it_is_hidden(hide: bool, items: list[int]) -> None:
    found = propose(Given(0.0, 8.0, 4.0, 2.0, -1.0), [CASE], hide)
    assert found.items[0, : len(items) + 1].tolist() == [*items, -1]
    assert found.items.shape == (1, LENGTH)
    assert found.best[0] == 8.0


@pytest.mark.parametrize(("unseen", "expected"), [(False, [0.5, 0.25]), (True, [1.0, 0.5])])
def test_a_pool_holds_the_parts_of_a_blend(unseen: bool, expected: list[float]) -> None:
    members = [Given(0.0, 8.0, 4.0, 2.0), Given(3.0, 0.0, 0.0, 1.0)]
    (pool,) = pools([propose(member, [CASE], hide_seen=True) for member in members], deep=2, unseen=unseen)
    assert pool.rows.tolist() == [0, 2, 3]
    np.testing.assert_allclose(pool.parts, [[0.0, *expected], [1.0, 0.0, 1 / 3]])
    assert top(pool, pool.parts[0], 3).tolist() == [2, 3, -1]


def test_a_peer_is_told_all_there_is(tmp_path: Path) -> None:
    told = Asked(
        np.array([0, 1]), np.array([2, 3]), 2, 4, np.array([1, -1]), np.array([3, 2, 2]), np.array([0, 1, 3]), True, 20
    )  # fmt: skip
    told.save(tmp_path / "asked.npz")
    heard = Asked.load(tmp_path / "asked.npz")
    assert [history.tolist() for history in heard.histories()] == [[3], [2, 2]]
    assert (heard.n_users, heard.n_items, heard.hide_seen, heard.k) == (2, 4, True, 20)


ECHO = """
import numpy as np
from peers.exchange import main
def answer(asked, settings, folder):
    items = np.array([np.pad(one, (0, asked.k - one.size), constant_values=-1) for one in asked.histories()])
    return items, np.full(items.shape, settings["score"])
main(answer)
"""


def test_a_peer_hears_only_of_items_that_were_there_when_it_learnt(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    builder = InteractionBuilder()
    state = State(StateConfig())
    event = Event("click", 1, user_id="u", item_id="old")
    apply(state, Entry(1, 1, event))
    builder.add(state, event)
    peer = Peer(Path(sys.executable), str(tmp_path / "echo.py"), {"score": 2.0}, builder.build(state))
    found = peer.propose([Case(Query(history=np.array([0, 1, 0], np.int32)), np.array([0]), np.array([0]))], False)
    assert found.items[0, :3].tolist() == [0, 0, -1]
    assert found.best.tolist() == [2.0]


def ring(_folder: Path) -> Problem:
    """Everybody walks the items in one ring, each from another start."""
    rows = [(f"u{user}", f"i{(user + step) % 30}", step * 100) for step in range(6) for user in range(90)]
    users, items, times = zip(*rows, strict=True)
    return leave_last_out_problem(Touches(users, items, np.array(times, np.int64), has_clock=False))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    data = Data("Ring", "next item", ring, ("train", "refit"), "ndcg@10", ("ndcg@10", "recall@10"), hide_seen=True)
    monkeypatch.setitem(DATA, "ring", data)
    return Place(tmp_path, tmp_path / "results", tmp_path / "work", seconds=600, most_tried=3)


def test_a_stage_goes_on_where_it_was(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[object] = []
    whole = Family.fitted

    def counted(self: Family, values: dict[str, object], *rest: object) -> object:
        fitted.append(values)
        return whole(self, values, *rest)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(Family, "fitted", counted)
    setting = Setting(DATA["ring"], place.data, place.work)
    run_model(place, setting, "ring", "itemknn")
    stage = read(place.result("ring", "itemknn"))
    assert [one.values for one in stage.tried] == [{}, {"similarity": "cosine"}, fitted[2]]
    assert len(fitted) == 4  # three tried, and the best one again for refit
    assert set(stage.final) == {"train", "refit"}
    assert stage.chosen.validation["ndcg@10"] == max(one.validation["ndcg@10"] for one in stage.tried)
    assert stage.final["train"].figures == stage.chosen.test
    run_model(place, setting, "ring", "itemknn")
    assert len(fitted) == 4
    del stage.tried[2:]  # killed after the second
    stage.final = {}
    quality_stages.write(place.result("ring", "itemknn"), stage)
    run_model(place, setting, "ring", "itemknn")
    assert len(read(place.result("ring", "itemknn")).tried) == 3


def test_from_the_models_to_the_pages(place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setting = Setting(DATA["ring"], place.data, place.work)
    for model in ("popularity", "itemknn", "session_knn"):
        run_model(place, setting, "ring", model)
    for ensemble in ("blend", "rrf", "stacking"):
        run_ensemble(place, setting, "ring", ensemble)
    compare_stage(place, setting, "ring")
    ahead = read(place.result("ring", "stacking")).final["refit"].figures["ndcg@10"]
    assert ahead >= read(place.result("ring", "popularity")).final["refit"].figures["ndcg@10"]
    pages = {name: tmp_path / f"{name}.md" for name in ("quality", "quality-tried")}
    for name, page in pages.items():
        page.write_text(f"<!-- {name} -->\n<!-- /{name} -->\n")
    monkeypatch.setattr(quality_page, "PAGE", pages["quality"])
    monkeypatch.setattr(quality_page, "TRIED", pages["quality-tried"])
    quality_page.write_pages(place.results)
    text = pages["quality"].read_text()
    assert "## Ring" in text
    assert "| `stacking` (ensemble) |" in text
    assert "the ensemble that validation chooses" in text
    assert pages["quality-tried"].read_text().count("| `itemknn` |") == 3


def test_a_blend_over_lists_has_the_parts_of_a_blend_over_models() -> None:
    models = [Given(0.0, 8.0, 4.0, 2.0), Given(3.0, 0.0, 0.0, 1.0)]
    lists = [propose(model, [CASE], hide_seen=False) for model in models]
    (pool,) = pools(lists, deep=LENGTH, unseen=False)
    whole = scaled([model.given for model in models], [1.0, 1.0])
    np.testing.assert_allclose(pool.parts, whole[:, pool.rows])


def test_lists_are_kept_whole(tmp_path: Path) -> None:
    found = propose(Given(1.0, 2.0), [CASE], hide_seen=False)
    found.save(tmp_path / "a" / "lists.npz")
    again = Proposed.load(tmp_path / "a" / "lists.npz")
    assert again.items.tolist() == found.items.tolist()
    assert again.scores.tolist() == found.scores.tolist()


def test_every_family_names_settings_that_are_there() -> None:
    for family in FAMILIES.values():
        if family.peer is None and family.there() and family.settings:
            settings = getattr(import_module(f"endcap.models.{family.module}"), family.settings)
            for kind in family.kinds:
                first = family.first(kind)
                for values in (first, *({**first, name: one} for name, many in family.axes.items() for one in many)):
                    settings(**values)  # raises for a name that is not one of its fields
