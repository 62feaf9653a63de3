"""Work on a copy of the process: it sees one moment, says why it failed, and holds nothing of the server's open."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from endcap.serving.copied import in_a_copy


def in_time(path: Path) -> str:
    until = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < until
        time.sleep(0.01)
    return path.read_text().strip()


def test_it_sees_the_memory_as_it_was(tmp_path: Path) -> None:
    value = ["before"]

    def work() -> None:
        in_time(tmp_path / "go")
        (tmp_path / "seen").write_text(value[0])

    async def main() -> str | None:
        running = asyncio.create_task(in_a_copy(work, 10))
        await asyncio.sleep(0)
        value[0] = "after"
        (tmp_path / "go").write_text("\n")
        return await running

    assert asyncio.run(main()) is None
    assert (tmp_path / "seen").read_text() == "before"


def _raises() -> None:
    raise ValueError("no room on the disk")


@pytest.mark.parametrize(
    ("work", "seconds", "problem"),
    [
        (_raises, 10.0, "ValueError: no room on the disk"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), 10.0, "it ended with status -15 and said nothing"),
        (lambda: time.sleep(30), 0.2, "it took longer than 0.2 s and was ended"),
    ],
)
def test_what_goes_wrong_is_said(work: Callable[[], None], seconds: float, problem: str) -> None:
    began = time.monotonic()
    assert asyncio.run(in_a_copy(work, seconds)) == problem
    assert time.monotonic() - began < 10


def test_a_connection_and_a_lock_end_with_the_server_not_with_the_copy(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    lock = (tmp_path / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)

    def work() -> None:
        (tmp_path / "begun").write_text("\n")
        in_time(tmp_path / "go")

    async def main() -> None:
        running = asyncio.create_task(in_a_copy(work, 10))
        await asyncio.to_thread(in_time, tmp_path / "begun")
        ours.close()
        lock.close()
        theirs.settimeout(5)
        assert theirs.recv(1) == b"", "the other side hears the end at once"
        with (tmp_path / "lock").open("w") as again:
            fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (tmp_path / "go").write_text("\n")
        assert await running is None

    asyncio.run(main())
    theirs.close()


def test_it_ends_with_who_waits_for_it(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "pid").write_text(f"{os.getpid()}\n")
        time.sleep(60)

    async def main() -> None:
        running = asyncio.create_task(in_a_copy(work, 60))
        await asyncio.to_thread(in_time, tmp_path / "pid")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    with pytest.raises(ProcessLookupError):
        os.kill(int(in_time(tmp_path / "pid")), 0)


def test_a_thread_that_holds_a_lock_does_not_hold_it_up() -> None:
    """The import lock, the allocator's and Python's own are mended: a copy works while others are busy."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            sum(len(str(number)) for number in range(1_000))

    def allocate() -> None:
        assert len([bytearray(100_000) for _ in range(100)]) == 100

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert asyncio.run(in_a_copy(allocate, 10)) is None
    finally:
        stop.set()
        for thread in threads:
            thread.join()
