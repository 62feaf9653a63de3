"""Served lists, counted: the lists expire, their number stays, because now and then a tally of it goes into the log."""

from __future__ import annotations

from collections.abc import Iterable

from endcap.events.log import to_entry
from endcap.events.served import Served, Shown, Tally
from endcap.protocols import Log
from endcap.types import MS_PER_DAY

_Kind = tuple[int, str, str, int]
"""Day, recipe, model, row of a page."""


class Tallies:
    """The served lists that no tally of the log counts yet. One thread at a time, the one that applies entries."""

    def __init__(self) -> None:
        self._counts: dict[_Kind, tuple[int, int]] = {}
        """Lists, and items in them."""
        self._sent: dict[_Kind, tuple[int, int]] = {}
        """In a tally that is on its way into the log."""
        self._until = 0

    def add(self, offset: int, served: Served) -> None:
        """Count ``served``, the log's entry at ``offset``."""
        kind = (served.now // MS_PER_DAY, str(served.asked.get("recipe")), served.model, served.page_row)
        lists, items = self._counts.get(kind, (0, 0))
        self._counts[kind] = lists + 1, items + len(served.rows)
        self._until = max(self._until, offset)

    def read(self, log: Log, after: int) -> None:
        """Count those of ``log`` with an offset greater than ``after``: what a server had not brought into a tally."""
        for offset, record in log.read(after):
            if record.kind == "served":
                body = to_entry(offset, record).body
                if isinstance(body, Served):  # else it was set aside
                    self.add(offset, body)

    def take(self) -> Tally | None:
        """What is to go into the log now; None where there is nothing, or another one is on its way."""
        if self._sent or not self._counts:
            return None
        self._sent, self._counts = self._counts, {}
        return Tally(self._until, tuple(_shown(self._sent)))

    def stored(self) -> None:
        """The tally that was taken is in the state."""
        self._sent = {}

    def give_back(self) -> None:
        """The tally that was taken did not get into the log."""
        for kind, (lists, items) in self._sent.items():
            more_lists, more_items = self._counts.get(kind, (0, 0))
            self._counts[kind] = lists + more_lists, items + more_items
        self._sent = {}

    def waiting(self) -> list[Shown]:
        """What the state does not count yet."""
        return [*_shown(self._sent), *_shown(self._counts)]


def _shown(counts: dict[_Kind, tuple[int, int]]) -> Iterable[Shown]:
    return [Shown(*kind, lists, items) for kind, (lists, items) in counts.items()]
