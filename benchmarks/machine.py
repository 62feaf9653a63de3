"""What a figure was taken on: the machine, the versions, the commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from msgspec import Struct

PACKAGES = ("endcap", "implicit", "msgspec", "numpy", "scipy", "starlette", "uvicorn", "uvloop", "httptools")


class Machine(Struct):
    """Nothing in it names the machine or a folder of it."""

    cpu: str
    cores: int
    """That this process may use."""
    memory_gb: float
    kernel: str
    disk: str
    """The file system under the home folder; ``tmpfs`` would make fsync free."""
    python: str
    packages: dict[str, str]
    commit: str | None
    """The source's; None outside a checkout."""
    modified: bool
    """Whether the source differs from the commit."""
    load_average: float
    """Of the last minute, before anything was started."""


def describe(folder: Path) -> Machine:
    """This machine; ``folder`` is where the homes will lie."""
    return Machine(
        cpu=_first(r"model name\s*:\s*(.+)", "/proc/cpuinfo"),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(int(_first(r"MemTotal:\s*(\d+)", "/proc/meminfo")) * 1024 / 1e9, 1),
        kernel=platform.release(),
        disk=_file_system(folder),
        python=platform.python_version(),
        packages={name: version(name) for name in PACKAGES},
        commit=_git("rev-parse", "HEAD"),
        modified=bool(_git("status", "--porcelain", "--", "src", "benchmarks", ":!benchmarks/results")),
        load_average=load_average(),
    )


def load_average() -> float:
    """Of the last minute."""
    return round(os.getloadavg()[0], 2)


def _first(pattern: str, path: str) -> str:
    found = re.search(pattern, Path(path).read_text())
    return found[1].strip() if found else "unknown"


def _git(*arguments: str) -> str | None:
    done = subprocess.run(
        ["git", "-C", str(Path(__file__).parents[1]), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _file_system(folder: Path) -> str:
    """The type of the mount with the longest path above ``folder``."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    above = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]))[1] if above else "unknown"
