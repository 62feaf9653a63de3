"""Erase people: their entries leave the log, and the state is folded again from what remains.

Nothing is taken out of a state: the digest of what serves stays that of a fold from the first entry. Rows of items
must not move (served lists and models go by them), so an entry that was the first to name an item leaves a tombstone.
Every step may be repeated: what a run that was stopped has left is done by the next one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from pathlib import Path

import msgspec

from endcap.config import Home
from endcap.errors import HomeError, ModelError, NotFoundError
from endcap.events.erasing import erased_under, erasures, last_number
from endcap.events.erasure import Erasure, Tombstone
from endcap.events.log import entries, to_entry, to_record
from endcap.events.schema import Event
from endcap.events.served import Served
from endcap.models.tabular import CARD, Card, pack_card, read_card
from endcap.pipelines.ladder import Ladder
from endcap.pipelines.person import Finder, Person, find
from endcap.pipelines.report import write_file
from endcap.pipelines.restart import entry_bytes
from endcap.pipelines.underway import last_swept, note, noted, sweep
from endcap.protocols import Log
from endcap.state.batch import apply_batch
from endcap.state.fold import State, apply
from endcap.state.snapshot import digest, snapshots
from endcap.types import Entry, Progress, Record, Rewrite

MOST_BESIDE_BYTES = 2 * 10**9
"""A log up to this size is made anew beside a server, whose appends wait for it up to 60 s; 10 to 20 s a GB were
measured. A larger one waits for ``endcap erase --compact`` with the server stopped."""
KEY_BYTES = 32
_SQLITES = ("-wal", "-shm")
_REPORTS = (".json", ".html")
"""What imports, checks and evaluations write: it names nobody, once the examples are out."""
_SEGMENT = 10_000
_STEPS = 6

BEYOND = (
    "Backups that were made before hold what was erased: delete them, or erase again after a restore.",
    "Models that were trained before keep an influence that names nobody, until the next training: run endcap train.",
    "Files that were written elsewhere (newsletters, predictions, exports) and other systems are not reached.",
    "The disk may keep old blocks of files that were deleted or written anew: that is the file system's business.",
)
"""What an erasure does not reach."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an erasure did. It names nobody."""

    number: int | None
    """Of the erasure, from 1; None: the log held nothing of them, and nothing was changed."""
    time: int
    """Milliseconds since 1970."""
    people: tuple[str, ...]
    """A keyed hash of each id that was asked for, hex."""
    entry: int | None = None
    """The erasure's own entry in the log."""
    events: dict[str, int] = field(default_factory=dict)
    """How many events went, by type."""
    lists: int = 0
    """How many served lists went."""
    visitors: int = 0
    """How many visitor ids were theirs."""
    known_visitors: int = 0
    """Visitor ids that were asked for and are known as a user: what they did is that user's, and stays."""
    shared_visitors: int = 0
    """Visitor ids that were sent with their user ids and with others': what those did without a user id stays."""
    tombstones: int = 0
    """Entries of which the ids of items stay, and nothing else: they were the first to name them."""
    first: int | None = None
    """The first entry that went."""
    offset: int | None = None
    """The entry that both digests are of."""
    before: str | None = None
    """The digest of the state with them."""
    after: str | None = None
    """The digest of the state without them."""
    snapshots: int = 0
    """Snapshots of the state that were deleted."""
    reports: int = 0
    """Reports of imports whose examples were taken out: a row that was refused may be anybody's."""
    cache_files: int = 0
    """Files of the cache folder that were deleted."""
    exports: int = 0
    """Files with their data, made for a request through Shopify, that were deleted."""
    tables: int = 0
    """Models of labelled tables out of which their ids were taken: to them they are unknown."""
    damaged: tuple[int, ...] = ()
    """Entries that nobody could read any more. They may have been theirs, so they went too."""
    compacted: bool = True
    """Whether no byte of what was erased is left in the log's files."""
    problem: str | None = None
    """Why not, and what to do; None if so."""
    unreached: tuple[str, ...] = ()
    """Files in the home that Endcap does not know, or that ``endcap repair`` kept: they may hold what was erased."""
    beyond: tuple[str, ...] = BEYOND


