"""Endcap inside a program: frames in, frames out, and the same after opening again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.unit.shops import open_files_in

import endcap
from endcap import wiring
from endcap.backends.log.sqlite import SqliteLog
from endcap.config import Config, Home
from endcap.errors import ConfigError, DataError, HomeError, InvalidFieldError
from endcap.events.log import entries
from endcap.events.schema import Event, Line
from endcap.interfaces.embedded import Shop
from endcap.models.persistence import list_versions
from endcap.pipelines.person import Person
from endcap.types import MS_PER_DAY, Activation

NOW = wiring.clock()
ITEMS = pl.DataFrame(
    {
        "item_id": ["pot", "cup", "lamp", "clock"],
        "title": ["Tea pot", "Tea cup", "Desk lamp", "Wall clock"],
        "price": [20.0, 5.0, None, 15.0],
        "categories": [["Kitchen > Tea"], ["Kitchen > Tea"], None, []],
    }
)
EVENTS = pl.DataFrame(
    {
        "type": ["purchase", "purchase", "view"],
        "user_id": ["u1", "u1", "u2"],
        "item_id": ["pot", "cup", "pot"],
        "quantity": [2, 1, None],
        "price": [20.0, None, None],
        "time": [NOW - MS_PER_DAY, NOW - MS_PER_DAY, NOW - MS_PER_DAY],
    }
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with endcap.open(tmp_path / "home") as opened:
        yield opened


def stored(shop_home: Path) -> list[object]:
    log = SqliteLog(Home(shop_home).log)
    try:
        return [entry.body for entry in entries(log)]
    finally:
        log.close()


class ArrowTable:
    """Any other library's table: nothing but the Arrow C stream."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


