"""JSON and query strings to typed requests, with errors that name the field, its value and what is expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from endcap.errors import EndcapError, InvalidFieldError, MalformedError
from endcap.interfaces.api.schema import MAX_BATCH, Refusal

NOT_YET = frozenset({"boost", "experiment"})
"""Fields of API.md that this version does not have: refused, never ignored."""

T = TypeVar("T")
_PATH = re.compile(r"(?P<expected>.*) - at `\$\.?(?P<path>.*)`$", re.DOTALL)
_NAMED = re.compile(r"Object (?P<what>missing required|contains unknown) field `(?P<name>.*)`$", re.DOTALL)
_decode_any = msgspec.json.Decoder().decode


def decode(decoder: Callable[[bytes], T], body: bytes) -> T:
    """What ``body`` says, as the type of ``decoder``.

    Raises MalformedError for what is not JSON, InvalidFieldError for a wrong field.
    """
    try:
        return decoder(body)
    except msgspec.ValidationError as error:
        raise _explained(error, body) from None
    except (ValueError, RecursionError) as error:  # DecodeError and UnicodeDecodeError are ValueErrors
        raise MalformedError(f"the body is not JSON in UTF-8: {error}") from None


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``. Raises MalformedError for anything else."""
    value = decode(_decode_any, body)
    if not isinstance(value, dict):
        raise MalformedError(f"the body is {value!r:.80}: it must be a JSON object")
    return value


def decode_batch(body: bytes, name: str) -> list[Any]:
    """The records in ``body``: ``{name: [...]}`` with up to 1,000, or one record.

    Raises MalformedError, or InvalidFieldError for a batch that is none.
    """
    value = decode_object(body)
    if name not in value or "type" in value or "item_id" in value:
        return [value]
    others = value.keys() - {name}
    if others:
        raise InvalidFieldError(min(others), f"unknown field {min(others)!r} beside {name!r}")
    records = value[name]
    if not isinstance(records, list) or len(records) > MAX_BATCH:
        raise InvalidFieldError(name, f"{name} must be a list of at most {MAX_BATCH}")
    return records


def checked(records: Iterable[object], check: Callable[[Mapping[str, object]], T]) -> tuple[list[T], list[Refusal]]:
    """The records that pass ``check``, and why the others do not."""
    good: list[T] = []
    refused: list[Refusal] = []
    for index, record in enumerate(records):
        try:
            if not isinstance(record, Mapping):
                raise MalformedError(f"this is {record!r:.80}: it must be a JSON object")
            good.append(check(record))
        except EndcapError as error:
            refused.append(refusal(index, error))
    return good, refused


def refusal(index: int, error: EndcapError) -> Refusal:
    """Why the record at ``index`` was not kept."""
    return Refusal(index, str(error), error.field if isinstance(error, InvalidFieldError) else None)


def convert(values: Mapping[str, object], type: type[T]) -> T:
    """The request that the query string ``values`` make. Raises InvalidFieldError for a wrong one."""
    try:
        return msgspec.convert(values, type, strict=False)
    except msgspec.ValidationError as error:
        raise _error(str(error), values) from None


def _explained(error: msgspec.ValidationError, body: bytes) -> EndcapError:
    try:
        return _error(str(error), _decode_any(body))
    except (ValueError, RecursionError) as malformed:  # the wrong field came before the place where the JSON breaks
        return MalformedError(f"the body is not JSON in UTF-8: {malformed}")


def _error(message: str, value: object) -> EndcapError:
    path, expected = "", message
    if at := _PATH.match(message):
        path, expected = at["path"], at["expected"]
    if named := _NAMED.match(expected):
        field = f"{path}.{named['name']}".lstrip(".")
        if named["what"] == "missing required":
            return InvalidFieldError(field, f"{field} is missing: give it")
        reason = "is not available in this version" if named["name"] in NOT_YET else "is not a field of this request"
        return InvalidFieldError(field, f"{field} {reason}: leave it out")
    if not path:
        return MalformedError(f"the body is {value!r:.80}: {expected[:1].lower()}{expected[1:]}")
    return InvalidFieldError(path, f"{path} is {_at(value, path)!r:.80}: {expected[:1].lower()}{expected[1:]}")


def _at(value: Any, path: str) -> object:
    """The value at ``path`` (``a.b[2].c``); None where it leads nowhere."""
    try:
        for part in re.findall(r"[^.\[\]]+", path):
            value = value[int(part)] if isinstance(value, list) else value[part]
    except (KeyError, IndexError, ValueError, TypeError):
        return None
    result: object = value
    return result
