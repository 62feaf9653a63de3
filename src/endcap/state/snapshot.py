"""A snapshot: the whole state at one offset in one file, so that a restart reads only the log's tail.

The log stays the truth. A file that is torn, that other code or other settings made, or that belongs to
another log is refused, and what it would have saved is replayed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from endcap.config import StateConfig
from endcap.state.fold import State
from endcap.state.packing import Packed, pack_json, prefixed, under, unpack_json
from endcap.state.user import pack_histories, unpack_histories

NEWEST = 2
"""Snapshots that stay in any case; one that is torn has another behind it."""
APART = 100_000
"""Of the older ones, those stay that are so many entries apart: from one to the next, replay takes about a second."""
MOST = 10
"""Snapshots in all."""


@dataclass(frozen=True, slots=True, order=True)
class Snapshot:
    """A file with the state at one entry."""

    offset: int
    """The newest entry in it."""
    since: int
    """It holds nobody whom an erasure up to this entry of the log took away."""
    path: Path


Newest = Callable[[int], bytes | None]
"""The bytes of the log's entry at an offset; None if there is none. Tells one log from another."""


def digest(state: State) -> str:
    """Equal for states that are equal to the last bit. Hex, 32 characters."""
    return _digest(_pack(state))


def save(state: State, folder: Path, newest: Newest) -> Path:
    """Write ``folder``/<offset>.npz, whole or not at all, and delete all but the newest ones.

    Raises OSError if the disk refuses.
    """
    path = folder / f"{state.offset:020d}.npz"
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        write(state, part, newest)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    thin_out(folder)
    return path


def write(state: State, path: Path, newest: Newest) -> None:
    """Write ``state`` to ``path``; it is on the disk when this returns. Raises OSError if the disk refuses."""
    arrays = _pack(state)
    arrays["made"] = pack_json([_maker(state.config), _entry(newest, state.anchor), _digest(arrays)])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # its stub takes the arrays for a flag
        file.flush()
        os.fsync(file.fileno())


def snapshots(folder: Path) -> list[Snapshot]:
    """What is kept in ``folder``, the newest first."""
    found = []
    for path in folder.glob("*.npz"):
        offset, _, since = path.stem.partition("-")
        if offset.isdecimal() and (since or offset).isdecimal():
            found.append(Snapshot(int(offset), int(since or offset), path))
    return sorted(found, reverse=True)


def thin_out(folder: Path) -> None:
    """Delete all but the newest ones, and some of the older ones."""
    for old in _superfluous(snapshots(folder)):
        old.path.unlink(missing_ok=True)


def name_since(offset: int, since: int) -> str:
    """Of the file of a snapshot that is older than the log was when it was made: that had the entry ``since``."""
    return f"{offset:020d}-{since:020d}.npz"


def maker(config: StateConfig) -> str:
    """Names the code and the settings: only the same ones make the same state of a log."""
    return _maker(config)


def proof(path: Path) -> tuple[str, str]:
    """The maker of the snapshot at ``path``, and the digest of its state. Raises OSError."""
    with path.open("rb") as file:
        made_by, _, checksum = unpack_json(np.load(file, allow_pickle=False)["made"])
    return str(made_by), str(checksum)


def load(
    folder: Path,
    config: StateConfig,
    newest: Newest,
    until: int | None = None,
    outdated: Callable[[int, int], bool] = lambda *_: False,
) -> State:
    """The state of the newest snapshot that may be trusted; the empty state if there is none.

    ``until``: of those that are not newer than this offset. ``outdated`` says of an offset whether the log up to it
    has changed since another: an erasure does that.
    """
    for one in snapshots(folder):
        if (until is not None and one.offset > until) or outdated(one.offset, one.since):
            continue
        try:
            with one.path.open("rb") as file:  # opened here, because np.load leaves a torn file open
                stored = np.load(file, allow_pickle=False)
                arrays = {name: stored[name] for name in stored.files}
            maker, entry, checksum = unpack_json(arrays.pop("made"))
            anchor = int(arrays["anchor"])
            if (maker, entry, checksum) == (_maker(config), _entry(newest, anchor), _digest(arrays)):
                return _unpack(arrays, config)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue  # torn: an older one, or the log, says the same
    return State(config)


