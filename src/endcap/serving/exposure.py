"""What was shown: each list becomes an entry of the log, without its visitor waiting for the disk."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields

from endcap.backends.log.spool import Spool
from endcap.errors import InvalidFieldError
from endcap.events.log import Body, to_record
from endcap.events.served import Served, Tally
from endcap.serving.engine import Answer, Request
from endcap.serving.tallies import Tallies
from endcap.types import MS_PER_DAY, Entry, Record, Vocabulary


@dataclass(slots=True, eq=False)
class Taken:
    """Served lists on their way into the log, oldest first."""

    bodies: list[Body] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    size: int = 0
    """Bytes of the spool."""
    stored: bool = False
    """Whether the log holds them."""


class Exposure:
    """The served lists that the log does not hold yet. One thread at a time, the one that serves."""

    def __init__(self, spool: Spool, keep_days: float) -> None:
        self.keep_ms = int(keep_days * MS_PER_DAY)
        self.tallies = Tallies()
        self.waiting: dict[str, Served] = {}
        """By request id: those that the log may not hold yet. As many as the spool has room for."""
        self._spool = spool
        self._new = Taken()
        self._refused: list[Taken] = []
        self._under_way: deque[Taken] = deque()
        """What the spool holds apart from the new ones, in its order. What is stored out of turn waits for the rest:
        the spool lets go of its oldest bytes only."""

    def add(self, served: Served) -> None:
        """Keep ``served`` so that it survives the process. Raises OverloadedError when too many wait."""
        record = to_record(served)
        self._new.size += self._spool.append(record)
        self.waiting[served.request_id] = served
        self._new.bodies.append(served)
        self._new.records.append(record)

    def take(self) -> list[Taken]:
        """What was added since, and what the log has refused; ``release`` or ``give_back`` is to be told of each."""
        taken, self._refused = self._refused, []
        if self._new.records:
            self._under_way.append(self._new)
            taken.append(self._new)
            self._new = Taken()
        return taken

    def give_back(self, taken: Taken) -> None:
        """The log has refused these. They stay in the spool, and the next ``take`` gives them again."""
        self._refused.append(taken)

    def note(self, entry: Entry) -> None:
        """The log holds ``entry``, which the state takes in now."""
        if isinstance(entry.body, Served):
            self.tallies.add(entry.offset, entry.body)
        elif isinstance(entry.body, Tally):
            self.tallies.stored()

    def release(self, taken: Taken) -> None:
        """The log holds these."""
        taken.stored = True
        for body in taken.bodies:
            if isinstance(body, Served):
                self.waiting.pop(body.request_id, None)
        while self._under_way and self._under_way[0].stored:
            self._spool.release(self._under_way.popleft().size)


_ASKED = {one.name: one.default for one in fields(Request) if one.name != "explain"}


def served(request: Request, answer: Answer, now: int, items: Vocabulary, settled: bool, page_row: int = 0) -> Served:
    """``answer`` to ``request`` as the log keeps it. ``page_row``: which row of a page it is, from 1."""
    values = {name: getattr(request, name) for name in _ASKED}
    asked = {name: value for name, value in values.items() if value != _ASKED[name]}
    rows = tuple([items.row(item.item_id) for item in answer.items])
    return Served(answer.request_id, now, answer.offset, answer.model, rows, asked, settled, page_row)


def request_of(shown: Served) -> Request:
    """The request that ``shown`` answered. Raises InvalidFieldError for an entry of a version that asked otherwise."""
    asked = {name: tuple(value) if isinstance(value, list) else value for name, value in shown.asked.items()}
    try:
        return Request(**asked)  # type: ignore[arg-type]  # as served() wrote them
    except TypeError as error:
        raise InvalidFieldError(
            "request_id", f"the list {shown.request_id!r} was asked for in another way: {error}"
        ) from None
