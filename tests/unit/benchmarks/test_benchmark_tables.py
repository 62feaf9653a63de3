"""The tables of the READMEs say what the kept results say."""

from __future__ import annotations

from pathlib import Path

import pytest

from results import Results, from_json, to_json
from tables import BEGIN, CHINESE, END, ENGLISH, Words, render, replaced

ROOT = Path(__file__).parents[3]
KEPT = (ROOT / "benchmarks" / "results" / "serve.json").read_bytes()


def results() -> Results:
    return from_json(KEPT)


@pytest.mark.parametrize(("name", "words"), [("README.md", ENGLISH), ("README.zh-CN.md", CHINESE)])
def test_readme_shows_the_kept_results(name: str, words: Words) -> None:
    page = (ROOT / name).read_text()
    assert page == replaced(page, render(results(), words)), "run: python benchmarks/serve.py --render"


def test_results_survive_being_written() -> None:
    assert to_json(results()) == KEPT


def test_beyond_the_fsync_is_the_difference_of_the_percentiles() -> None:
    run = results()
    run.fresh.asked.p50, run.fresh.fsync.p50 = 3.5, 1.25
    run.fresh.asked.p99, run.fresh.fsync.p99 = 30.0, None
    row = next(line for line in render(run, ENGLISH).splitlines() if line.startswith(f"| {ENGLISH.beyond_asked} "))
    assert row.split(" | ")[1] == "2.25"
    assert row.endswith("| — |")


def test_ratios_are_ours_by_theirs() -> None:
    run = results()
    run.endcap.idle.load.whole.p50, run.implicit.idle.load.whole.p50 = 3.0, 2.0
    row = next(line for line in render(run, ENGLISH).splitlines() if "(idle)" in line)
    assert row.endswith("| 1.50 |")


def test_a_ladder_that_ended_before_the_server_did_says_at_least() -> None:
    run = results()
    last = run.endcap.ladder[0]
    last.load.whole.p90, last.load.achieved = 1.0, last.load.rate
    run.endcap.ladder = [last]
    row = next(line for line in render(run, ENGLISH).splitlines() if line.startswith(f"| {ENGLISH.top} "))
    assert row.split(" | ")[1] == f"≥ {last.load.rate:,.0f}"


def test_only_what_is_between_the_markers_is_replaced() -> None:
    assert replaced(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END} {BEGIN}"])
def test_a_page_without_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="the page must hold"):
        replaced(page, "new")