def _superfluous(found: list[Snapshot]) -> list[Snapshot]:
    """Those of ``found``, the newest first, that need not stay."""
    older, stay = found[NEWEST:], list[Snapshot]()
    for one in reversed(older):  # from the oldest on, so that those that stay are the same the next time
        if one.offset - (stay[-1].offset if stay else 0) >= APART:
            stay.append(one)
    return [one for one in older if one not in stay[NEWEST - MOST :]]


def _maker(config: StateConfig) -> str:
    """Changes with the settings and with every line of the fold: only the same code goes on from a state."""
    made_by = hashlib.blake2b(json.dumps(asdict(config), sort_keys=True).encode(), digest_size=16)
    for path in _sources():
        made_by.update(path.read_bytes())
    return made_by.hexdigest()


def _sources() -> Iterator[Path]:
    package = Path(__file__).parent.parent
    yield from sorted(Path(__file__).parent.glob("*.py"))
    yield from (
        package / "events" / "log.py",
        package / "events" / "schema.py",
        package / "events" / "served.py",
        package / "catalog" / "items.py",
        package / "catalog" / "rules.py",
    )


def _entry(newest: Newest, offset: int) -> str | None:
    data = newest(offset)
    return None if data is None else hashlib.blake2b(data, digest_size=16).hexdigest()


def _digest(arrays: Packed) -> str:
    total = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {values.dtype.str} {values.shape}".encode())
        total.update(values.data if values.size else b"")
    return total.hexdigest()


def _pack(state: State) -> Packed:
    dismissed = [(user, item) for user, items in sorted(state._dismissed.items()) for item in items]
    return {
        "offset": np.array(state.offset, np.int64),
        "anchor": np.array(state.anchor, np.int64),
        "events": np.array(state.events, np.int64),
        "unreadable": np.array(state.unreadable, np.int64),
        "unreadable_first": pack_json(list(state.unreadable_first.items())),
        "items": pack_json(list(state.items)),
        "users": pack_json(list(state.users)),
        "identified": pack_json(list(state._identified.items())),
        "dismissed": np.array(dismissed, np.int64).reshape(-1, 2),
        **prefixed("shop", state.shop.pack()),
        **prefixed("facets", state.facets.pack()),
        **prefixed("private", state.private.pack()),
        **prefixed("attribution", state.attribution.pack()),
        **prefixed("popularity", state.popularity.pack()),
        **prefixed("sessions", state.sessions.pack()),
        **prefixed("baskets", state.baskets.pack()),
        **prefixed("histories", pack_histories(state._histories)),
    }


def _unpack(arrays: Packed, config: StateConfig) -> State:
    state = State(config)
    for name in unpack_json(arrays["items"]):
        state._item(name)
    for name in unpack_json(arrays["users"]):
        state.users.add(name)
    state.shop.unpack(under("shop", arrays))
    state.facets.unpack(under("facets", arrays))
    state.private.unpack(under("private", arrays))
    state.attribution.unpack(under("attribution", arrays))
    state.popularity.unpack(under("popularity", arrays))
    state.sessions.unpack(under("sessions", arrays))
    state.baskets.unpack(under("baskets", arrays))
    state._histories = unpack_histories(under("histories", arrays))
    state._identified = OrderedDict(unpack_json(arrays["identified"]))
    state.unreadable, state.unreadable_first = int(arrays["unreadable"]), dict(unpack_json(arrays["unreadable_first"]))
    for user, item in arrays["dismissed"].tolist():
        state._dismissed.setdefault(user, {})[item] = None
    state.offset, state.anchor, state.events = (int(arrays[name]) for name in ("offset", "anchor", "events"))
    return state
