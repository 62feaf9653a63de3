"""Errors of decoding name the field, its value and what is expected."""

from __future__ import annotations

import msgspec
import pytest

from endcap.errors import EndcapError, InvalidFieldError, MalformedError
from endcap.interfaces.api.decoding import NOT_YET, checked, convert, decode, decode_batch, decode_object
from endcap.interfaces.api.schema import RecommendRequest, Refusal

decoder = msgspec.json.Decoder(RecommendRequest).decode


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (b'{"recipe":"popular","k":0}', "k", "k is 0: expected `int` >= 1"),
        (b'{"recipe":"popular","k":1001}', "k", "k is 1001: expected `int` <= 1000"),
        (b'{"recipe":"popular","k":"ten"}', "k", "k is 'ten': expected `int`"),
        (b'{"recipe":"popular","item_ids":["a",[1]]}', "item_ids[1]", r"item_ids\[1\] is \[1\]: expected"),
        (b'{"recipe":"popular","colour":1}', "colour", "colour is not a field of this request: leave it out"),
        (b'{"recipe":5}', "recipe", "recipe is 5: expected `str`, got `int`"),
        (b"{}", "recipe", "recipe is missing: give it"),
    ],
)
def test_a_wrong_field_is_named(body: bytes, field: str, message: str) -> None:
    with pytest.raises(InvalidFieldError, match=message) as raised:
        decode(decoder, body)
    assert raised.value.field == field


@pytest.mark.parametrize("name", sorted(NOT_YET))
def test_a_field_of_a_later_version_is_refused(name: str) -> None:
    with pytest.raises(InvalidFieldError, match=f"{name} is not available in this version") as raised:
        decode(decoder, msgspec.json.encode({"recipe": "popular", name: {}}))
    assert raised.value.field == name


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"recipe": "popular"',
        b'{"k": "ten", "recipe',
        b"recipe=popular",
        b'{"recipe":"caf\xe9"}',
        b'{"recipe":"\\ud800"}',
        b"[" * 100_000,
        b'{"exclude":' + b"[" * 100_000,
        b"NaN",
        '{"recipe":"popular"}'.encode("utf-16"),
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError, match="the body is not JSON in UTF-8"):
        decode(msgspec.json.Decoder().decode, body)
    with pytest.raises(EndcapError):
        decode(decoder, body)


@pytest.mark.parametrize("body", [b"[]", b"3", b"null", b'"a"'])
def test_another_kind_of_json_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError, match="it must be a JSON object"):
        decode_object(body)
    with pytest.raises(MalformedError, match=r"the body is .*: expected `object`"):
        decode(decoder, body)


def test_one_record_or_a_batch() -> None:
    assert decode_batch(b'{"type":"view"}', "events") == [{"type": "view"}]
    assert decode_batch(b'{"events":[{"type":"view"},1]}', "events") == [{"type": "view"}, 1]
    assert decode_batch(b'{"type":"view","events":[]}', "events") == [{"type": "view", "events": []}]


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (b'{"events":{}}', "events", "events must be a list of at most 1000"),
        (b'{"events":[' + b",".join([b"1"] * 1001) + b"]}", "events", "at most 1000"),
        (b'{"events":[],"test":true}', "test", "unknown field 'test' beside 'events'"),
    ],
)
def test_a_batch_that_is_none(body: bytes, field: str, message: str) -> None:
    with pytest.raises(InvalidFieldError, match=message) as raised:
        decode_batch(body, "events")
    assert raised.value.field == field


def test_the_good_records_are_kept_and_the_others_refused_by_index() -> None:
    def check(record: object) -> object:
        if record == {"bad": 1}:
            raise InvalidFieldError("bad", "bad is 1: use another")
        return record

    good, refused = checked([{"a": 1}, {"bad": 1}, 7], check)
    assert good == [{"a": 1}]
    assert refused == [
        Refusal(1, "bad is 1: use another", "bad"),
        Refusal(2, "this is 7: it must be a JSON object"),
    ]


def test_a_query_string_is_converted_and_checked() -> None:
    wanted = convert({"recipe": "similar", "k": "5", "item_ids": ["1", "2"], "explain": "true"}, RecommendRequest)
    assert wanted == RecommendRequest("similar", item_ids=["1", "2"], k=5, explain=True)
    with pytest.raises(InvalidFieldError, match="k is 'many': expected `int`"):
        convert({"recipe": "similar", "k": "many"}, RecommendRequest)
