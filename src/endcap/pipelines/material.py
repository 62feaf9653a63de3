"""What an encoder learns from: the texts of a shop, with labels, and which of them people took together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from endcap.catalog.items import Item
from endcap.errors import DataError
from endcap.events.log import entries
from endcap.events.schema import Event
from endcap.pipelines.evaluation_files import read_table
from endcap.protocols import Log
from endcap.types import IntArray

PAUSE_MS = 30 * 60 * 1000
"""After so long without an event a visit is over, where no ``session_id`` says so."""
_TOUCHES = frozenset({"click", "view", "cart", "wishlist", "purchase"})


@dataclass(frozen=True, slots=True)
class Material:
    """n texts, none of them twice."""

    texts: Sequence[str]
    labels: Sequence[str] = ()
    """(n,) where they are asked for."""
    parts: Sequence[Sequence[str]] = ()
    """(n,) what each text is made of, such as a title and a description, where it is more than one line."""
    groups: Sequence[IntArray] = ()
    """Rows of texts that were in one basket or one visit."""
    by_people: bool = False
    """Whether visitors wrote some of them: those may be erased, and so are shown nowhere."""


def read_material(path: Path, text: Sequence[str], label: str | None = None, group: str | None = None) -> Material:
    """Of the columns ``text`` of a file, put behind one another; ``label`` and ``group`` name a column each.

    Rows without a text, or without the label or the group that is asked for, say nothing. Raises DataError for a file
    that cannot be read, a column that is not there, and where no text is left.
    """
    frame = read_table(path)
    wanted = [*text, *(name for name in (label, group) if name is not None)]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r:.80}; there are {', '.join(frame.columns)}")
    frame = frame.select(*(pl.col(name).cast(pl.String).str.strip_chars().replace("", None) for name in wanted))
    if label is not None or group is not None:
        frame = frame.drop_nulls([name for name in (label, group) if name is not None])
    rows = [[part for part in row if part] for row in frame.select(text).iter_rows()]
    kept = [place for place, row in enumerate(rows) if row]
    if not kept:
        raise DataError(f"{path} has no text in {', '.join(text)}: name the columns that hold it with --text")
    labels = frame[label].to_list() if label is not None else None
    groups = frame[group].to_list() if group is not None else None
    return _material(
        [rows[place] for place in kept],
        [labels[place] for place in kept] if labels is not None else None,
        [groups[place] for place in kept] if groups is not None else None,
    )


def home_texts(items: Sequence[Item], log: Log, label: str | None = None) -> Material:
    """Titles, descriptions and reviews of a shop. ``label``: ``category`` (of items) or ``rating`` (of reviews).

    Raises DataError where nothing is left, or for another label.
    """
    if label == "category":
        found = [(_parts(item), item.categories[0]) for item in items if item.categories]
    elif label == "rating":
        found = [([event.text], f"{event.rating:g}") for event in _events(log) if event.text and event.rating]
    elif label is None:
        found = [(_parts(item), "") for item in items]
        found += [([event.text], "") for event in _events(log) if event.type == "review" and event.text]
    else:
        raise DataError(f"--label is {label!r:.80}: of a shop it is category or rating; of a file, a column")
    if not found:
        what = "text" if label is None else f"text with a {label}"
        raise DataError(f"the shop has no {what} to learn from: import items and reviews, or name a file with --data")
    made = _material([parts for parts, _ in found], [said for _, said in found] if label is not None else None, None)
    return replace(made, by_people=label == "rating" or len(found) > len(items))


def home_groups(items: Sequence[Item], log: Log) -> Material:
    """Titles of a shop, and what people took together: lines of one purchase, and what was touched in one visit.

    Raises DataError where nothing was.
    """
    known = {item.item_id: item.text() for item in items}
    texts = list(dict.fromkeys(known.values()))
    rows = {text: row for row, text in enumerate(texts)}
    groups = [[rows[known[name]] for name in group if name in known] for group in _together(_events(log))]
    kept = [np.unique(np.array(group, np.int32)) for group in groups if len(set(group)) > 1]
    if not kept:
        raise DataError("nobody took two items together yet: import events, or name a file with --data")
    return Material(texts, groups=kept)


def _parts(item: Item) -> list[str]:
    first = item.title if item.brand is None else f"{item.title}. {item.brand}"
    return [first, item.description] if item.description else [first]


def _events(log: Log) -> Iterator[Event]:
    """Those that may be learnt from."""
    for entry in entries(log):
        if isinstance(entry.body, Event) and entry.body.consent is not False:
            yield entry.body


def _together(events: Iterable[Event]) -> Iterator[list[str]]:
    """The item ids of each purchase of several items, and of each visit."""
    visits: dict[str, tuple[int, list[str]]] = {}
    for event in events:
        if event.type not in _TOUCHES:
            continue
        names = [line.item_id for line in event.lines()]
        if len(names) > 1:
            yield names
        who = event.session_id or event.visitor_id or event.user_id or ""
        last, visit = visits.get(who, (0, []))
        if event.session_id is None and event.time - last > PAUSE_MS:
            yield visit
            visit = []
        visit.extend(names)
        visits[who] = (event.time, visit)
    yield from (visit for _, visit in visits.values())


def _material(parts: Sequence[Sequence[str]], labels: Sequence[str] | None, groups: Sequence[str] | None) -> Material:
    """Without what is there twice: the first of equal texts keeps its label."""
    whole = [". ".join(row) for row in parts]
    first: dict[str, int] = {}
    for place, text in enumerate(whole):
        first.setdefault(text, place)
    rows = {text: row for row, text in enumerate(first)}
    gathered: dict[str, list[int]] = {}
    for text, group in zip(whole, groups or [], strict=False):
        gathered.setdefault(group, []).append(rows[text])
    return Material(
        list(first),
        [labels[place] for place in first.values()] if labels is not None else (),
        [parts[place] for place in first.values()],
        [np.unique(np.array(group, np.int32)) for group in gathered.values() if len(set(group)) > 1],
    )
