"""The three ways to cut the past, each against cutting by hand."""

from __future__ import annotations

import numpy as np

from endcap.evaluation.splits import by_time, last_share, leave_last_out


def test_by_time_cuts_at_one_moment_for_everybody() -> None:
    time = np.array([50, 10, 30, 20, 40, 30])
    split = by_time(time, cut=40, validation_from=30)
    assert split.early.tolist() == [1, 3]  # 10, 20
    assert split.late.tolist() == [2, 5]  # both at 30: the moment itself belongs to what follows
    assert split.test.tolist() == [0, 4]  # 50, 40


def test_by_time_of_nothing() -> None:
    split = by_time(np.empty(0, np.int64), cut=40, validation_from=30)
    assert [part.size for part in (split.early, split.late, split.test)] == [0, 0, 0]


def test_leave_last_out_by_hand() -> None:
    #                 0  1  2  3  4  5  6  7
    user = np.array([7, 8, 7, 7, 8, 7, 8, 9])
    split = leave_last_out(user)
    assert split.test.tolist() == [5, 6]
    assert split.late.tolist() == [3, 4]
    assert split.early.tolist() == [0, 1, 2, 7]  # 9 has one row only


def test_leave_last_out_against_one_user_at_a_time() -> None:
    rng = np.random.default_rng(2)
    user = rng.integers(0, 40, 100)
    split = leave_last_out(user)
    for who in range(40):
        mine = [row for row in range(100) if user[row] == who]
        expected = (mine[:-2], mine[-2:-1], mine[-1:]) if len(mine) >= 3 else (mine, [], [])
        for part, wanted in zip((split.early, split.late, split.test), expected, strict=True):
            assert [row for row in part.tolist() if user[row] == who] == wanted


def test_leave_last_out_of_too_few_rows() -> None:
    split = leave_last_out(np.array([1, 1, 2]))
    assert split.early.tolist() == [0, 1, 2]
    assert split.late.size == split.test.size == 0
    assert leave_last_out(np.empty(0, np.int64)).early.size == 0


def test_last_share() -> None:
    split = last_share(10, 0.2)
    assert split.early.tolist() == list(range(8))
    assert split.late.tolist() == [8, 9]
    assert split.test.size == 0
