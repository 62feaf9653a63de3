"""What was shown: each list becomes an entry of the log, without its visitor waiting for the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from endcap.backends.log.spool import Spool
from endcap.errors import InvalidFieldError
from endcap.events.log import Body, to_record
from endcap.events.served import Served
from endcap.serving.engine import Answer, Request
from endcap.types import MS_PER_DAY, Record, Vocabulary


class Exposure:
    """The served lists that the log does not hold yet. One thread at a time, the one that serves."""

    def __init__(self, spool: Spool, keep_days: float) -> None:
        self.keep_ms = int(keep_days * MS_PER_DAY)
        self._spool = spool
        self._bodies: list[Body] = []
        self._records: list[Record] = []
        self._size = 0

    def add(self, served: Served) -> None:
        """Keep ``served`` so that it survives the process. Raises OverloadedError when too many wait."""
        record = to_record(served)
        self._size += self._spool.append(record)
        self._bodies.append(served)
        self._records.append(record)

    def take(self) -> tuple[Sequence[Body], Sequence[Record], int]:
        """What was added since, oldest first, and how many bytes ``release`` must be given once it is in the log."""
        taken = self._bodies, self._records, self._size
        self._bodies, self._records, self._size = [], [], 0
        return taken

    def release(self, size: int) -> None:
        """The log holds what was taken."""
        self._spool.release(size)


_ASKED = {one.name: one.default for one in fields(Request) if one.name != "explain"}


def served(request: Request, answer: Answer, now: int, items: Vocabulary, settled: bool) -> Served:
    """``answer`` to ``request`` as the log keeps it."""
    values = {name: getattr(request, name) for name in _ASKED}
    asked = {name: value for name, value in values.items() if value != _ASKED[name]}
    rows = tuple([items.row(item.item_id) for item in answer.items])
    return Served(answer.request_id, now, answer.offset, answer.model, rows, asked, settled)


def request_of(shown: Served) -> Request:
    """The request that ``shown`` answered. Raises InvalidFieldError for an entry of a version that asked otherwise."""
    asked = {name: tuple(value) if isinstance(value, list) else value for name, value in shown.asked.items()}
    try:
        return Request(**asked)  # type: ignore[arg-type]  # as served() wrote them
    except TypeError as error:
        raise InvalidFieldError(
            "request_id", f"the list {shown.request_id!r} was asked for in another way: {error}"
        ) from None
