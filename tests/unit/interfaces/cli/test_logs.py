"""What the server says on stderr, line by line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from endcap.interfaces.cli.logs import configure_logging

MOMENT = 1_764_000_000.25  # 2025-11-24T16:00:00.250Z


@pytest.fixture
def said(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What a handler of the format named writes."""
    root, ours = logging.getLogger(), logging.getLogger("endcap")
    level = ours.level
    handler = configure_logging(request.param)
    assert isinstance(handler, logging.StreamHandler)
    out = io.StringIO()
    handler.setStream(out)
    yield out
    root.removeHandler(handler)
    ours.setLevel(level)


def say(message: str, error: BaseException | None = None, **fields: object) -> None:
    logger = logging.getLogger("endcap.serving.live")
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    record = logger.makeRecord(logger.name, logging.WARNING, "f", 1, message, (), exc_info, None, fields)
    record.created = MOMENT
    logger.handle(record)


@pytest.mark.parametrize("said", ["json"], indirect=True)
def test_json_has_the_fields_beside_the_message(said: io.StringIO) -> None:
    say("training failed", reason='the "log"\nis empty', seconds=1.5, path=Path("x"))
    assert said.getvalue().count("\n") == 1
    assert json.loads(said.getvalue()) == {
        "time": "2025-11-24T16:00:00.250Z",
        "level": "WARNING",
        "logger": "endcap.serving.live",
        "message": "training failed",
        "reason": 'the "log"\nis empty',
        "seconds": 1.5,
        "path": "x",
    }


@pytest.mark.parametrize("said", ["json"], indirect=True)
def test_json_keeps_a_traceback_in_its_line(said: io.StringIO) -> None:
    say("request failed", ZeroDivisionError("of ours"), route="GET /", status=500)
    assert said.getvalue().count("\n") == 1
    line = json.loads(said.getvalue())
    assert line["traceback"] == "ZeroDivisionError: of ours"
    assert (line["route"], line["status"]) == ("GET /", 500)


@pytest.mark.parametrize("said", ["text"], indirect=True)
def test_text_is_one_line_with_the_fields_at_its_end(said: io.StringIO) -> None:
    say("training failed", reason="two\nlines", seconds=1.5)
    assert said.getvalue() == (
        "2025-11-24T16:00:00.250Z WARNING endcap.serving.live: training failed reason=two lines seconds=1.5\n"
    )


@pytest.mark.parametrize("said", ["text"], indirect=True)
def test_news_of_ours_are_said_and_those_of_libraries_are_not(said: io.StringIO) -> None:
    logging.getLogger("endcap.x").info("ours")
    logging.getLogger("library").info("theirs")
    assert "ours" in said.getvalue()
    assert "theirs" not in said.getvalue()
