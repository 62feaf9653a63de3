"""Real processes: started, watched through /proc, and stopped, whatever happens in between. Linux."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 180.0
STOP_SECONDS = 30.0
_TICK = os.sysconf("SC_CLK_TCK")
_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Served:
    """A server that takes connections on loopback."""

    pid: int
    port: int

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far; to 0.01 s."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def waited_seconds(self) -> float:
        """How long its first thread, which answers, was ready so far and had no core, because others ran."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[1]) / 1e9

    def memory_mb(self) -> float:
        """Resident memory now, MB."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        if found is None:
            raise RuntimeError(f"process {self.pid} has ended")
        return round(int(found[1]) * 1024 / 1e6, 1)


@contextlib.contextmanager
def serving(command: Sequence[object], output: Path, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    """The server that ``command`` starts, once it has said its address; ended by its process id.

    Raises RuntimeError with what it printed if it ends, or says nothing for START_SECONDS.
    """
    with output.open("w") as printed:
        process = subprocess.Popen(
            [str(part) for part in command], stdout=printed, stderr=printed, env={**os.environ, **(environment or {})}
        )
    try:
        yield Served(process.pid, _port(process, output))
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends ``process`` and waits for it; kills it if it does not go."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS)


def busy_seconds() -> float:
    """CPU time that the whole machine has spent on anything so far."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / _TICK


def _port(process: subprocess.Popen[bytes], output: Path) -> int:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        found = _ADDRESS.search(output.read_text())
        if found is not None:
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError(f"a server did not start: {process.args!r}\n{output.read_text()}")
