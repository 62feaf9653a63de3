"""How much memory and disk a shop will take, before it takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from endcap.backends.log.counting import count, last_entry
from endcap.config import Home
from endcap.errors import HomeError


@dataclass(frozen=True, slots=True)
class Size:
    """How large a shop is."""

    items: int
    users: int
    """Users and visitors that have done something."""
    events: int
    lists: int = 0
    """Served lists that the log keeps: as many a day as are asked for, times ``serve.keep_served_days``."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes: what is taken whatever comes, and for each item, user, event and served list."""

    fixed: int
    item: int
    user: int
    event: int
    served: int = 0

    def of(self, size: Size) -> int:
        """Bytes for a shop of that size."""
        known = self.fixed + self.item * size.items + self.user * size.users + self.event * size.events
        return known + self.served * size.lists


# Measured by benchmarks/plan.py --fit: five drawn shops of 100 to 8,000 items, 1,000 to 60,000 users and 5,000 to
# 500,000 events in visits of four, each through import, train, serve and 2,000 lists; the costs whose worst relative
# error is the smallest. Events have ids and one item. Two more shops, on which nothing was fitted, check them
# (benchmarks/results/plan.json). The log's costs are of its rows, with the index of times that a server makes in its
# first minute (21 bytes an entry); a served list is one of ten items.
COSTS: Mapping[str, Cost] = {
    "server": Cost(225_000_000, 8_360, 950, 171),
    "log": Cost(40_000, 182, 0, 143, 252),
    "snapshot": Cost(75_000, 252, 148, 52),
    "model": Cost(2_100, 416, 0, 0),
    "vectors": Cost(0, 2_068, 0, 0),
}
"""By what takes them. ``server`` is memory, resident after 2,000 lists; the others are disk."""
MEMORY = "server"


EVENTS_PER_USER = 20
"""Where nobody says how many events there are."""


def plan(size: Size) -> dict[str, int]:
    """Bytes by what takes them, with the settings at their defaults. Disk is for one model and one snapshot."""
    return {name: cost.of(size) for name, cost in COSTS.items()}


def size_of(home: Home) -> Size:
    """How large the shop of ``home`` is now; nothing where there is no log. Costs a scan of the log."""
    if not home.log.is_file():
        return Size(0, 0, 0)
    found = count(home.log)
    return Size(found.items, found.users, found.events, found.lists)


def check_fits(home: Home, available: int) -> None:
    """Raises HomeError if a server of ``home`` would take more than ``available`` bytes of memory.

    A log that cannot be too large however its entries are shared out is not counted: the usual case, and at once.
    """
    entries = last_entry(home.log)
    if plan(Size(entries, entries, entries))[MEMORY] <= available:
        return
    size = size_of(home)
    needed = plan(size)[MEMORY]
    if needed > available:
        raise HomeError(
            f"{home.path} holds {size.items:,} items, {size.users:,} users and {size.events:,} events: serving "
            f"takes about {needed / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB is available: give it more, "
            "or see 'endcap plan'"
        )


def available_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that this machine, or the container that this process is in, can still give; a large number if unknown."""
    known = [_UNKNOWN]
    found = re.search(r"MemAvailable:\s+(\d+) kB", _read(proc / "meminfo"))
    if found is not None:
        known.append(int(found[1]) * 1024)
    limit, used = _read(cgroup / "memory.max").strip(), _read(cgroup / "memory.current").strip()
    if limit.isdecimal() and used.isdecimal():
        cached = re.search(r"^inactive_file (\d+)$", _read(cgroup / "memory.stat"), re.MULTILINE)
        known.append(int(limit) - int(used) + (int(cached[1]) if cached else 0))  # the system lets go of its cache
    return max(min(known), 0)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


_UNKNOWN = 1 << 62
