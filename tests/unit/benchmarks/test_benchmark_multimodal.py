"""The figures of pictures and speech are those of the results, and are counted as the page says."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

import multimodal
import photos
from pages import BENCHMARKS, filled

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "multimodal.json"


def test_the_page_holds_the_results() -> None:
    page = BENCHMARKS.read_text(encoding="utf-8")
    results = msgspec.json.decode(RESULTS.read_bytes(), type=multimodal.Results)
    assert filled(page, "multimodal", multimodal.figures(results)) == page


def test_an_own_picture_is_found_if_fewer_than_ten_are_as_near() -> None:
    scores = np.zeros((12, 12), np.float32)
    np.fill_diagonal(scores, 1.0)
    scores[0, 1:10] = 2.0  # nine are nearer
    scores[1, 2:12] = 2.0  # ten are
    scores[2] = 1.0  # all are as near
    assert multimodal.first_ten(scores).tolist() == [1, 0, 0, *[1] * 9]


def test_folds_are_every_row_once() -> None:
    found = multimodal.folds(23, 0)
    assert sorted(np.concatenate(found).tolist()) == list(range(23))
    assert {part.size for part in found} == {4, 5}


def test_a_vote_is_heavier_the_nearer_it_is() -> None:
    scores = np.array([[0.9, 0.4, 0.4, 0.1, 0.1, 0.1]], np.float32)
    assert multimodal.voted(scores, np.array([0, 1, 1, 1, 1, 1]), 2).tolist() == [0]  # 0.8 against 0.3 + 0.3 + 0 + 0
    assert multimodal.voted(scores[:, [1, 2, 0, 3, 4, 5]], np.array([0, 0, 1, 0, 0, 0]), 2).tolist() == [1]


def test_companions_are_of_one_class() -> None:
    numbers = np.array([1, 0, 1, 2, 1])
    first, second = multimodal.companions(numbers)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 2), (2, 4)]


def test_a_slot_is_heard_if_every_word_of_it_is() -> None:
    order = photos.Order(b"", {"size": "sixteen ounce", "coffeeDrink": "iced mocha", "sugarAmount": "brown sugar"})
    assert order.title == "sixteen ounce iced mocha brown sugar"
    assert multimodal.slots_heard(order, "A 16 ounce iced milk, with brown sugar!") == pytest.approx(2 / 3)
    assert multimodal.slots_heard(order, "") == 0.0


def test_features_by_hand_have_length_one() -> None:
    picture = (Path(__file__).parents[2] / "data" / "pictures" / "lime.jpg").read_bytes()
    found = photos.by_hand([picture])
    assert found.shape == (1, 388)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)