def as_dicts(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.to_dicts()


@pytest.mark.parametrize("form", [pl.DataFrame, ArrowTable, as_dicts, pl.DataFrame.to_dict])
def test_any_table_is_taken_in(shop: Shop, tmp_path: Path, form: Any) -> None:
    assert shop.add_items(form(ITEMS)) == 4
    assert shop.add_events(form(EVENTS)) == 3
    titles = [change.fields for change in stored(tmp_path / "home")[:4]]  # type: ignore[attr-defined]
    assert titles[0] == {"title": "Tea pot", "price": 20.0, "categories": ("Kitchen > Tea",)}
    assert titles[2] == {"title": "Desk lamp"}
    day = NOW - MS_PER_DAY
    assert stored(tmp_path / "home")[4:] == [
        Event("purchase", day, user_id="u1", items=(Line("pot", 2.0, 20.0),)),
        Event("purchase", day, user_id="u1", items=(Line("cup", 1.0),)),
        Event("view", day, user_id="u2", item_id="pot"),
    ]


def test_a_list_is_a_frame_of_four_columns(shop: Shop) -> None:
    shop.add_items(ITEMS)
    shop.add_events(EVENTS)
    frame = shop.recommend("trending", k=3)
    assert frame.schema == {"item_id": pl.String, "score": pl.Float64, "rank": pl.Int64, "reason": pl.String}
    # pot: a purchase (5) and a view (1); cup: a purchase; the rest fills up.
    assert frame["item_id"].to_list() == ["pot", "cup", "lamp"]
    assert frame["score"].to_list() == pytest.approx([1.0, 5 / 6, 0.0])
    assert frame["rank"].to_list() == [1, 2, 3]
    assert frame["reason"].to_list() == ["In demand this week", "In demand this week", "Part of the catalogue"]


def test_an_empty_shop_gives_an_empty_frame_of_the_same_columns(shop: Shop) -> None:
    frame = shop.recommend(user_id="nobody")
    assert frame.columns == ["item_id", "score", "rank", "reason"]
    assert frame.height == 0
    assert frame.schema["item_id"] == pl.String


def test_what_was_added_counts_in_the_next_list(shop: Shop) -> None:
    shop.add_items(ITEMS)
    (nearest,) = shop.recommend("similar", item_ids=["pot"], k=1).to_dicts()
    assert (nearest["item_id"], nearest["reason"]) == ("cup", "Similar to “Tea pot”")
    shop.add_events([{"type": "dismiss", "user_id": "u9", "item_id": "cup"}])
    assert shop.recommend("similar", user_id="u9", item_ids=["pot"], k=9)["item_id"].to_list().count("cup") == 0
    shop.add_items([{"item_id": "mug", "title": "Tea mug"}])
    assert "mug" in shop.recommend("search", query="tea mug")["item_id"].to_list()


def test_one_id_needs_no_list_and_a_number_is_its_digits(shop: Shop) -> None:
    shop.add_items(ITEMS)
    shop.add_items([{"item_id": 42, "title": "Tea mug"}])
    shop.add_events([{"type": "view", "user_id": 7, "item_id": 42}])
    for one, same in (("pot", ["pot"]), (42, ["42"])):
        assert shop.recommend("similar", item_ids=one).equals(shop.recommend("similar", item_ids=same))
    assert shop.recommend(user_id=7).equals(shop.recommend(user_id="7"))
    assert "42" not in shop.recommend(user_id=7)["item_id"].to_list()
    with pytest.raises(InvalidFieldError, match="user_id must be a string of 1 to 256 characters"):
        shop.recommend(user_id="")


def test_a_repeated_event_id_is_stored_once(shop: Shop) -> None:
    rows = [{"event_id": "e1", "type": "view", "user_id": "u", "item_id": "pot"}]
    assert [shop.add_events(rows), shop.add_events(rows)] == [1, 0]


@pytest.mark.parametrize("empty", [[], pl.DataFrame(), ITEMS.clear()])
def test_nothing_to_add(shop: Shop, empty: Any) -> None:
    assert (shop.add_items(empty), shop.add_events(empty)) == (0, 0)


def test_a_bad_row_is_named_and_nothing_of_its_frame_is_stored(shop: Shop, tmp_path: Path) -> None:
    shop.add_items(ITEMS)
    shop.add_events(EVENTS)
    with pytest.raises(InvalidFieldError, match=r"^row 2: price is -1: it must not be negative$") as wrong:
        shop.add_items([*ITEMS.head(2).to_dicts(), {"item_id": "bad", "title": "Bad", "price": -1}])
    assert wrong.value.field == "price"
    bad = EVENTS.with_columns(type=pl.Series(["purchase", "buy", "view"]))
    with pytest.raises(InvalidFieldError, match=r"^row 1: type is 'buy': use one of impression, click") as wrong:
        shop.add_events(bad)
    assert wrong.value.field == "type"
    assert len(stored(tmp_path / "home")) == 7  # what was there before stays, and nothing is half there
    assert shop.add_events(EVENTS) == 3


@pytest.mark.parametrize("wrong", [7, object(), {"a": [1], "b": [1, 2]}, pl.LazyFrame({"item_id": ["a"]})])
def test_what_is_no_table_is_refused(shop: Shop, wrong: object) -> None:
    with pytest.raises(DataError, match=r"^a \w+ is no table \((.|\n)*\): give polars, pandas or an Arrow table$"):
        shop.add_items(wrong)


def test_moments_dates_and_decimals_are_taken_as_they_are(shop: Shop, tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_000)
    shop.add_items(
        pl.DataFrame(
            {"item_id": [1], "title": ["Pot"], "price": [Decimal("19.90")], "available_from": [date(2026, 1, 1)]}
        )
    )
    row: dict[str, list[object]] = {"type": ["view"], "user_id": [42], "item_id": [1]}
    shop.add_events(pl.DataFrame(row | {"time": [moment]}))
    shop.add_events(pl.DataFrame(row | {"time": [moment.replace(tzinfo=UTC)]}))
    shop.add_events([{name: values[0] for name, values in row.items()} | {"time": moment}])
    change, *events = stored(tmp_path / "home")
    expected = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z
    assert events == [Event("view", expected, user_id="42", item_id="1")] * 3
    assert change.fields == {"title": "Pot", "price": 19.9, "available_from": 1_767_225_600_000}  # type: ignore[attr-defined]


def test_dicts_keep_what_only_late_ones_have(shop: Shop, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"item_id": f"i{n}", "title": "Tea pot"} for n in range(150)]
    rows[149] |= {"brand": "Leaf", "attributes": {"set": 6}}
    rows[148] |= {"attributes": {"colour": "red"}}
    shop.add_items(rows)
    last = [change.fields for change in stored(tmp_path / "home")[-2:]]  # type: ignore[attr-defined]
    assert last[0] == {"title": "Tea pot", "attributes": {"colour": "red"}}
    assert last[1] == {"title": "Tea pot", "brand": "Leaf", "attributes": {"set": 6}}


