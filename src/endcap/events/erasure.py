"""What an erasure leaves in the log. Standard library only, because the fold reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Erasure:
    """People were erased: the entries that were theirs are not in the log any more. It changes no state.

    The digests of both sides are checkpoints: of a state before this entry, no other proof is left.
    """

    number: int
    """From 1, ascending. One that was lost with a damaged page is not given again."""
    time: int
    """Milliseconds since 1970."""
    people: tuple[str, ...]
    """A keyed hash of each id that was asked for, hex; the key is not in the log."""
    events: dict[str, int]
    """How many events went, by type."""
    lists: int
    """How many served lists went."""
    first: int
    """The first entry that went: what was computed up to here or later rests on what is gone."""
    offset: int
    """The entry that both digests are of."""
    before: str
    """The digest of the state at ``offset`` with the people."""
    after: str
    """The same without them."""
    remaining: int
    """How many events the log still held then: a state with more of them has not been folded again."""
    damaged: tuple[int, ...] = ()
    """Entries that nobody could read any more. They may have been theirs, so they went too."""


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Stands where the log first named some items, so that no item changes its row: names of goods, of nobody."""

    item_ids: tuple[str, ...]
    """In the order in which they were named."""
