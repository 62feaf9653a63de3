"""Entries that can be read and break the fold, which a start refuses: found, and set aside where they stand.

One that is set aside keeps its offset, its bytes and its key; its kind says that the fold leaves it out, as it does one
that cannot be read. Each run tries those that were set aside before: what this version can apply is taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from endcap.config import Config, Home
from endcap.errors import HomeError
from endcap.events.log import ASIDE, original, to_entry
from endcap.pipelines.person import entries_of
from endcap.pipelines.restart import replayed, snapshot_of
from endcap.protocols import Log
from endcap.state.fold import State, apply
from endcap.state.snapshot import snapshots
from endcap.types import Progress, Record, Rewrite

MOST = 20
"""Where more break the fold, it is not the entries that are at fault."""
SHOWN_EVERY = 10_000
_NEVER = ("erasure", "erased")
"""Kinds without which people who were erased might come back, or items change their rows."""


@dataclass(frozen=True, slots=True)
class Aside:
    """Which entries break the fold."""

    broken: dict[int, str]
    """By offset: its kind, and how it fails."""
    taken_back: tuple[int, ...]
    """Entries that were set aside before, and can be applied now."""


def set_aside(home: Path, config: Config, log: Log, progress: Progress, *, look_only: bool = False) -> Aside:
    """Fold ``log``, and set aside the entries that break it; ``look_only``: only find them.

    Costs a fold for each of them, one entry at a time. Nobody else may work with the home, but beside one who only
    looks. Raises HomeError where setting aside is no way out; then nothing was changed.
    """
    before = {offset for offset, record in log.read() if record.kind.startswith(ASIDE)}
    start, broken = min(before, default=log.last_offset() + 1) - 1, dict[int, str]()
    while (found := _first_broken(snapshot_of(home, config, log, start), log, broken, progress)) is not None:
        offset, record, error = found
        broken[offset] = f"{record.kind}: {error!r:.200}"
        _check(offset, record, broken)
    done = Aside(broken, tuple(sorted(before - broken.keys())))
    if not look_only and broken.keys() != before:
        _rewrite(log, broken.keys() - before, lambda record: replace(record, kind=ASIDE + record.kind))
        _rewrite(log, before - broken.keys(), original)
        for one in snapshots(Home(home).state):
            if one.offset >= min(broken.keys() ^ before):
                one.path.unlink(missing_ok=True)
    if not look_only:
        replayed(home, config, log)  # what the next start does; it keeps a snapshot
    return done


def _first_broken(
    state: State, log: Log, broken: Iterable[int], progress: Progress
) -> tuple[int, Record, Exception] | None:
    """The first entry of ``log`` that cannot be applied where those at ``broken`` are left out."""
    last = log.last_offset()
    for offset, record in log.read(state.offset):
        if offset in broken:
            continue
        whole = original(record)
        try:
            apply(state, to_entry(offset, whole))
        except MemoryError:  # that is the machine's fault
            raise
        except Exception as error:  # whatever it is, a start would meet it too
            return offset, whole, error
        if offset % SHOWN_EVERY == 0:
            progress(offset, last)
    return None


def _check(offset: int, record: Record, broken: dict[int, str]) -> None:
    if record.kind in _NEVER:
        raise HomeError(
            f"entry {offset:,} is part of an erasure and cannot be applied ({broken[offset]}): it must not be left "
            "out; start the version of Endcap that wrote it, and report this"
        )
    if len(broken) > MOST:
        raise HomeError(
            f"more than {MOST} entries break the fold, the last found is {offset:,} ({broken[offset]}); nothing was "
            "changed: start the version of Endcap that wrote them, and report this"
        )


def _rewrite(log: Log, offsets: Iterable[int], change: Callable[[Record], Record]) -> None:
    """Change the records at ``offsets``, as they are when nobody else can write: one may have been erased meanwhile."""

    def changes() -> Iterator[tuple[int, Record | None]]:
        yield from ((at, change(record)) for at, record in entries_of(log, offsets) if record.kind not in _NEVER)

    log.rewrite(log.last_offset(), lambda _: Rewrite(dict(changes())))
