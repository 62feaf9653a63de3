"""The chain, with members whose lists are given."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from endcap.models.fallback import Fallback
from endcap.types import Query, Ranking


@dataclass
class Given:
    """A member with a fixed list."""

    items: list[int]
    scores: list[float]
    asked: int = 0

    def recommend(self, query: Query, k: int) -> Ranking:  # noqa: ARG002  # the list is fixed
        self.asked += 1
        return Ranking(np.array(self.items[:k], np.int32), np.array(self.scores[:k], np.float32))


def test_the_next_one_fills_up_without_repeating() -> None:
    first, second = Given([4, 2], [0.9, 0.5]), Given([2, 7, 4, 1, 9], [50.0, 40.0, 30.0, 20.0, 10.0])
    ranking = Fallback([first, second]).recommend(Query(), 4)
    assert ranking.items.tolist() == [4, 2, 7, 1]
    assert ranking.scores[:2].tolist() == pytest.approx([0.9, 0.5])


def test_one_that_has_enough_is_the_last_one_asked() -> None:
    first, second = Given([4, 2], [0.9, 0.5]), Given([1], [1.0])
    assert Fallback([first, second]).recommend(Query(), 2).items.tolist() == [4, 2]
    assert second.asked == 0


def test_a_member_alone_keeps_its_scores() -> None:
    ranking = Fallback([Given([], []), Given([3, 1], [7.0, -2.0])]).recommend(Query(), 5)
    assert ranking.items.tolist() == [3, 1]
    assert ranking.scores.tolist() == [7.0, -2.0]


@pytest.mark.parametrize("last", [3.0, 0.0, -3.0])
@pytest.mark.parametrize("scores", [[9.0, 4.0, 4.0], [0.0, 0.0, 0.0], [-1.0, -5.0, -7.0]])
def test_scores_fall_across_the_seam_and_keep_their_order(last: float, scores: list[float]) -> None:
    ranking = Fallback([Given([8], [last]), Given([1, 2, 3], scores)]).recommend(Query(), 4)
    got = ranking.scores.tolist()
    assert ranking.items.tolist() == [8, 1, 2, 3]
    assert got[0] == last
    assert got[1] < last
    assert [a > b for a, b in pairwise(got[1:])] == [a > b for a, b in pairwise(scores)]


def test_no_members_no_list() -> None:
    assert len(Fallback([]).recommend(Query(), 3)) == 0
