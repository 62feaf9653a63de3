"""/openapi.json is true: every route is in it, it is valid, and its examples work."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route
from tests.unit.interfaces.api.test_api_dialects import signature

from endcap.catalog.items import Item
from endcap.events.schema import Event
from endcap.interfaces.api import schema
from endcap.interfaces.api.app import create_app
from endcap.interfaces.api.openapi import document
from endcap.interfaces.api.operation import Operation
from endcap.interfaces.api.routes import OPERATIONS

DOCUMENT = document(OPERATIONS)
ADMIN = "admin-key-0123456789"
WITH_EXAMPLE = [operation for operation in OPERATIONS if operation.body]


def test_the_document_is_valid() -> None:
    plain: Any = msgspec.json.decode(msgspec.json.encode(DOCUMENT))
    assert list(OpenAPIV31SpecValidator(plain).iter_errors()) == []


def test_every_route_is_in_the_document(shop: Any) -> None:
    app = create_app(shop.context)
    routed = {
        (method.lower(), route.path.replace(":path", ""))
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"
    }
    described = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert routed == described
    assert len(routed) == len(OPERATIONS)


def test_the_document_is_served(shop: Any) -> None:
    reply = shop.call("GET", "/openapi.json")
    assert reply.json() == msgspec.json.decode(msgspec.json.encode(DOCUMENT))


def test_operation_names_are_unique() -> None:
    names = [operation["operationId"] for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("operation", WITH_EXAMPLE, ids=lambda operation: f"{operation.method} {operation.path}")
def test_examples_decode(operation: Operation) -> None:
    body = msgspec.json.encode(operation.example)
    decoded = 0
    for kind in operation.body:
        try:
            msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError:
            continue
        decoded += 1
    assert decoded == 1


@pytest.mark.parametrize("operation", WITH_EXAMPLE, ids=lambda operation: f"{operation.method} {operation.path}")
def test_examples_work(keyed: Any, operation: Operation) -> None:
    key = {"Authorization": f"Bearer {ADMIN}"}
    keyed.call("PUT", "/v1/items", json={"item_id": "22423", "title": "Cake stand"}, headers=key)
    path = operation.path.replace("{item_id:path}", "22423")
    body = msgspec.json.encode(operation.example)
    if operation.signed:
        key = {"X-Shopify-Topic": "carts/create", "X-Shopify-Hmac-Sha256": signature(body)}
    reply = keyed.call(operation.method, path, content=body, headers=key)
    assert reply.status_code == operation.status, reply.text
    assert operation.answer is not None
    msgspec.json.decode(reply.content, type=operation.answer)


def test_the_documented_records_have_the_fields_that_are_checked() -> None:
    assert set(schema.EventBody.__struct_fields__) == {field.name for field in fields(Event)} - {"listing"}
    assert set(schema.ItemBody.__struct_fields__) == {field.name for field in fields(Item)}
    assert set(schema.ItemFields.__struct_fields__) == {field.name for field in fields(Item)} - {"item_id"}
