"""Sequence models on histories whose next item is known."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tests.unit.models.pasts import follow

from endcap.encoders.cache import ItemVectors
from endcap.errors import NotFittedError
from endcap.models.sequence import Around, SequenceModel
from endcap.models.two_tower import TwoTower
from endcap.nn.shapes import Body, SequenceSettings
from endcap.types import MS_PER_DAY, FloatArray, Interactions, Query, TimeArray, Vocabulary

SETTINGS = SequenceSettings(
    factors=16, length=8, window=3, dropout=0.0, item_dropout=0.0, label_smoothing=0.0, held_out=0.0, epochs=8
)
SETTINGS = replace(SETTINGS, batch_size=16, learning_rate=0.02)


def histories(items: NDArray[np.integer], times: TimeArray | None = None, n_items: int = 12) -> Interactions:
    """``items`` (users, events)."""
    users, events = items.shape
    user = np.repeat(np.arange(users, dtype=np.int32), events)
    return Interactions(
        Vocabulary(f"u{row}" for row in range(users)),
        Vocabulary(f"i{row}" for row in range(n_items)),
        user,
        items.ravel().astype(np.int32),
        np.ones(items.size, np.float32),
        np.arange(items.size, dtype=np.int64) if times is None else times.ravel().astype(np.int64),
        user,
    )


def round_and_back(users: int = 48) -> Interactions:
    """Half of them go round 0 to 11 upwards, half downwards: the last item alone does not say what comes next."""
    first = np.random.default_rng(0).integers(12, size=(users, 1))
    way = (2 * (np.arange(users) % 2) - 1)[:, None]
    return histories((first + way * np.arange(6)) % 12)


@pytest.mark.parametrize("body", ["sasrec", "gru", "lstm", "caser"])
@pytest.mark.parametrize("temperature", [0.0, 0.1])
def test_the_order_says_what_comes_next(body: Body, temperature: float) -> None:
    epochs = 20 if body == "lstm" else 8
    model = SequenceModel(replace(SETTINGS, body=body, temperature=temperature, epochs=epochs)).fit(round_and_back())
    assert model.recommend(follow(3, 4, 5), 1).items.tolist() == [6]
    assert model.recommend(follow(7, 6, 5), 1).items.tolist() == [4]


def test_gbce_learns_it_too() -> None:
    model = SequenceModel(replace(SETTINGS, body="caser", loss="gbce", negatives=4, epochs=20)).fit(round_and_back())
    assert model.recommend(follow(3, 4, 5), 1).items.tolist() == [6]
    assert model.recommend(follow(7, 6, 5), 1).items.tolist() == [4]


def along(users: int = 48) -> Interactions:
    """All of them go round 0 to 11 upwards."""
    return histories((np.random.default_rng(0).integers(12, size=(users, 1)) + np.arange(6)) % 12)


@pytest.mark.parametrize("make", [SequenceModel, TwoTower])
def test_a_small_shop_is_learnt_with_the_defaults(make: Callable[[], SequenceModel]) -> None:
    """Of 48 users a batch of 64 would make one step an epoch, after a few of which training stops."""
    model = make().fit(along())
    asked = [follow(*((at + np.arange(3)) % 12).tolist()) for at in range(12)]
    assert sum((at + 3) % 12 in model.recommend(query, 3).items for at, query in enumerate(asked)) == 12


def test_the_towers_do_not_see_the_order() -> None:
    model = TwoTower(replace(SETTINGS, body="sasrec")).fit(along())
    assert model.settings.body == "bag"
    np.testing.assert_allclose(model.scores(follow(3, 4, 5)), model.scores(follow(5, 3, 4)), atol=1e-4)


@pytest.mark.parametrize("body", ["sasrec", "gru"])
def test_one_that_is_like_another_answers_as_it_does_over_its_own_features(body: Body) -> None:
    kinds, settings = _kinds(12), replace(SETTINGS, body=body, epochs=2, item_dropout=0.3)
    learnt = SequenceModel(settings, (kinds,)).fit(along())
    other = SequenceModel(settings, (_kinds(13),)).like(learnt)
    assert other.scores(follow(1, 2))[:12].tolist() == pytest.approx(learnt.scores(follow(1, 2)).tolist(), abs=1e-4)
    assert other.scores(follow(1, 2)).size == 13
    with pytest.raises(NotFittedError, match="was asked before it was fitted"):
        SequenceModel(settings).like(SequenceModel(settings))


def _kinds(n_items: int) -> ItemVectors:
    """Items of four kinds in turn."""
    held, vectors = ItemVectors(4), np.eye(4, dtype=np.float32)[np.arange(n_items) % 4]
    held.set(np.arange(n_items, dtype=np.int32), vectors)
    return held


def test_a_new_item_ranks_by_its_features() -> None:
    """What follows an item is of the next kind; item 12 comes after the training, and is of kind 0."""
    random, kinds = np.random.default_rng(0), _kinds(12)
    items = (random.integers(3, size=(48, 6)) * 4 + (random.integers(4, size=(48, 1)) + np.arange(6)) % 4) % 12
    model = SequenceModel(replace(SETTINGS, item_dropout=0.3), (kinds,)).fit(histories(items))
    before = model.recommend(follow(1, 2, 3), 3).items.tolist()
    assert sorted(before) == [0, 4, 8]
    kinds.set(np.array([12], np.int32), np.eye(4, dtype=np.float32)[:1])
    assert sorted(model.recommend(follow(1, 2, 3), 4).items.tolist()) == [0, 4, 8, 12]
    assert model.recommend(follow(12), 3).items.tolist() == model.recommend(follow(12, 12_000), 3).items.tolist()
    assert set(model.recommend(follow(12), 3).items.tolist()) == {1, 5, 9}


def _after_a_pause() -> Interactions:
    """Item 0, then 1 within the day, or 2 after a hundred days."""
    late = np.arange(64) % 2
    items = np.stack([np.zeros(64, np.int64), 1 + late], axis=1)
    return histories(items, np.stack([np.zeros(64, np.int64), late * 100 * MS_PER_DAY], axis=1))


def _asked(days: int) -> Query:
    return Query(np.zeros(1, np.int32), times=np.full(1, MS_PER_DAY), now=(days + 1) * MS_PER_DAY)


def test_the_visitors_profile_tells_apart_what_the_items_do_not() -> None:
    with_it = SequenceModel(replace(SETTINGS, profile=True)).fit(_after_a_pause())
    without = SequenceModel(SETTINGS).fit(_after_a_pause())
    assert [with_it.recommend(_asked(days), 1).items.tolist() for days in (0, 100)] == [[1], [2]]
    assert without.recommend(_asked(0), 9).items.tolist() == without.recommend(_asked(100), 9).items.tolist()


def test_money_is_read_where_there_are_prices() -> None:
    prices = ItemVectors(1)
    prices.set(np.arange(4, dtype=np.int32), np.array([[100.0], [1.0], [5.0], [5.0]], np.float32))
    model = SequenceModel(replace(SETTINGS, profile=True), (), prices)
    model.fit(histories(np.array([[0, 2], [1, 3]] * 16), n_items=4))
    model.user_vector(Query())
    heard = [model._heard(follow(row))[1].tolist() for row in (0, 1)]
    assert heard[0] == pytest.approx([0.0, np.log(2), np.log(101)], abs=1e-6)
    assert heard[1] == pytest.approx([0.0, np.log(2), np.log(2)], abs=1e-6)


class KilledError(Exception):
    """In the middle of it."""


def test_a_fit_that_was_killed_goes_on_to_the_same_model(tmp_path: Path) -> None:
    past, settings = round_and_back(), replace(SETTINGS, epochs=4, dropout=0.2, held_out=0.2)

    def stop(done: int, _: int) -> None:
        if done == 20:
            raise KilledError

    with pytest.raises(KilledError):
        SequenceModel(settings, around=Around(folder=tmp_path, progress=stop)).fit(past)
    steps: list[int] = []
    went_on = SequenceModel(settings, around=Around(tmp_path, progress=lambda done, _: steps.append(done))).fit(past)
    assert min(steps) > 16  # not from the start
    for name, array in SequenceModel(settings).fit(past).to_arrays().items():
        np.testing.assert_array_equal(went_on.to_arrays()[name], array)


def test_the_board_shows_loss_metrics_and_the_items(tmp_path: Path) -> None:
    model = SequenceModel(replace(SETTINGS, epochs=1, held_out=0.2), around=Around(board=tmp_path))
    model.fit(round_and_back())
    names = next(tmp_path.rglob("metadata.tsv")).read_text().split()
    assert names == [f"i{row}" for row in range(12)]
    assert list(tmp_path.glob("events.out*"))


def _said(script: str) -> str:
    """What a process of its own prints."""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return run.stdout.strip()


def test_without_torch_training_says_what_to_install() -> None:
    script = """