@dataclass(frozen=True, slots=True)
class Job:
    """What an erasure works with; wiring fills it."""

    log: Log
    home: Home
    snapshot: Callable[[int], State]
    """The state to fold on from, not newer than an offset."""
    keep: Callable[[State], None]
    """Called with the state without them: the next start need not fold it again."""
    new_key: Callable[[], bytes]
    """32 random bytes."""
    wait: Callable[[], None] | None
    """Where a server runs: waits until the lists that it has served are in the log, or raises HomeError. None: none
    runs, and all of them are."""


@dataclass(slots=True)
class _Cut:
    """What goes, and the state without it, up to some entry."""

    state: State
    changes: dict[int, Record | None]
    ladder: Ladder
    events: Counter[str] = field(default_factory=Counter)
    lists: int = 0

    def fold(self, stream: Iterable[Entry], taken: set[int]) -> None:
        """Go on with ``stream``, of which the entries at ``taken`` go."""
        segment: list[Entry] = []
        for entry in stream:
            if entry.offset in taken or len(segment) >= _SEGMENT:
                apply_batch(self.state, segment)
                self.ladder.pass_by(self.state)
                segment = []
            if entry.offset in taken:
                self._take(entry)
            else:
                segment.append(entry)
        apply_batch(self.state, segment)

    def _take(self, entry: Entry) -> None:
        body = entry.body
        new: tuple[str, ...] = ()
        if isinstance(body, Event):
            self.events[body.type] += 1
            new = self._first_named(body)
        elif isinstance(body, Served):
            self.lists += 1
        self.changes[entry.offset] = to_record(Tombstone(new)) if new else None
        if new:
            apply(self.state, Entry(entry.offset, 0, Tombstone(new)))

    def _first_named(self, event: Event) -> tuple[str, ...]:
        """The items that got their row by ``event``; without consent it gives none."""
        if event.consent is False:
            return ()
        return tuple(dict.fromkeys(line.item_id for line in event.lines() if line.item_id not in self.state.items))


def erase(job: Job, people: Sequence[Person], now_ms: int, progress: Progress) -> Receipt:
    """Erase ``people``: everything under the home that is theirs. A server may run beside it; it follows the log.

    Raises HomeError if the home cannot be used; then either nothing was changed, or running it again goes on.
    """
    for _ in erasures(job.log):
        pass  # one that is damaged must not go as an entry that may be anybody's: it raises HomeError
    _lists_under_way(job)  # of an erasure that was stopped
    hashes = keyed_hashes(people, erasure_key(job.home.erasure_key, job.new_key))
    receipt = Receipt(None, now_ms, hashes)
    while (done := _rewritten(job, people, receipt, progress)) is None:
        pass  # who came in meanwhile changes whose the older entries are: look again
    done = replace(done, exports=_drop_exports(job.home.exports, people), tables=_drop_ids(job.home.labelled, people))
    if done.number is None and not job.home.erasure_pending.exists():
        progress(_STEPS, _STEPS)
        return done
    return clean(job, done, progress)


def clean(job: Job, receipt: Receipt, progress: Progress) -> Receipt:
    """Take away what the log no longer holds from the rest of the home; ``receipt`` with what was done."""
    _lists_under_way(job)
    receipt = replace(
        receipt,
        unreached=_unreached(job.home),
        snapshots=receipt.snapshots + _drop_snapshots(job),
        reports=_drop_examples(job.home.reports),
        cache_files=_empty(job.home.cache),
    )
    progress(5, _STEPS)
    problem = _compact(job)
    progress(_STEPS, _STEPS)
    return replace(receipt, compacted=problem is None, problem=problem)


