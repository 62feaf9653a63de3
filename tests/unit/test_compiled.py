"""The best rows against a plain sort."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endcap.compiled import top_rows

SCORES = st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 0.5, 1.0, 2.0, np.inf, np.nan]), max_size=40)


@given(scores=SCORES, k=st.integers(-1, 50), above=st.sampled_from([-np.inf, 0.0, 0.5]))
def test_the_best_come_first_and_equal_ones_in_row_order(scores: list[float], k: int, above: float) -> None:
    wanted = sorted([row for row, score in enumerate(scores) if score > above], key=lambda row: (-scores[row], row))
    assert top_rows(np.array(scores, np.float32), k, above).tolist() == wanted[: max(k, 0)]


@pytest.mark.parametrize("k", [1, 20, 5_000])
def test_many_different_scores(k: int) -> None:
    scores = np.random.default_rng(0).random(3_000, np.float32)
    assert top_rows(scores, k, 0.0).tolist() == np.argsort(-scores)[:k].tolist()


def test_what_may_only_be_read_is_read() -> None:
    assert top_rows(np.frombuffer(np.array([1, 3, 2], np.float32).tobytes(), np.float32), 2, 0.0).tolist() == [1, 2]


def test_a_start_compiles_what_answers_need_and_nothing_else() -> None:
    script = (
        "import endcap.wiring; from endcap.compiled import get_ready, top_rows; from endcap.models.session_knn import "
        "_similar; from endcap.models.als import _descend; before = 'made' in vars(_similar); get_ready(); "
        "print(before, *('made' in vars(loop) for loop in (top_rows, _similar, _descend)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True", "False"]
