"""The report: its sentences, its table, its JSON and its page say what the table holds."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from endcap.evaluation.offline import Background, Case, Settings, Table, evaluate
from endcap.evaluation.page import as_html
from endcap.evaluation.plots import against, bars, exposure, groups, over_time, serve_times
from endcap.evaluation.report import Report, as_good_as_best, as_json, as_text, headline, label, number, ordered
from endcap.types import IntArray, Query, Ranking


class Fixed:
    """The same list for everybody."""

    def __init__(self, *items: int) -> None:
        self.items: IntArray = np.array(items, np.int32)

    def recommend(self, query: Query, k: int) -> Ranking:  # noqa: ARG002  # the same for every query
        return Ranking(self.items[:k], np.ones(self.items[:k].size, np.float32))


def table() -> Table:
    models = {"poor<b>": Fixed(5), "good": Fixed(1, 2, 5), "equal": Fixed(2, 1, 0)}
    cases = [Case(Query(), np.array([1 + at % 2], np.int32)) for at in range(40)]
    vectors = np.eye(6, dtype=np.float32)
    background = Background(n_users=8, popularity=np.full(6, 2, np.int32), vectors=vectors, likeness="content")
    return evaluate(models, cases, background, Settings(ks=(1, 20), samples=100), {"good": 3.25})


TABLE = table()
REPORT = Report(
    TABLE,
    fit="refit",
    split={"protocol": "time", "test_from_ms": 1_320_796_800_000, "test_to_ms": 1_323_388_800_000},
    notes={"wanted": 40, "wanted_again": 10, "new_users": 3, "visitors_left_out": 0},
    n_items=6,
    groups={"new": np.arange(40) < 3, "with a history": np.arange(40) >= 3},
    blend_weights={"good": 0.75, "equal": 0.25},
    config={"state.max_history": 200},
)


def test_the_best_stands_first() -> None:
    assert [row.model for row in ordered(TABLE)] == ["good", "equal", "poor<b>"]


def test_headline_takes_ndcg_at_10_where_there_is_one() -> None:
    assert headline(TABLE)[:2] == ("recall@20", "ndcg@20")
    longer = replace(TABLE, settings=Settings(ks=(10, 20)))
    assert headline(longer)[:2] == ("recall@20", "ndcg@10")


def test_as_good_as_the_best_is_read_from_the_paired_gap() -> None:
    rows = {row.model: row for row in TABLE.rows}
    assert as_good_as_best(rows["equal"], "recall@20")
    assert not as_good_as_best(rows["poor<b>"], "recall@20")
    assert not as_good_as_best(rows["good"], "coverage@20")  # which has no interval


def test_text_says_what_was_done_and_found() -> None:
    text = as_text(REPORT)
    assert "Protocol time, test 2011-11-09 to 2011-12-09: 40 cases, 40 wanted items, 25.0 % of them touched" in text
    assert "seen items are kept in the lists" in text
    assert "All 6 items are ranked for every case." in text
    assert "3 users without a history" in text
    assert "anonymous" not in text  # there were none
    assert "good 0.75, equal 0.25" in text
    good = next(line for line in text.splitlines() if line.startswith("good"))
    assert re.split(r"\s{2,}", good)[1] == "1.0000 ±0.0000*"
    assert "3.25" in good
    poor = next(line for line in text.splitlines() if line.startswith("poor"))
    assert re.split(r"\s{2,}", poor)[1] == "0.0000 ±0.0000"
    assert len({len(line) for line in text.splitlines()[6:12]}) <= 2  # the columns are aligned


def test_text_names_the_hidden_and_the_shifted() -> None:
    hidden = replace(TABLE, settings=replace(TABLE.settings, hide_seen=True))
    text = as_text(replace(REPORT, table=hidden, fit="train", shift_ms=86_400_000))
    assert "seen items are left out of the lists" in text
    assert "fitted without the validation part" in text
    assert "test 2011-11-08 to 2011-12-08" in text  # when it really happened


def test_json_holds_every_figure_and_no_nan() -> None:
    found = json.loads(as_json(REPORT), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    model = found["models"]["good"]
    assert model["metrics"]["recall@20"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert model["metrics"]["diversity@1"] == {"mean": None, "low": None, "high": None}
    assert model["difference_to_best"]["mrr@20"]["mean"] == pytest.approx(0.0)
    assert model["fit_seconds"] == 3.25
    assert set(model["serve_us"]) == {"p50", "p99"}
    assert found["interval"] == {
        "method": "paired percentile bootstrap over cases", "level": 0.95, "samples": 100, "seed": 0,
    }  # fmt: skip
    assert found["groups"]["new"]["cases"] == 3
    assert found["groups"]["new"]["models"]["good"]["recall@20"] == 1.0
    assert found["seen"] == "keep"
    assert found["versions"]["numpy"] == np.__version__
    assert found["machine"]["cores"] >= 1
    assert found["config"] == {"state.max_history": 200}


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("recall@5", 0.12345, "0.1235"), ("novelty@5", 3.14159, "3.14"), ("coverage@5", 0.5, "0.500"),
     ("diversity@5", math.nan, "-")],
)  # fmt: skip
def test_numbers(metric: str, value: float, text: str) -> None:
    assert number(metric, value) == text


def test_labels() -> None:
    assert [label(name) for name in ("recall@20", "ndcg@10", "hit_rate@5")] == ["Recall@20", "NDCG@10", "Hit rate@5"]


class Page(HTMLParser):
    """Collects the text, the tags that are open at the end, and what would be loaded."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.loads += [
            str(value) for name, value in attrs if name in ("src", "href") and not str(value).startswith("#")
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_page_is_whole_and_loads_nothing() -> None:
    html = as_html(REPORT)
    page = Page()
    page.feed(html)
    assert page.open == []
    assert [target for target in page.loads if "xlink" not in target and not target.startswith("#")] == []
    assert "<script" not in html
    assert "@import" not in html
    text = " ".join(page.words)
    assert "good finds the most: Recall@20 1.0000 (1.0000 to 1.0000)." in text
    assert "poor<b>" in text  # a name is text, not markup
    assert "Recall@20 by group" in text
    assert html.count("<svg") == 7


