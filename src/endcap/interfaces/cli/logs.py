"""What the server says on stderr: one line a record, for people or as JSON, with its fields beside the message."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

FORMATS = ("text", "json")

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Lines(logging.Formatter):
    """One line a record, whatever is in it."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return self.line(moment, record, fields)

    def line(self, moment: str, record: logging.LogRecord, fields: Mapping[str, object]) -> str:
        """The line of a record."""
        said = "".join(f" {name}={value!s}" for name, value in fields.items() if name != "traceback")
        line = " ".join(f"{moment} {record.levelname} {record.name}: {record.getMessage()}{said}".split())
        return f"{line}\n{fields['traceback']}" if "traceback" in fields else line


class _Json(_Lines):
    """The same as JSON: ``time level logger message``, then the fields."""

    def line(self, moment: str, record: logging.LogRecord, fields: Mapping[str, object]) -> str:
        said = {"time": moment, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        return msgspec.json.encode({**fields, **said}, enc_hook=str).decode()


def configure_logging(format: str) -> logging.Handler:
    """Write what is logged to stderr from now on; warnings of libraries, and news of our own. The handler."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if format == "json" else _Lines())
    logging.getLogger().addHandler(handler)
    logging.getLogger("endcap").setLevel(logging.INFO)
    return handler
