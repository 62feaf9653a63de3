"""Texts, labels and groups of a file and of a shop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from endcap.backends.log.sqlite import SqliteLog
from endcap.catalog.items import Item
from endcap.errors import DataError
from endcap.events.log import to_record
from endcap.events.schema import Event, Line
from endcap.pipelines.material import home_groups, home_texts, read_material

MINUTE = 60_000


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Eight rows, of which two say nothing, and one is there twice."""
    path = tmp_path / "goods.parquet"
    frame = pl.DataFrame(
        {
            "title": ["cup", "lamp", " ", None, "cup", "bowl", "brush", "cup"],
            "more": ["A red one.", None, None, "", "A red one.", "Deep.", None, None],
            "kind": ["a", "b", "a", "a", "c", None, "b", "a"],
            "basket": [1, 1, 1, 2, 2, 2, 2, 3],
        }
    )
    frame.write_parquet(path)
    return path


def test_columns_of_a_file(table: Path) -> None:
    found = read_material(table, ["title", "more"])
    assert found.texts == ["cup. A red one.", "lamp", "bowl. Deep.", "brush", "cup"]
    assert found.parts[0] == ["cup", "A red one."]
    assert not found.labels


def test_the_first_of_equal_texts_keeps_its_label(table: Path) -> None:
    found = read_material(table, ["title", "more"], label="kind")
    assert list(zip(found.texts, found.labels, strict=True)) == [
        ("cup. A red one.", "a"),
        ("lamp", "b"),
        ("brush", "b"),
        ("cup", "a"),
    ]


def test_groups_are_rows_of_texts(table: Path) -> None:
    found = read_material(table, ["title"], group="basket")
    assert found.texts == ["cup", "lamp", "bowl", "brush"]
    assert [group.tolist() for group in found.groups] == [[0, 1], [0, 2, 3]]


def test_a_column_that_is_not_there_and_one_without_text(table: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no column 'name'; there are title, more, kind, basket"):
        read_material(table, ["name"])
    pl.DataFrame({"title": ["", None]}).write_csv(tmp_path / "empty.csv")
    with pytest.raises(DataError, match=r"has no text in title: name the columns that hold it with --text"):
        read_material(tmp_path / "empty.csv", ["title"])


def log_of(tmp_path: Path, *events: Event) -> SqliteLog:
    log = SqliteLog(tmp_path / "log.db")
    log.append([to_record(event) for event in events])
    return log


ITEMS = (
    Item("c", "Cup", description="For tea.", categories=("Home > Kitchen",)),
    Item("l", "Lamp", brand="Leaf"),
    Item("s", "Scarf"),
    Item("t", "Cup", description="For tea.", categories=("Home > Kitchen",)),
)


def did(kind: str, minute: int, item: str | None = None, **more: Any) -> Event:
    return Event(kind, minute * MINUTE, visitor_id=more.pop("visitor_id", "v"), item_id=item, **more)


def test_texts_of_a_shop(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        did("review", 1, "c", text="Leaks!", rating=2),
        did("review", 2, "c", text="Fine", rating=4.5),
        did("review", 3, "c", text="Not for others", rating=1, consent=False),
        did("search", 4, query="cup"),
    )
    assert home_texts(ITEMS, log).texts == ["Cup. For tea.", "Lamp. Leaf", "Scarf", "Leaks!", "Fine"]
    assert home_texts(ITEMS, log).by_people
    assert not home_texts(ITEMS, log_of(tmp_path / "quiet")).by_people
    stars = home_texts(ITEMS, log, "rating")
    assert list(zip(stars.texts, stars.labels, strict=True)) == [("Leaks!", "2"), ("Fine", "4.5")]
    kinds = home_texts(ITEMS, log, "category")
    assert stars.by_people
    assert not kinds.by_people
    assert list(zip(kinds.texts, kinds.labels, strict=True)) == [("Cup. For tea.", "Home > Kitchen")]
    with pytest.raises(DataError, match="the shop has no text with a category to learn from: import items"):
        home_texts(ITEMS[1:3], log, "category")
    with pytest.raises(DataError, match="--label is 'price': of a shop it is category or rating"):
        home_texts(ITEMS, log, "price")
    with pytest.raises(DataError, match="the shop has no text to learn from"):
        home_texts([], log_of(tmp_path / "other"))


def test_what_people_took_together(tmp_path: Path) -> None:
    """Texts: 0 the cup, which two items share, 1 the lamp, 2 the scarf."""
    log = log_of(
        tmp_path,
        did("view", 0, "c"),
        did("view", 20, "l"),
        did("view", 51, "s"),  # another visit: 31 minutes later
        did("view", 52, "t", visitor_id="w"),
        did("cart", 60, "c"),
        did("purchase", 500, items=(Line("l"), Line("s")), user_id="u"),
        did("view", 600, "l", session_id="one"),
        did("view", 900, "c", session_id="one"),
        did("view", 901, "gone", session_id="one"),
        did("view", 905, "l", consent=False),
        did("view", 906, "s"),
    )
    found = home_groups(ITEMS, log)
    assert found.texts == [ITEMS[0].text(), "Lamp. Leaf", "Scarf"]
    assert sorted(group.tolist() for group in found.groups) == [[0, 1], [0, 1], [0, 2], [1, 2], [1, 2]]
    with pytest.raises(DataError, match="nobody took two items together yet"):
        home_groups(ITEMS, log_of(tmp_path / "other", did("view", 1, "c")))
