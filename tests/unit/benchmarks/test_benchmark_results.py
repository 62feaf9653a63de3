"""Which rate counts as sustained."""

from __future__ import annotations

from openloop import Latency, Load
from results import Phase, both_at, highest, passes


def phase(rate: float, p90: float | None, achieved: float | None = None, unanswered: int = 0) -> Phase:
    whole = Latency(100, 1.0, p90, 9.0, 10.0)
    answered = rate if achieved is None else achieved
    load = Load(rate, 1.0, [whole], whole, answered, 0, "", unanswered, 0.1, 0.1, 0.1)
    return Phase(load, cpu_ms=1.0, cpu_share=0.1, other_cpu_share=0.0, load_average=0.5)


def test_a_rate_passes_up_to_the_limit() -> None:
    assert passes(phase(100, 7.0))
    assert not passes(phase(100, 7.001))
    assert not passes(phase(100, None))


def test_a_rate_that_was_not_answered_while_it_lasted_does_not_pass() -> None:
    assert passes(phase(1000, 1.0, achieved=990))
    assert not passes(phase(1000, 1.0, achieved=989))
    assert not passes(phase(1000, 1.0, unanswered=1))


def test_the_highest_rate_has_no_failure_below_it() -> None:
    found = highest([phase(100, 1.0), phase(200, 8.0), phase(200, 9.0), phase(300, 1.0)])
    assert found is not None
    assert found.load.rate == 100


def test_a_second_try_counts() -> None:
    ladder = [phase(100, 1.0), phase(200, 8.0), phase(200, 2.0)]
    assert highest(ladder) is ladder[2]


def test_no_rate_passed() -> None:
    assert highest([phase(100, 8.0)]) is None


def test_cost_is_compared_at_the_highest_rate_of_both() -> None:
    slow = [phase(100, 1.0), phase(200, 1.0), phase(300, 9.0)]
    fast = [phase(100, 1.0), phase(200, 9.0), phase(200, 1.0), phase(300, 1.0)]
    assert both_at(slow, fast) == (slow[1], fast[2])
    assert both_at(fast, slow) == (fast[2], slow[1])


def test_cost_is_compared_at_the_lowest_rate_where_a_side_sustained_none() -> None:
    fast, none = [phase(100, 1.0), phase(200, 1.0)], [phase(100, 9.0)]
    assert both_at(fast, none) == (fast[0], none[0])