def test_a_struct_says_no_more_than_its_row(shop: Shop, tmp_path: Path) -> None:
    kind = pl.Struct({"set": pl.Int64, "made": pl.Date})
    attributes = pl.Series([{"set": 6}, {"made": date(2026, 1, 1)}], dtype=kind)
    shop.add_items(pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"], "attributes": attributes}))
    found = [change.fields["attributes"] for change in stored(tmp_path / "home")]  # type: ignore[attr-defined]
    assert found == [{"set": 6}, {"made": "2026-01-01"}]


def test_a_price_of_nothing_is_not_thrown_away_in_silence(shop: Shop) -> None:
    with pytest.raises(InvalidFieldError, match=r"^row 0: unknown field 'price': an event has consent"):
        shop.add_events([{"type": "search", "user_id": "u", "query": "pot", "price": 3}])


def test_a_basket_of_lines_is_left_as_it_is(shop: Shop, tmp_path: Path) -> None:
    lines = [{"item_id": "pot", "quantity": 2}, {"item_id": "cup"}]
    shop.add_events(pl.DataFrame({"type": ["purchase"], "user_id": ["u"], "items": [lines]}))
    (event,) = stored(tmp_path / "home")
    assert isinstance(event, Event)
    assert event.items == (Line("pot", 2.0), Line("cup"))
    with pytest.raises(InvalidFieldError, match=r"^row 0: unknown field 'quantity': an event has consent"):
        shop.add_events([{"type": "purchase", "user_id": "u", "item_id": "pot", "quantity": 1, "items": lines}])


def fill(shop: Shop) -> None:
    """Thirty days of two tastes."""
    shop.add_items(ITEMS)
    pairs = (("pot", "cup"), ("lamp", "clock"))
    shop.add_events(
        [
            {"type": "purchase", "user_id": f"u{day % 6}", "item_id": name, "time": NOW - (30 - day) * MS_PER_DAY}
            for day in range(30)
            for name in pairs[day % 2]
        ]
    )


def test_train_serves_what_it_learnt_and_so_does_the_next_opening(shop: Shop, tmp_path: Path) -> None:
    home = tmp_path / "home"
    fill(shop)
    made = shop.train()
    assert [found.version for found in list_versions(home / "models")] == [made.version]
    assert made.seed == 0
    assert stored(home)[-1] == Activation(made.version)
    lists = {
        recipe: shop.recommend(recipe, user_id="u0", item_ids=["pot"], query="tea", k=4)
        for recipe in ("for-you", "similar", "bought-together", "next", "trending", "search", "rerank")
    }
    assert lists["bought-together"]["item_id"][0] == "cup"
    shop.close()
    with endcap.open(str(home)) as again:
        for recipe, frame in lists.items():
            found = again.recommend(recipe, user_id="u0", item_ids=["pot"], query="tea", k=4)
            assert_frame_equal(found, frame, check_exact=True)
    with endcap.open(home) as again:
        assert again.train(seed=9).seed == 9


def test_training_without_events_is_refused(shop: Shop) -> None:
    shop.add_items(ITEMS)
    with pytest.raises(DataError, match=r"^the log holds no events: send or import some, then train$"):
        shop.train()
    assert shop.recommend()["item_id"].to_list() == ["pot", "cup", "lamp", "clock"]


def test_the_settings_of_the_home_hold(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[state.weights]\nview = 0\npurchase = 1\n[train]\nseed = 5\n")
    with endcap.open(tmp_path) as shop:
        fill(shop)
        shop.add_events([{"type": "view", "user_id": "u", "item_id": "lamp"}] * 50)
        assert shop.recommend("popular", k=1)["score"].to_list() == [1.0]
        assert shop.recommend("next", user_id="u", k=1)["reason"].to_list() == ["In demand this week"]
        assert shop.train().seed == 5
    (tmp_path / "config.toml").write_text("[state]\nhalf_life = 3\n")
    with pytest.raises(ConfigError, match=r"unknown key state\.half_life"):
        endcap.open(tmp_path)


def test_a_home_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(HomeError, match="file"):
        endcap.open(tmp_path / "file")


def test_a_log_that_cannot_be_read_is_let_go_of(tmp_path: Path) -> None:
    wiring.open_log(tmp_path).close()
    Home(tmp_path).log.write_bytes(b"not SQLite" * 1_000)
    with pytest.raises(HomeError, match=r"it is not an Endcap log") as error:
        endcap.open(tmp_path)
    assert not open_files_in(tmp_path)
    assert error.value  # alive until here, and with it what was opened


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    shop = endcap.open(tmp_path)
    shop.close()
    shop.close()


def test_a_wrong_request_is_refused_by_name(shop: Shop) -> None:
    with pytest.raises(InvalidFieldError, match=r"^kind is 'gift': use one of product"):
        shop.recommend(kind="gift")
    with pytest.raises(InvalidFieldError, match=r"^k is 0: ask for at least 1 item$"):
        shop.recommend(k=0)


def test_who_is_erased_beside_it_is_unknown_after_the_next_events(shop: Shop, tmp_path: Path) -> None:
    shop.add_items(ITEMS)
    shop.add_events(EVENTS)
    assert shop._engine.state.user_row("u1", None) >= 0
    wiring.erase(tmp_path / "home", Config(), [Person(user_id="u1")], NOW, lambda *_: None)
    shop.add_events([{"type": "view", "user_id": "u3", "item_id": "pot"}])
    assert shop._engine.state.user_row("u1", None) == -1
    assert list(shop._engine.state.items) == ["pot", "cup", "lamp", "clock"]
    assert shop._engine.state.history(shop._engine.state.user_row("u3", None)).items.tolist() == [0]
