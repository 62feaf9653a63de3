"""Figures in pages: where they go, and that those of operate.md are what was measured."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import coldstart
import compress
import encoders
import erase
import fold
import interests
import launch
import llm
import overload
import plan
import restart
import rules
import sparsity
from pages import BENCHMARKS, OPERATE, filled

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_figures_go_between_their_marks_and_nowhere_else() -> None:
    page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y -->\n<!-- /y -->\n"
    assert filled(page, "x", "new\n") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n<!-- y -->\n<!-- /y -->\n"


def test_a_page_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the page has no <!-- x --> \.\.\. <!-- /x -->: put the marks"):
        filled("<!-- x -->\n", "x", "new\n")


def test_the_figures_in_the_page_are_those_of_the_results() -> None:
    page = OPERATE.read_text(encoding="utf-8")
    planned = msgspec.json.decode((RESULTS / "plan.json").read_bytes(), type=plan.Results)
    shed = msgspec.json.decode((RESULTS / "overload.json").read_bytes(), type=overload.Results)
    assert filled(page, "plan", plan.figures(planned)) == page
    assert filled(page, "overload", overload.figures(shed)) == page


def test_the_figures_of_an_erasure_are_those_of_the_results() -> None:
    page = erase.PAGE.read_text(encoding="utf-8")
    results = msgspec.json.decode((RESULTS / "erase.json").read_bytes(), type=erase.Results)
    assert filled(page, "erase", erase.figures(results)) == page


def test_the_page_of_what_was_measured_holds_the_results() -> None:
    page = BENCHMARKS.read_text(encoding="utf-8")
    folded = msgspec.json.decode((RESULTS / "fold.json").read_bytes(), type=fold.Results)
    back = msgspec.json.decode((RESULTS / "restart.json").read_bytes(), type=restart.Results)
    ruled = msgspec.json.decode((RESULTS / "rules.json").read_bytes(), type=rules.Results)
    encoded = msgspec.json.decode((RESULTS / "encoders.json").read_bytes(), type=encoders.Results)
    assert filled(page, "encoders", encoders.figures(encoded)) == page
    assert filled(page, "fold", fold.figures(folded)) == page
    assert filled(page, "restart", restart.figures(back)) == page
    assert filled(page, "rules", rules.figures(ruled)) == page


def test_what_themes_and_a_language_model_bring_is_what_was_measured() -> None:
    page = BENCHMARKS.read_text(encoding="utf-8")
    found = msgspec.json.decode((RESULTS / "interests.json").read_bytes(), type=interests.Results)
    asked = msgspec.json.decode((RESULTS / "llm.json").read_bytes(), type=llm.Results)
    assert filled(page, "interests", interests.figures(found)) == page
    assert filled(page, "llm", llm.figures(asked)) == page


def test_words_belong_together_as_far_as_titles_hold_both() -> None:
    titles = ["blue mug", "blue mug", "red lamp", "lamp"]
    assert interests.together([["blue", "mug"]], titles) == pytest.approx(1.0), "one never without the other"
    assert interests.together([["blue", "lamp"]], titles) == -1.0, "never together"
    # Of four titles one holds both, one holds red, two hold lamp: log((1/4) / (1/4 * 2/4)) / log 4.
    assert interests.together([["red", "lamp"], ["mug"]], titles) == pytest.approx(0.5)


def test_the_figures_of_a_cold_start_are_those_of_the_results() -> None:
    page = coldstart.PAGE.read_text(encoding="utf-8")
    cold = msgspec.json.decode((RESULTS / "coldstart.json").read_bytes(), type=coldstart.Results)
    few = msgspec.json.decode((RESULTS / "sparsity.json").read_bytes(), type=sparsity.Results)
    judged = msgspec.json.decode((RESULTS / "launch.json").read_bytes(), type=launch.Results)
    assert filled(page, "coldstart", coldstart.figures(cold)) == page
    assert filled(page, "sparsity", sparsity.figures(few)) == page
    assert filled(page, "launch", launch.figures(judged)) == page


def test_a_model_overtakes_content_where_it_beats_it_from_there_on() -> None:
    def shop(*lows: float) -> coldstart.Shop:
        gaps = [{"als": coldstart.Estimated(low, low, 1.0)} for low in lows]
        points = [coldstart.Point(events, {}, gap) for events, gap in zip((0, 1, 3, 10), gaps, strict=True)]
        return coldstart.Shop(0, 0, 0, 0, 0, points, [], coldstart.Point(0, {}, {}))

    assert coldstart.overtakes(shop(-1, 0.1, -1, 0.1), "als") == 10
    assert coldstart.overtakes(shop(-1, 0.1, 0.1, 0.1), "als") == 1
    assert coldstart.overtakes(shop(0.1, 0.1, 0.1, 0.0), "als") is None


def test_the_figures_of_smaller_encoders_are_those_of_the_results() -> None:
    page = BENCHMARKS.read_text(encoding="utf-8")
    made = msgspec.json.decode((RESULTS / "compress.json").read_bytes(), type=compress.Results)
    assert filled(page, "compress", compress.figures(made)) == page


def test_the_costs_in_the_code_are_within_a_fifth_of_what_was_measured() -> None:
    planned = msgspec.json.decode((RESULTS / "plan.json").read_bytes(), type=plan.Results)
    again = plan.judge_again(planned)
    assert [one.error for one in again.checked] == [one.error for one in planned.checked]
    assert max(abs(error) for one in again.checked for error in one.error.values()) <= plan.TOLERANCE
    assert not {(one.items, one.users) for one in planned.checked} & {(one.items, one.users) for one in planned.fitted}
