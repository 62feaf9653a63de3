"""What goes wrong in the server is logged under the id that the answer names."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.unit.interfaces.api.conftest import Shop

from endcap.errors import HomeError, OverloadedError


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [(HomeError("the disk is full"), 503, "request refused"), (ZeroDivisionError("ours"), 500, "request failed")],
)
def test_an_error_of_the_server_has_an_id_a_route_and_a_time(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    message: str,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(shop.context.live.engine, "recommend", fail)
    with caplog.at_level(logging.WARNING):
        answer = shop.call("GET", "/v1/recommend/popular")
    assert answer.status_code == status
    (record,) = caplog.records
    fields = vars(record)
    assert record.message == message
    assert (fields["route"], fields["status"]) == ("GET /v1/recommend/{recipe}", status)
    assert fields["request_id"] == answer.headers["x-request-id"]
    assert 0 <= fields["ms"] < 5_000


def test_a_callers_mistake_and_overload_are_not_logged(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OverloadedError("too much")

    assert shop.call("GET", "/v1/recommend/nothing").status_code == 400
    assert shop.call("GET", "/nowhere").status_code == 404
    monkeypatch.setattr(shop.context.live.engine, "recommend", fail)
    assert shop.call("GET", "/v1/recommend/popular").status_code == 503
    assert caplog.records == []