import sys
sys.modules["torch"] = None
from tests.unit.models.pasts import random_past
from endcap.models.sequence import SequenceModel
try:
    SequenceModel().fit(random_past(1))
except Exception as error:
    print(type(error).__name__, error)
"""
    assert "ModelError" in _said(script)
    assert "pip install 'endcap[train]'" in _said(script)


@pytest.mark.parametrize("body", ["sasrec", "gru"])
def test_it_serves_without_torch(tmp_path: Path, body: Body) -> None:
    model = SequenceModel(replace(SETTINGS, body=body, epochs=1)).fit(round_and_back())
    save_file(dict(model.to_arrays()), tmp_path / "arrays")
    script = f"""
import sys
from dataclasses import replace
import numpy as np
from safetensors.numpy import load_file
from endcap.models.sequence import SequenceModel
from endcap.nn.shapes import SequenceSettings
from endcap.types import Query
model = SequenceModel(SequenceSettings(factors=16, length=8, window=3, body={body!r}))
model.from_arrays(load_file({str(tmp_path / "arrays")!r}))
print(model.recommend(Query(np.array([3, 4], np.int32)), 5).items.tolist(), "torch" in sys.modules)
"""
    assert _said(script) == f"{model.recommend(follow(3, 4), 5).items.tolist()} False"


def test_the_model_takes_the_memory_that_is_stated() -> None:
    model = SequenceModel(replace(SETTINGS, epochs=1)).fit(round_and_back())
    model.scores(follow(1))
    held: list[FloatArray] = [model._fitted(), model._items, model._compared]
    assert sum(one.nbytes for one in held) == 12 * 12 * 16
    body = sum(one.nbytes for name, one in model.to_arrays().items() if name.startswith("body."))
    assert 4 * 6 * 2 * 16**2 <= body <= 4 * (6 * 2 + 1) * 16**2 + 4 * (10 * 2 + 10) * 16
