"""The groups of cases by hand."""

from __future__ import annotations

import numpy as np

from endcap.evaluation.offline import Case
from endcap.evaluation.segments import groups_of
from endcap.types import IntArray, Query


def rows(*numbers: int) -> IntArray:
    return np.array(numbers, np.int32)


def case(history: int, *relevant: int) -> Case:
    return Case(Query(history=np.zeros(history, np.int32)), rows(*relevant))


def test_groups_by_hand() -> None:
    popularity = rows(100, 50, 40, 4, 0)  # one third of the touches is 64.7
    cases = [case(0, 0), case(4, 3), case(5, 3, 1), case(20, 9)]  # 9 came after the past
    found = {name: part.tolist() for name, part in groups_of(cases, popularity).items()}
    assert found == {
        "new": [True, False, False, False],
        "with a history": [False, True, True, True],
        "history of 1 to 4": [False, True, False, False],
        "5 to 19": [False, False, True, False],
        "20 and more": [False, False, False, True],
        "wants cold items only": [False, True, False, True],
        "wants a warm item": [True, False, True, False],
        "popular": [True, False, False, False],
        "less popular": [False, False, True, False],
        "long tail": [False, True, False, True],
    }


def test_a_group_of_all_or_of_none_says_nothing() -> None:
    assert groups_of([case(3, 0), case(2, 0)], rows(9)) == {}
