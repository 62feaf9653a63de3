"""Training again and again: when it begins, what is said of it, and that it ends with the server. Real processes."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from endcap.serving import retraining
from endcap.serving.retraining import Retraining

HOUR = 3_600_000


def script(code: str) -> Sequence[str]:
    return [sys.executable, "-c", code]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def run(training: Retraining, until: Callable[[], bool]) -> None:
    """Keeps training until ``until`` holds."""

    async def keep() -> None:
        async with training.kept(), asyncio.timeout(20):
            while not until():
                await asyncio.sleep(0.01)

    asyncio.run(keep())


def test_it_begins_when_the_newest_model_is_that_old() -> None:
    def due(newest: int | None) -> float:
        return Retraining(script(""), 3_600, lambda: newest, lambda: 10 * HOUR).next_ms / HOUR

    assert (due(None), due(8 * HOUR), due(9 * HOUR), due(9 * HOUR + 1), due(10 * HOUR)) == (
        10,
        10,
        10,
        10 + 1 / HOUR,
        11,
    )


def test_a_clock_that_was_years_ahead_puts_training_off_by_one_interval_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retraining, "LOOK_SECONDS", 0.02)
    clock = [50 * 365 * 24 * HOUR]
    training = Retraining(script(""), 3_600, lambda: clock[0], lambda: clock[0])
    clock[0] = 10 * HOUR  # somebody has set it right
    assert training.next_ms > 1_000 * HOUR

    async def keep() -> None:
        async with training.kept(), asyncio.timeout(20):
            while training.next_ms != 11 * HOUR:
                await asyncio.sleep(0)
            clock[0] = 11 * HOUR
            while training.succeeded == 0:
                await asyncio.sleep(0.01)

    asyncio.run(keep())
    assert training.last is not None
    assert training.last.seconds >= 0


def test_it_trains_again_after_each_interval_and_counts(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    training = Retraining(script(f"open({str(marks)!r}, 'a').write('x')"), 0.3, lambda: None, now_ms)
    began = time.monotonic()
    run(training, lambda: training.succeeded >= 3)
    assert len(marks.read_text()) >= 3
    assert time.monotonic() - began >= 0.6  # the third began two intervals after the first
    assert training.failed == 0
    assert training.last is not None
    assert training.last.problem is None
    assert training.last_success_ms == training.last.started_ms


def test_what_is_wanted_brings_the_next_training_forward_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endcap.serving.retraining.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("endcap.serving.retraining.SOON_SECONDS", 0.2)
    wanted: list[bool] = []
    training = Retraining(script("import sys; sys.exit(3)"), 3_600, now_ms, now_ms, lambda: bool(wanted))
    began = time.monotonic()

    def until() -> bool:
        if not wanted and time.monotonic() - began > 0.3:
            assert training.failed == 0, "its time has not come"
            wanted.append(True)
        return training.failed >= 1

    run(training, until)
    assert time.monotonic() - began >= 0.5
    before = training.next_ms
    later = time.monotonic() + 0.5
    run(training, lambda: time.monotonic() > later)
    assert (training.failed, training.next_ms) == (1, before), "a failure waits for its time, though it is still wanted"
    wanted.clear()
    cleared = time.monotonic() + 0.1
    run(training, lambda: time.monotonic() > cleared)
    wanted.append(True)
    run(training, lambda: training.failed >= 2)


def test_a_failure_is_logged_with_its_last_line_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    code = "import sys; print('first', file=sys.stderr); print('the log holds no events', file=sys.stderr); sys.exit(2)"
    training = Retraining(script(code), 0.2, lambda: None, now_ms)
    with caplog.at_level(logging.WARNING):
        run(training, lambda: training.failed >= 2)
    assert training.last is not None
    assert training.last.problem == "the log holds no events"
    assert training.last_success_ms is None
    assert [record.message for record in caplog.records[:2]] == ["training failed"] * 2
    assert caplog.records[0].__dict__["reason"] == "the log holds no events"


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (script("import sys; sys.exit(7)"), "it ended with status 7 and said nothing"),
        (["/nowhere/endcap"], "/nowhere/endcap cannot be run: No such file or directory"),
    ],
)
def test_a_failure_without_words_is_named(command: Sequence[str], problem: str) -> None:
    training = Retraining(command, 3_600, lambda: None, now_ms)
    run(training, lambda: training.failed == 1)
    assert training.last is not None
    assert training.last.problem == problem
    assert 0 <= training.last.seconds < 5


def pid_in(path: Path) -> int:
    return int(path.read_text()) if path.exists() and path.read_text().endswith("\n") else 0


def test_it_ends_with_the_server_and_yields_to_it(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = f"import os, time; open({str(mark)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    training = Retraining(script(code), 3_600, lambda: None, now_ms)
    niceness: list[int] = []

    def under_way() -> bool:
        pid = pid_in(mark)
        if pid:
            niceness.append(os.getpriority(os.PRIO_PROCESS, pid))
            assert training.running
        return bool(pid) and niceness[-1] != before  # it may write before it is told to yield

    before = os.getpriority(os.PRIO_PROCESS, 0)
    run(training, under_way)
    with pytest.raises(ProcessLookupError):
        os.kill(pid_in(mark), 0)
    assert niceness[-1] == min(before + 10, 19)
    assert not training.running
    assert training.last is None


def test_one_that_does_not_hear_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endcap.serving.retraining.STOP_SECONDS", 0.2)
    mark = tmp_path / "pid"
    code = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        f"open({str(mark)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    )
    run(Retraining(script(code), 3_600, lambda: None, now_ms), lambda: pid_in(mark) > 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid_in(mark), 0)
