"""Training with trees: they serve where they are better, parts add up, and a shop without them keeps its blend."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.shops import NOW, item

from endcap import wiring
from endcap.config import Config, TrainConfig
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.models.persistence import Manifest
from endcap.models.stacking import Stacking
from endcap.pipelines.train import STACK
from endcap.serving.engine import Engine, Request
from endcap.types import MS_PER_DAY

CONFIG = Config(train=TrainConfig(als_factors=8, als_epochs=5))
DAYS = 60
NEW_A_DAY, THINGS = 12, 24
CATALOGUE = [item(f"i{n}", f"thing {n}") for n in range(THINGS)]
FILE = f"{STACK}.safetensors"


def bought(day: int, minute: int, user: str, thing: int) -> Event:
    time = NOW - (DAYS - day) * MS_PER_DAY + minute * 60_000
    return Event("purchase", time, item_id=f"i{thing % THINGS}", user_id=user)


def two_kinds() -> list[Event]:
    """Regulars take the same thing again; who is new takes another, a known one, two weeks later, and stays away."""
    events = []
    for day in range(DAYS):
        events += [bought(day, number, f"r{number}", 2 * number) for number in range(day % 12, 48, 12)]
        for number in range(NEW_A_DAY):
            events.append(bought(day, number, f"n{day}-{number}", number + day))
            events.append(bought(day + 14, number, f"n{day}-{number}", number + day + 5))
    return sorted((event for event in events if event.time < NOW), key=lambda event: event.time)


def by_chance() -> list[Event]:
    """Nobody takes what anybody could know."""
    draw = random.Random(0)
    users = range(NEW_A_DAY)
    return [bought(day, user, f"u{user}", draw.randrange(THINGS)) for day in range(DAYS) for user in users]


def trained(home: Path, events: Sequence[Event], config: Config = CONFIG) -> Manifest:
    with closing(wiring.open_log(home)) as log:
        log.append([*(to_record(one, NOW) for one in CATALOGUE), *(to_record(event, NOW) for event in events)])
    return wiring.train(home, config, 0, NOW, lambda *_: None)


def served(home: Path) -> tuple[Engine, str | None]:
    with closing(wiring.open_log(home)) as log:
        return wiring.open_engine(home, CONFIG, log)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Engine]:
    """A version with trees, and an engine that serves it."""
    home = tmp_path_factory.mktemp("home")
    made = trained(home, two_kinds())
    engine, problem = served(home)
    assert problem is None
    return made, engine


def test_trees_serve_where_they_are_better(shop: tuple[Manifest, Engine]) -> None:
    made, engine = shop
    assert FILE in made.sha256
    assert made.intervals["stacking ndcg@20"][0] > made.metrics["blend ndcg@20"]
    assert isinstance(engine.model.proposers["for-you"], Stacking)
    regular = engine.recommend(Request("for-you", user_id="r3", k=3), NOW)
    assert regular.items[0].item_id == "i6"  # what is taken again and again


@pytest.mark.parametrize("user", ["r3", "n58-4", "n40-1", "nobody"])
def test_the_parts_add_up_in_the_list_and_in_why(shop: tuple[Manifest, Engine], user: str) -> None:
    engine = shop[1]
    request = Request("for-you", user_id=user, k=10, explain=True)
    shown = engine.recommend(request, NOW).items
    scores = [one.score for one in shown]
    assert scores
    assert scores == sorted(scores, reverse=True)
    for place, one in enumerate(shown, 1):
        assert one.parts
        assert sum(one.parts.values()) == pytest.approx(one.score, abs=1e-6)
        found = engine.why(request, NOW, engine.state.items.row(one.item_id))
        assert (found.verdict, found.place) == ("shown", place)
        assert sum(said.part for said in found.proposed) == pytest.approx(one.score, abs=1e-6)


def test_something_of_the_history_is_cited(shop: tuple[Manifest, Engine]) -> None:
    answer = shop[1].recommend(Request("for-you", user_id="r3", k=5, explain=True), NOW)
    assert any(one.evidence for one in answer.items)


@pytest.mark.parametrize("events", [by_chance(), two_kinds()[:100]], ids=["chance", "few"])
def test_without_a_sure_gain_there_are_none(tmp_path: Path, events: list[Event]) -> None:
    assert FILE not in trained(tmp_path, events).sha256


def test_they_can_be_turned_off(tmp_path: Path) -> None:
    made = trained(tmp_path, two_kinds(), replace(CONFIG, train=replace(CONFIG.train, stacking=False)))
    assert FILE not in made.sha256
    assert "stacking ndcg@20" not in made.metrics


def test_where_nothing_grows_trees_the_blend_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    made = trained(tmp_path, two_kinds())
    assert FILE not in made.sha256
    assert any("pip install lightgbm" in str(record.__dict__.get("reason")) for record in caplog.records)
    engine, problem = served(tmp_path)
    assert problem is None
    assert engine.recommend(Request("for-you", user_id="r3"), NOW).items


def test_damaged_trees_are_named(tmp_path: Path) -> None:
    made = trained(tmp_path, two_kinds())
    (tmp_path / "models" / made.version / FILE).write_bytes(b"no trees")
    _, problem = served(tmp_path)
    assert problem is not None
    assert f"{FILE} is damaged" in problem
