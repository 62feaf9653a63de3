"""The comparison of pretraining: what is held out twice, and the tables."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.testing import assert_allclose
from tests.unit.encoders.pretraining.wording import TITLES, small_start
from tests.unit.pipelines.test_pretrain import SHOP

from endcap.encoders.pretraining.classify import ClassTask
from endcap.encoders.pretraining.contrast import ContrastTask
from endcap.nn.settings import Settings
from endcap.pipelines.pretrain import Job, build
from machine import describe
from pages import BENCHMARKS, filled
from pretrain import Compared, Results, figures, halves, interval
from script import RESULTS

JOB = Job("classify", max_tokens=16, held_out=0.4, settings=Settings(epochs=1))


def test_the_halves_share_no_text_and_neither_is_trained_on() -> None:
    task = build(JOB, SHOP, small_start()).task
    assert isinstance(task, ClassTask)
    whole = len(task.held_out.corpus)
    other = halves(task)
    assert isinstance(other, ClassTask)
    parts = [
        {one.corpus.text(row).tobytes() for row in range(len(one.corpus))} for one in (task.held_out, other.held_out)
    ]
    trained = {task.train.corpus.text(row).tobytes() for row in range(len(task.train.corpus))}
    assert len(parts[0]) + len(parts[1]) == whole
    assert not parts[0] & parts[1]
    assert not trained & (parts[0] | parts[1])
    assert len(trained) + whole == len(TITLES)


def test_of_the_items_two_thirds_of_what_is_held_out_are_reported() -> None:
    task = build(Job("contrast", max_tokens=16, held_out=0.3), SHOP, small_start()).task
    assert isinstance(task, ContrastTask)
    held_out = set(task.judged.tolist())
    other = halves(task)
    assert isinstance(other, ContrastTask)
    assert set(task.judged.tolist()) | set(other.judged.tolist()) == held_out
    assert not set(task.judged.tolist()) & set(other.judged.tolist())
    assert other.judged.size == len(held_out) - len(held_out) // 3


def test_the_interval_is_of_pairs() -> None:
    before = np.array([0.0, 1.0, 1.0, np.nan] * 50)
    mean, low, high = interval(before, np.where(np.arange(200) % 4 == 0, 1.0, before))
    assert_allclose(mean, 1 / 3)
    assert 0.2 < low < mean < high < 0.5


def test_the_tables_say_what_was_measured() -> None:
    rows = [
        Compared("masked words", "titles", 100, 40, "perplexity", "first epoch", 50.0, 25.0, None, 3, 1.2),
        Compared("minilm, lora", "shop", 90, 20, "recall@20", "frozen", 0.2, 0.25, (0.05, 0.01, 0.09), 2, 3.0),
    ]
    text = figures(Results("2026-01-01", describe(Path()), {"words_anew": rows[:1], "minilm_lora": rows[1:]}))
    assert "| masked words | titles | perplexity | first epoch | 50.0 | 25.0 | -50% | 100 | 40 | 1 |" in text
    assert "| minilm, lora | 0.2000 | 0.2500 | +25% | +0.050 (+0.010 to +0.090) | 20 | 3 |" in text


def test_the_page_holds_the_results() -> None:
    page = BENCHMARKS.read_text(encoding="utf-8")
    results = msgspec.json.decode((RESULTS / "pretrain.json").read_bytes(), type=Results)
    assert filled(page, "pretrain", figures(results)) == page


def test_fine_tuning_finds_a_quarter_more_companions_of_items_never_seen() -> None:
    """What the documentation promises of MiniLM; the interval stays above nothing."""
    results = msgspec.json.decode((RESULTS / "pretrain.json").read_bytes(), type=Results)
    (row,) = results.stages["minilm_full"]
    assert row.after >= 1.25 * row.before
    assert row.difference is not None
    assert row.difference[1] > 0
