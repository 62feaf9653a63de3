"""GET /v1/reports: what the imports kept, mended and dropped, and what evaluations found."""

from __future__ import annotations

from pathlib import Path

import msgspec
from starlette.responses import Response

from endcap.interfaces.api.context import Context
from endcap.interfaces.api.operation import Incoming
from endcap.interfaces.api.replies import json_reply
from endcap.interfaces.api.schema import Report, ReportsAnswer

MAX_REPORTS = 50
MAX_REPORT_BYTES = 1_000_000


def get_reports(context: Context, incoming: Incoming) -> Response:  # noqa: ARG001  # every handler takes both
    """The newest JSON reports of the home folder; a file that is being written or is broken is left out."""
    found = sorted(
        (context.home / "reports").glob("*.json"), key=lambda path: (path.stat().st_mtime, path.name), reverse=True
    )
    reports = (_report(path) for path in found[:MAX_REPORTS])
    return json_reply(ReportsAnswer([report for report in reports if report is not None]))


def _report(path: Path) -> Report | None:
    try:
        if path.stat().st_size > MAX_REPORT_BYTES:
            return None
        return Report(path.stem, msgspec.Raw(msgspec.json.encode(msgspec.json.decode(path.read_bytes()))))
    except (OSError, ValueError):
        return None
