"""Transitions against the sums of its docstring, written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.models.pasts import follow, past, random_past

from endcap.errors import ConfigError, ModelError
from endcap.models.transitions import Transitions, TransitionsSettings
from endcap.types import MS_PER_DAY, Interactions, Query

PAST = random_past(3)
SETTINGS = TransitionsSettings(window=3, decay=0.7, back=0.3, damp_from=0.5, damp_to=0.25, recency=0.6)


def slow_weights(interactions: Interactions, settings: TransitionsSettings) -> dict[tuple[int, int], float]:
    """The weights of the module's docstring, pair by pair."""
    group = interactions.user if settings.by == "user" else interactions.session
    mean, newest = float(interactions.weight.mean()), int(interactions.time.max())
    paths: dict[int, list[int]] = {}
    for place, owner in enumerate(group.tolist()):
        paths.setdefault(owner, []).append(place)
    found: dict[tuple[int, int], float] = {}
    for path in paths.values():
        for at, first in enumerate(path):
            for apart, then in enumerate(path[at + 1 : at + 1 + settings.window], 1):
                one, other = int(interactions.item[first]), int(interactions.item[then])
                value = settings.decay ** (apart - 1) * float(interactions.weight[then]) / mean
                if settings.half_life_days is not None:
                    age = (newest - int(interactions.time[then])) / MS_PER_DAY
                    value *= 0.5 ** (age / settings.half_life_days)
                if one != other:
                    found[one, other] = found.get((one, other), 0.0) + value
                    found[other, one] = found.get((other, one), 0.0) + settings.back * value
    often = np.bincount(interactions.item)
    return {
        (i, j): value / (often[i] ** settings.damp_from * often[j] ** settings.damp_to)
        for (i, j), value in found.items()
    }


@pytest.mark.parametrize("by", ["user", "session"])
@pytest.mark.parametrize("half_life_days", [None, 20.0])
def test_a_history_adds_up_what_came_after_its_items(by: str, half_life_days: float | None) -> None:
    settings = TransitionsSettings(by, 3, 0.7, 0.3, 0.5, 0.25, half_life_days, recency=0.6)  # type: ignore[arg-type]
    weights = slow_weights(PAST, settings)
    scores = Transitions(settings).fit(PAST).scores(follow(4, 0, 2, weights=(1.0, 3.0, 2.0)))
    strengths = {4: 0.36 * 1.0, 0: 0.6 * 3.0, 2: 2.0}
    expected = [sum(one * weights.get((i, j), 0.0) for i, one in strengths.items()) for j in range(20)]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_the_order_matters() -> None:
    plain = TransitionsSettings(window=1, damp_from=0.0, damp_to=0.0)
    model = Transitions(plain).fit(past((0, "abc"), (1, "abd"), (2, "abd")))
    assert model.recommend(follow(0), 9).items.tolist() == [1]
    assert model.recommend(follow(1), 9).items.tolist() == [3, 2, 0]  # twice; once; three times backwards: 0.9


def test_by_session_the_list_follows_from_the_session() -> None:
    model = Transitions(TransitionsSettings(by="session")).fit(past((0, "ab"), (0, "cd")))
    query = Query(history=np.array([0, 2], np.int32), session=np.array([2], np.int32))
    assert model.recommend(query, 9).items.tolist() == [3]
    assert model.recommend(follow(0, 2), 9).items.tolist() == [3, 1]


def test_contributions_add_up_to_the_score() -> None:
    model = Transitions(SETTINGS).fit(PAST)
    items = np.array([*range(20), 99, -1], np.int32)
    query = follow(3, 99, 8, 3, weights=(4.0, 9.0, 2.0, 1.0))
    parts = model.contributions(query, items)
    np.testing.assert_allclose(parts[:, :20].sum(axis=0), model.scores(query), rtol=1e-5)
    assert not parts[1].any()
    assert not parts[:, 20:].any()
    alone = model.contributions(follow(8), items)
    np.testing.assert_allclose(parts[2], alone[0] * 2.0 * 0.6, rtol=1e-5)


def test_contributions_of_a_session_fall_to_the_newest_place_in_the_history() -> None:
    model = Transitions(TransitionsSettings(by="session")).fit(PAST)
    query = Query(history=np.array([5, 1, 5], np.int32), session=np.array([5, 1, 5], np.int32))
    items = np.arange(20, dtype=np.int32)
    parts = model.contributions(query, items)
    assert not parts[0].any()
    np.testing.assert_allclose(parts.sum(axis=0), model.scores(query), rtol=1e-5)


def test_only_the_best_successors_are_kept() -> None:
    full = Transitions(SETTINGS).fit(PAST)
    few = Transitions(replace(SETTINGS, neighbours=4)).fit(PAST)
    for item in range(20):
        whole, cut = full.recommend(follow(item), 4), few.recommend(follow(item), 20)
        assert cut.items.tolist() == whole.items.tolist()
    assert np.diff(few.to_arrays()["edges"]).max() == 4


def test_a_long_history_speaks_with_its_newest_events() -> None:
    model = Transitions(TransitionsSettings(recent=2)).fit(PAST)
    np.testing.assert_array_equal(model.scores(follow(*[7] * 10_000, 3, 8)), model.scores(follow(3, 8)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"by": "day"}, "by is 'day': use 'user' or 'session'"),
        ({"window": 0}, "window is 0: it must be at least 1"),
        ({"recency": 1.5}, r"recency is 1.5: it must be above 0 and at most 1"),
    ],
)
def test_settings_out_of_range(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Transitions(TransitionsSettings(**wrong))  # type: ignore[arg-type]  # that is what is tested


def test_arrays_that_do_not_fit_are_refused() -> None:
    arrays = dict(Transitions().fit(past((0, "ab"), n_items=2)).to_arrays())
    with pytest.raises(ModelError, match="near names items 0 to 5 of 2: train again"):
        Transitions().from_arrays({**arrays, "near": np.array([5, 0], np.int32)})
    with pytest.raises(ModelError, match=r"edges end at \[2\], near has 1 and weight 2: train again"):
        Transitions().from_arrays({**arrays, "near": np.array([1], np.int32)})


def test_memory_is_what_is_stated() -> None:
    arrays = Transitions().fit(PAST).to_arrays()
    assert sum(array.nbytes for array in arrays.values()) == 8 * arrays["near"].size + 8 * (20 + 1)
