"""The spool: first in, first out, there after the process has died, and never half a record."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endcap.backends.log.spool import Spool
from endcap.errors import HomeError, OverloadedError
from endcap.types import Record


def record(number: int, size: int = 10) -> Record:
    return Record("served", number, b"x" * size, f"served/{number}")


def test_what_was_not_released_is_left_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    sizes = [spool.append(record(number)) for number in range(5)]
    spool.release(sizes[0] + sizes[1])
    assert spool.left() == [record(2), record(3), record(4)]
    spool.clear()
    assert spool.left() == []


def test_another_process_sees_how_much_was_written_and_released(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    assert Spool.counts(path) == (0, 0)
    spool = Spool(path)
    sizes = [spool.append(record(number)) for number in range(3)]
    spool.release(sizes[0])
    assert Spool.counts(path) == (sizes[0], sum(sizes))
    spool.clear()
    assert Spool.counts(path) == (sum(sizes), sum(sizes))


def test_another_process_that_was_killed_leaves_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    code = (
        "import os, signal, sys; from pathlib import Path; from endcap.backends.log.spool import Spool;"
        "from endcap.types import Record; spool = Spool(Path(sys.argv[1]));"
        "[spool.append(Record('served', n, b'data', f'k{n}')) for n in range(3)];"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert [one.key for one in Spool(path).left()] == ["k0", "k1", "k2"]


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=80))
@settings(max_examples=50, deadline=None)
def test_round_and_round_the_ring(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]]) -> None:
    path = tmp_path_factory.mktemp("ring") / "spool"
    spool = Spool(path, capacity=256)
    waiting: list[tuple[Record, int]] = []
    for number, (size, release) in enumerate(steps):
        if release and waiting:
            spool.release(waiting.pop(0)[1])
        one = record(number, size)
        try:
            waiting.append((one, spool.append(one)))
        except OverloadedError:
            assert sum(taken for _, taken in waiting) + size > 150
        assert spool.left() == [one for one, _ in waiting]
    spool.close()
    assert Spool(path, capacity=256).left() == [one for one, _ in waiting]


def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", capacity=128)
    spool.append(record(1, 60))
    with pytest.raises(OverloadedError, match="too many answers wait for the disk: ask again in a second"):
        spool.append(record(2, 60))
    assert spool.left() == [record(1, 60)]


def test_nothing_after_a_damaged_record_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path)
    for number in range(3):
        spool.append(record(number, 40))
    spool.close()
    data = bytearray(path.read_bytes())
    data[data.index(b"served/1") + 7] = ord("9")
    path.write_bytes(bytes(data))
    assert Spool(path).left() == [record(0, 40)]


@pytest.mark.parametrize("content", [b"", b"something else" * 100])
def test_a_file_of_something_else_begins_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "spool"
    path.write_bytes(content)
    assert Spool(path, capacity=256).left() == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HomeError, match="cannot be used"):
        Spool(tmp_path / "file" / "spool")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_was_released_is_not_left_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    spool = Spool(path, capacity=256)
    sizes = [spool.append(record(number, 60)) for number in range(2)]
    spool.release(sizes[0])
    spool.append(record(2, 60))  # goes round the end of the ring
    spool.release(sizes[1])
    stored = path.read_bytes()
    assert b"served/2" in stored
    assert b"served/0" not in stored
    assert b"served/1" not in stored
    spool.clear()
    assert path.read_bytes()[64:] == bytes(256)
    spool.close()