def test_pictures_carry_the_page_s_colours_and_a_description() -> None:
    for svg in (
        bars(TABLE.rows, "recall@20"),
        against(TABLE.rows, "coverage@20", "recall@20"),
        serve_times(TABLE.rows),
        groups(TABLE.rows, "recall@20", REPORT.groups),
        exposure(TABLE.rows, 6),
    ):
        assert svg.startswith('<svg role="img" aria-label="')
        assert "var(--accent)" in svg or "CPU time" in svg
        assert "var(--ink)" in svg or "Lorenz" in svg
        assert not re.search(r"#0[1-5]0[1-5]0[1-5]", svg)
        assert "font-family" not in svg
        assert not re.search(r'<svg[^>]* (width|height)="', svg)


def test_names_at_the_end_of_the_lines_do_not_cover_each_other() -> None:
    halves = [("first", np.arange(40) < 20), ("second", np.arange(40) >= 20)]
    svg = over_time([replace(TABLE.rows[1], model=f"model {at}") for at in range(4)], "recall@20", halves)
    heights = sorted(float(y) for y in re.findall(r'x="[0-9.]+" y="([0-9.]+)"[^>]*>model \d<', svg))
    assert min(b - a for a, b in pairwise(heights)) > 8


def test_the_page_of_a_stream_shows_it() -> None:
    spans = ((1_320_796_800_000, np.arange(40) < 20), (1_322_000_000_000, np.arange(40) >= 20))
    html = as_html(replace(REPORT, over_time=spans))
    assert "Along the stream" in html
    assert "2011-11-22" in html
    found = json.loads(as_json(replace(REPORT, over_time=spans)))["over_time"]
    assert [(span["from_ms"], span["cases"]) for span in found] == [(1_320_796_800_000, 20), (1_322_000_000_000, 20)]


def test_who_beats_whom_is_said_and_kept() -> None:
    text = as_text(REPORT)
    assert (
        "Significant at 5 % (NDCG@20, paired bootstrap, Holm's correction over 3 comparisons): good beats poor<b>"
        in text
    )
    pairs = json.loads(as_json(REPORT))["comparisons"]["pairs"]
    significant = {(pair["better"], pair["worse"]): pair["significant"] for pair in pairs}
    assert significant["good", "poor<b>"]
    assert "no difference" in as_text(replace(REPORT, table=replace(TABLE, comparisons=TABLE.comparisons[2:])))


def test_a_bar_is_as_long_as_its_figure() -> None:
    svg = bars(TABLE.rows, "recall@20")

    def width(fill: str) -> list[float]:
        paths: list[Any] = re.findall(r'd="([^"]*)"[^>]*style="fill: var\(' + fill, svg)
        xs = [[float(x) for x in re.findall(r"[ML] ([0-9.]+) ", path)] for path in paths]
        return [max(x) - min(x) for x in xs]

    assert width("--accent")[0] > 0
    assert width("--accent")[0] == pytest.approx(width("--accent")[-1])  # good and equal find the same
    assert width("--bar") == [0.0]  # the poor one finds nothing


def test_names_in_the_scatter_do_not_cover_each_other() -> None:
    crowded = replace(TABLE, rows=tuple(replace(TABLE.rows[1], model=f"model {at}") for at in range(4)))
    svg = against(crowded.rows, "coverage@20", "recall@20")
    places = re.findall(r'x="([0-9.]+)" y="([0-9.]+)"[^>]*>model \d<', svg)
    assert len(set(places)) == 4
