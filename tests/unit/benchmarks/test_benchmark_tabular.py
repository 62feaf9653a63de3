"""The benchmark of labelled tables: its own logistic regression, and that the page says what was measured."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import polars as pl

import tabular
from endcap.pipelines.labelled_rows import Columns
from pages import BENCHMARKS, filled

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


def test_the_figures_in_the_page_are_those_of_the_results() -> None:
    page = BENCHMARKS.read_text(encoding="utf-8")
    found = msgspec.json.decode((RESULTS / "tabular.json").read_bytes(), type=tabular.Results)
    assert filled(page, "tabular", tabular.figures(found)) == page


def test_logistic_regression_without_much_penalty_says_the_shares(tmp_path: Path) -> None:
    """Of one category the best probability is its share of ones; a penalty brings all nearer to the mean."""
    rng = np.random.default_rng(0)
    shop = rng.integers(0, 3, 3_000)
    labels = (rng.random(3_000) < np.array([0.2, 0.5, 0.8])[shop]).astype(int)
    pl.DataFrame({"item_id": shop, "n": np.arange(3_000), "click": labels}).write_parquet(tmp_path / "x.parquet")
    data, how = tabular.data_of(tmp_path / "x.parquet", Columns("click", ignored=("n",)))
    assert how == "hash"
    fitted = tabular.logistic(data)
    for place in range(1, 4):
        share = data.training.labels[data.training.codes[:, 0] == place].mean()
        said = fitted[0][4][data.test.codes[:, 0] == place]
        np.testing.assert_allclose(said, share, atol=0.01)
    spreads = [float(one[4].std()) for one in fitted]
    assert spreads == sorted(spreads, reverse=True)
