"""/openapi.json: OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1), made from the operations and their types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from endcap.interfaces.api.operation import Operation
from endcap.interfaces.api.schema import ErrorAnswer

_DESCRIPTION = (
    'A self-hosted, real-time recommender for online shops. Every error is `{"error": {code, message, field?}}`; '
    "ids are strings of 1 to 256 characters; times are RFC 3339 or whole milliseconds since 1970, UTC. "
    "A server without keys is open to this machine only; else send `Authorization: Bearer <key>`."
)
_REF = "#/components/schemas/{name}"


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """The OpenAPI document of ``operations``."""
    types = _types(operations)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    references = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = operation.path.replace(":path", "")
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, path, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Endcap", "version": version("endcap"), "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "visitor": {"type": "apiKey", "in": "header", "name": "X-Endcap-Visitor"},
            },
        },
    }


def _types(operations: Sequence[Operation]) -> list[type]:
    found: dict[type, None] = {ErrorAnswer: None}
    for operation in operations:
        found |= dict.fromkeys(operation.body)
        if operation.answer is not None:
            found[operation.answer] = None
    return list(found)


def _operation(operation: Operation, path: str, references: dict[type, dict[str, Any]]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{operation.method.lower()}{path}").strip("_"),
        "summary": operation.summary,
        "tags": [path.split("/")[2] if path.startswith("/v1/") else "server"],
        "responses": _responses(operation, references),
    }
    if parameters := [*_path_parameters(path), *_query_parameters(operation)]:
        described["parameters"] = parameters
    if operation.body:
        described["requestBody"] = {"required": True, "content": {"application/json": _body(operation, references)}}
    if operation.scopes:
        described["description"] = f"Keys: {', '.join(sorted(operation.scopes))}."
        described["security"] = [{}, {"key": []}] + (
            [{"key": [], "visitor": []}] if "events" in operation.scopes else []
        )
    return described


def _body(operation: Operation, references: dict[type, dict[str, Any]]) -> dict[str, Any]:
    schemas = [references[kind] for kind in operation.body]
    content: dict[str, Any] = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
    if operation.example is not None:
        content["example"] = operation.example
    return content


def _responses(operation: Operation, references: dict[type, dict[str, Any]]) -> dict[str, Any]:
    good: dict[str, Any] = {"schema": references[operation.answer]} if operation.answer else {}
    bad = {"description": "An error", "content": {"application/json": {"schema": references[ErrorAnswer]}}}
    return {
        str(operation.status): {"description": "Success", "content": {operation.media_type: good}},
        "default": bad,
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": "query",
            "required": parameter.required,
            "description": parameter.summary,
            "schema": msgspec.json.schema(parameter.type),
        }
        for parameter in operation.parameters
    ]
