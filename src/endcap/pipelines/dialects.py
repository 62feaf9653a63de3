"""Exports of other systems, one JSON message a line, as log records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from endcap.errors import EndcapError, InvalidFieldError
from endcap.events.cleaning import RuleResult
from endcap.events.dialects.message import Dialect, Translated, as_object
from endcap.events.log import to_record
from endcap.events.schema import parse_event
from endcap.pipelines.report import RefusalCounter
from endcap.pipelines.rows import Refusal, Row, Source
from endcap.pipelines.tables import Step, TimeOrder, keyed
from endcap.types import Record

MAX_UNKNOWN = 1_000
"""Unknown names that are counted apart; more are counted together."""
OTHERS = "(other names)"
_SHOWN = 10


class DialectTable:
    """A line is a message, or a batch of them, in ``dialect``. An event that is wrong is refused alone."""

    rules: tuple[RuleResult, ...] = ()

    def __init__(self, source: Source, dialect: Dialect, now_ms: int) -> None:
        self.source = source
        self._unknown: Counter[str] = Counter()
        self.unknown: Mapping[str, int] = self._unknown
        self._dialect = dialect
        self._now_ms = now_ms
        self._order = TimeOrder()

    def batches(self, counter: RefusalCounter) -> Iterator[Step]:
        for batch in self.source.batches():
            refused = list(batch.refused)
            records = [record for row in batch.rows for record in self._records(row, refused)]
            counter.add(self.source.path, refused)
            yield records, len(records) + len(refused), batch.done

    def notes(self) -> tuple[str, ...]:
        return (*self._unknown_note(), *self._order.notes(self.source))

    def _records(self, row: Row, refused: list[Refusal]) -> Iterator[Record]:
        try:
            messages = self._dialect.records(as_object(row.values[0]))
        except EndcapError as error:
            refused.append(_refusal(row, error))
            return
        for message in messages:
            try:
                found = self._dialect.events(as_object(message))
            except EndcapError as error:
                refused.append(_refusal(row, error))
                continue
            for one in found:
                try:
                    yield self._record(one)
                except EndcapError as error:
                    refused.append(_refusal(row, error))

    def _record(self, one: Translated) -> Record:
        if one.fields.get("time") is None:
            raise InvalidFieldError("time", "the event has no time: an imported event needs the moment it happened")
        event = parse_event(one.fields, self._now_ms)
        self._order.see(event.time)
        if one.unknown is not None:
            known = one.unknown in self.unknown or len(self.unknown) < MAX_UNKNOWN
            self._unknown[one.unknown if known else OTHERS] += 1
        return keyed(to_record(event))

    def _unknown_note(self) -> tuple[str, ...]:
        if not self.unknown:
            return ()
        shown = ", ".join(f"{name} {count:,}" for name, count in self._unknown.most_common(_SHOWN))
        more = f" and {len(self.unknown) - _SHOWN:,} more" if len(self.unknown) > _SHOWN else ""
        return (
            f"{self.source.path}: {self._unknown.total():,} events were kept as custom, "
            f"because their names say nothing here: {shown}{more}",
        )


def _refusal(row: Row, error: EndcapError) -> Refusal:
    return Refusal(row.line, error.field if isinstance(error, InvalidFieldError) else "", str(error))