def erasure_key(path: Path, new_key: Callable[[], bytes]) -> bytes:
    """The key at ``path``, which only its owner may read; a new one if there is none. Raises HomeError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        if not path.exists():
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(new_key())
                file.flush()
                os.fsync(file.fileno())
            try:
                path.hardlink_to(part)  # fails if another process was faster: then its key holds
            except FileExistsError:
                pass
            finally:
                part.unlink()
        key = path.read_bytes()
    except OSError as error:
        raise HomeError(f"{path} cannot be used ({error.strerror}): check its rights and the disk") from error
    if len(key) != KEY_BYTES:
        raise HomeError(f"{path} holds {len(key)} bytes, not {KEY_BYTES}: delete it; older hashes are then of no use")
    return key


def keyed_hashes(people: Iterable[Person], key: bytes) -> tuple[str, ...]:
    """HMAC-SHA256 (RFC 2104) of each one's key in the state (``u:`` or ``v:`` and the id), hex."""
    return tuple(hmac.new(key, one.key().encode(), hashlib.sha256).hexdigest() for one in people)


def _rewritten(job: Job, people: Sequence[Person], receipt: Receipt, progress: Progress) -> Receipt | None:
    """``receipt`` with what left the log; None if it must be looked at again, and nothing was changed."""
    finder, last = find(job.log, people)
    taken = finder.taken()
    progress(1, _STEPS)
    if not taken:
        return replace(receipt, known_visitors=finder.known(), shared_visitors=finder.others())
    first = min(taken)
    before = _digest_at(job, last)
    progress(2, _STEPS)
    state, changes = job.snapshot(first - 1), dict[int, Record | None]()
    with Ladder(job.home.state, partial(_to_be, job.log, changes), state.offset, last) as ladder:
        cut = _Cut(state, changes, ladder)
        cut.fold(_up_to(job.log, state.offset, last), taken)
        found = replace(receipt, first=first, offset=last, before=before, after=digest(state))
        progress(3, _STEPS)
        done = _commit(job, finder, cut, found)
    progress(4, _STEPS)
    return done


def _to_be(log: Log, changes: Mapping[int, Record | None], offset: int) -> bytes | None:
    """The bytes at ``offset`` once ``changes`` are in ``log``."""
    change = changes.get(offset)
    return entry_bytes(log, offset) if change is None else change.data


def _digest_at(job: Job, offset: int) -> str:
    state = job.snapshot(offset)
    apply_batch(state, _up_to(job.log, state.offset, offset))
    return digest(state)


def _commit(job: Job, finder: Finder, cut: _Cut, found: Receipt) -> Receipt | None:
    """Change the log, with what came in since; None if that changes whose the older entries are."""
    taken, bodies = finder.taken(), []

    def decide(tail: Sequence[tuple[int, Record]]) -> Rewrite | None:
        for offset, record in tail:
            finder.add(offset, record)
        now_taken, new = finder.taken(), {offset for offset, _ in tail}
        overtaken = any(record.kind == "erasure" for _, record in tail)
        if overtaken or finder.strangers or now_taken - new != taken:
            return None
        cut.fold((to_entry(*one) for one in tail), now_taken)
        number = max(last_number(job.log), last_swept(job.home.erasure_lists)) + 1
        bodies.append(_body(found, number, cut, finder.damaged))
        note(job.home.erasure_lists, bodies[0].number, finder.names(), job.new_key())
        return Rewrite(cut.changes, [to_record(bodies[0])])

    job.home.erasure_pending.touch()
    offsets = job.log.rewrite(found.offset or 0, decide)
    if not bodies or offsets[0] is None:
        return None
    body, entry = bodies[0], offsets[0]
    apply(cut.state, Entry(entry, body.time, body))
    cut.ladder.put_up(entry)
    lists = _lists_under_way(job)
    snapshots = _drop_snapshots(job)
    job.keep(cut.state)
    return replace(
        found,
        number=body.number,
        entry=entry,
        events=body.events,
        lists=body.lists + lists,
        visitors=len(finder.visitors()),
        known_visitors=finder.known(),
        shared_visitors=finder.others(),
        tombstones=sum(record is not None for record in cut.changes.values()),
        damaged=body.damaged,
        snapshots=snapshots,
    )


def _body(found: Receipt, number: int, cut: _Cut, damaged: Sequence[int]) -> Erasure:
    return Erasure(
        number,
        found.time,
        found.people,
        dict(sorted(cut.events.items())),
        cut.lists,
        found.first or 0,
        found.offset or 0,
        found.before or "",
        found.after or "",
        cut.state.events,
        tuple(damaged),
    )


