"""GET /v1/interests, and a user's themes, of a version that a training made of a small shop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from endcap.features.interactions import InteractionBuilder
from endcap.profiles.interests import Themes


def test_before_a_training_there_are_none(shop: Any) -> None:
    answer = shop.call("GET", "/v1/interests").json()
    assert answer == {"model": "untrained", "themes": []}


def test_themes_of_the_shop_and_of_a_user(shop: Any) -> None:
    for at in range(10):
        for kind in ("mug", "candle"):
            item = {"item_id": f"{kind}{at}", "title": f"{kind} no {at}"}
            assert shop.call("PUT", f"/v1/items/{kind}{at}", json=item).status_code == 200
    for _ in range(3):
        shop.call("POST", "/v1/events", json={"type": "view", "user_id": "themed", "item_id": "mug3"})
    engine = shop.context.live.engine
    vectors = np.zeros((len(engine.state.items), 2), np.float32)
    texts = []
    for row, item in engine.state.shop.listed_items():
        of = next((at for at, name in enumerate(("mug", "candle")) if item.item_id.startswith(name)), None)
        if of is not None:
            vectors[row, of] = 1.0
            texts.append((row, item.title))
    themes = engine.model.themes.fit(texts, vectors, InteractionBuilder().build(engine.state), seed=0)
    try:
        found = shop.call("GET", "/v1/interests").json()["themes"]
        assert [one["keywords"] for one in found] == [["mug"], ["candle"]], "the greatest demand first"
        assert found[0]["demand"] > found[1]["demand"] == 0.0
        assert (found[0]["items"], found[0]["examples"][0]) == (10, "mug3")
        assert shop.call("GET", "/v1/users/themed").json()["interests"]["theme"] == [
            {"name": "mug", "weight": pytest.approx(1.0)}
        ]
    finally:
        themes.from_arrays(Themes(1.0).fit([], vectors, InteractionBuilder().build(engine.state), 0).to_arrays())