def _lists_under_way(job: Job) -> int:
    """Erase the lists that a server had shown them before, and brought into the log after; how many."""
    found = noted(job.home.erasure_lists, job.log)
    if found and job.wait is not None:
        job.wait()
    return sweep(job.home.erasure_lists, job.log, found)


def _up_to(log: Log, after: int, last: int) -> Iterator[Entry]:
    return takewhile(lambda entry: entry.offset <= last, entries(log, after))


def _drop_snapshots(job: Job) -> int:
    """Delete the snapshots, also half written ones, that an erasure has taken something from; how many."""
    dropped = 0
    for one in snapshots(job.home.state):
        if erased_under(job.log, one.offset, one.since):
            one.path.unlink(missing_ok=True)
            dropped += 1
    for path in job.home.state.glob("*.part"):
        path.unlink(missing_ok=True)
    return dropped


def _drop_exports(folder: Path, people: Sequence[Person]) -> int:
    """Delete what was exported of ``people``; how many files."""
    gone = 0
    for path in folder.glob("*.json"):
        try:
            export = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue  # it is being written, or none of ours
        if isinstance(export, dict) and Person(export.get("user_id"), export.get("visitor_id")) in people:
            path.unlink(missing_ok=True)
            gone += 1
    return gone


def _drop_ids(models: Path, people: Sequence[Person]) -> int:
    """Take the ids of ``people`` out of the models of labelled tables; out of how many."""
    ids = {name for one in people for name in (one.user_id, one.visitor_id) if name is not None}
    changed = 0
    for folder, card in _tables(models).items():
        coding = card.coding.without(ids)
        if coding != card.coding:
            write_file(folder / CARD, pack_card(msgspec.structs.replace(card, coding=coding)))
            changed += 1
    return changed


def _tables(models: Path) -> dict[Path, Card]:
    """By folder the models of labelled tables that can be read."""
    found = {}
    for path in sorted(models.glob(f"*/{CARD}")):
        with suppress(ModelError, NotFoundError):
            found[path.parent] = read_card(path.parent)
    return found


def _drop_examples(reports: Path) -> int:
    """Take the examples out of the reports of imports; out of how many."""
    changed = 0
    for path in sorted(reports.glob("*.json")):
        try:
            report = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue  # gone, or none of ours
        if _without_examples(report):
            write_file(path, json.dumps(report, ensure_ascii=False, indent=2).encode())
            changed += 1
    return changed


def _without_examples(value: object) -> bool:
    """Whether there were any."""
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    found = sum(_without_examples(part) for part in parts)
    if isinstance(value, dict) and value.get("examples"):
        value["examples"] = []
        return True
    return found > 0


def _unreached(home: Home) -> tuple[str, ...]:
    ours = {home.log, home.spool, home.erasure_pending, home.erasure_lists, home.lock, home.erasure_key}
    ours.add(home.path / "config.toml")
    ours |= {home.log.with_name(home.log.name + end) for end in _SQLITES}
    nobodys = {home.models, home.encoders, home.vectors, home.state, home.cache, *_tables(home.labelled)}
    return tuple(
        str(path)
        for path in sorted(home.path.rglob("*"))
        if path.is_file()
        and not (path in ours or nobodys & {*path.parents})
        and not (path.parent == home.reports and path.suffix in _REPORTS)
    )


def _empty(folder: Path) -> int:
    """Delete what is in ``folder``; how many files."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in folder.glob("*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(files)


def _compact(job: Job) -> str | None:
    """Why the log's files may still hold bytes of what was erased; None if they do not."""
    size = job.home.log.stat().st_size
    if job.wait is not None and size > MOST_BESIDE_BYTES:
        return (
            f"the log has {size / 1e9:,.1f} GB, too much to make it anew beside a server: stop that, and run "
            "'endcap erase --compact'; until then, single bytes of what was erased may be left in its file"
        )
    try:
        job.log.compact()
    except HomeError as error:
        return f"{error}; then run 'endcap erase --compact'"
    job.home.erasure_pending.unlink(missing_ok=True)
    return None
