"""An encoder behind HTTP: what it asks, and what it does when the server is slow, wrong, overloaded or gone."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.encoders.embedding_server import (
    DIM,
    DripError,
    Server,
    StatusError,
    answer,
    embedding_server,
    vector,
)

from endcap.config import EndpointConfig
from endcap.encoders.cache import CachedEncoder, VectorStore
from endcap.encoders.endpoint import MAX_CHARS, WAITS, EndpointEncoder
from endcap.errors import ConfigError, EndpointError


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with embedding_server() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.asked.clear()
    running.headers.clear()
    running.behave = lambda _, texts: answer(texts)
    return running


def impatient(server: Server, waited: list[float] | None = None, **settings: Any) -> EndpointEncoder:
    """Its waits are noted, not slept."""
    noted: list[float] = [] if waited is None else waited
    return EndpointEncoder(server.config(**settings), pause=noted.append)


def test_vectors_are_those_of_the_server_at_length_one(server: Server) -> None:
    vectors = impatient(server).encode(["red mug", "", "clock"])
    for row, text in ((0, "red mug"), (2, "clock")):
        expected = np.array(vector(text))
        np.testing.assert_allclose(vectors[row], expected / np.linalg.norm(expected), atol=1e-6)
    assert not vectors[1].any()
    assert server.asked == [["red mug", "clock"]]


def test_what_is_sent(server: Server) -> None:
    EndpointEncoder(server.config(model="bge-m3"), key="secret").encode(["mug"])
    EndpointEncoder(server.config()).encode(["mug"])
    first, second = server.headers
    assert (first["path"], first["model"], first["Authorization"]) == ("/v1/embeddings", "bge-m3", "Bearer secret")
    assert "Authorization" not in second


def test_texts_go_in_batches_and_long_ones_are_cut(server: Server) -> None:
    impatient(server, batch=2).encode(["a", " ", "b", "x" * 1_000_000])
    assert server.asked == [["a", "b"], ["x" * MAX_CHARS]]


def test_blank_texts_ask_nothing(server: Server) -> None:
    assert not impatient(server).encode(["", "\x00"]).any()
    assert server.asked == []


def test_an_answer_in_another_order_is_put_in_order(server: Server) -> None:
    expected = impatient(server).encode(["a", "b", "c"])
    server.behave = lambda _, texts: {"data": answer(texts)["data"][::-1]}
    np.testing.assert_array_equal(impatient(server).encode(["a", "b", "c"]), expected)


def test_an_answer_without_numbers_is_in_order(server: Server) -> None:
    expected = impatient(server).encode(["a", "b"])
    server.behave = lambda _, texts: {"data": [{"embedding": vector(text)} for text in texts]}
    np.testing.assert_array_equal(impatient(server).encode(["a", "b"]), expected)


@pytest.mark.parametrize(
    ("said", "match"),
    [
        (lambda texts: answer(texts, DIM - 1), "gave a vector of 7 dimensions instead of 8: if the model is the right"),
        (lambda texts: answer(texts[1:]), "gave 1 vectors for 2 texts: none is kept"),
        (lambda texts: answer([*texts, "more"]), "gave 3 vectors for 2 texts"),
        (
            lambda _: {"data": [{"index": 0, "embedding": [1.0] * DIM}] * 2},
            "does not say which vector is of which text",
        ),
        (lambda _: {"error": "no such model"}, "answered something else than vectors"),
        (lambda _: b"<html>", "answered something else than vectors"),
        (lambda _: b"\xff\xfe", "answered something else than vectors"),
        (lambda _: b"", "answered something else than vectors"),
        (lambda texts: {"data": [{"embedding": ["x"] * DIM} for _ in texts]}, "answered something else than vectors"),
        (lambda texts: {"data": [{"embedding": [0.0] * DIM} for _ in texts]}, "gave a vector of zeros"),
        (lambda texts: {"data": [{"embedding": [float("nan")] * DIM} for _ in texts]}, "something else than vectors"),
    ],
)
def test_a_wrong_answer_is_refused_whole(server: Server, said: Callable[[list[str]], object], match: str) -> None:
    server.behave = lambda _, texts: said(texts)
    with pytest.raises(EndpointError, match=match):
        impatient(server).encode(["a", "b"])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again_after_longer_waits(server: Server, status: int) -> None:
    def behave(number: int, texts: list[str]) -> object:
        if number < 3:
            raise StatusError(status)
        return answer(texts)

    server.behave, waited = behave, list[float]()
    assert impatient(server, waited).encode(["a"]).any()
    assert len(server.asked) == 3
    assert waited == list(WAITS[:2])


def test_a_server_says_how_long_to_wait(server: Server) -> None:
    wishes = {1: "5", 2: "86400", 3: "Wed, 21 Oct 2026 07:28:00 GMT"}

    def behave(number: int, texts: list[str]) -> object:
        if number in wishes:
            raise StatusError(429, {"Retry-After": wishes[number]})
        return answer(texts)

    server.behave, waited = behave, list[float]()
    impatient(server, waited).encode(["a"])
    assert waited == [5.0, 30.0, WAITS[2]]


def test_what_does_not_pass_ends(server: Server) -> None:
    def behave(_: int, __: list[str]) -> object:
        raise StatusError(500, body=b"out of memory")

    server.behave, waited = behave, list[float]()
    with pytest.raises(EndpointError, match=r"embeddings answered with status 500 \(out of memory\): see its log"):
        impatient(server, waited).encode(["a"])
    assert len(server.asked) == len(WAITS) + 1
    assert waited == list(WAITS)


@pytest.mark.parametrize("status", [400, 401, 404, 301])
def test_what_is_our_fault_is_not_tried_again(server: Server, status: int) -> None:
    def behave(_: int, __: list[str]) -> object:
        raise StatusError(status, {"Location": "http://127.0.0.1:1/"})

    server.behave = behave
    with pytest.raises(EndpointError, match=f"status {status}"):
        impatient(server).encode(["a"])
    assert len(server.asked) == 1


def test_a_slow_server_is_left(server: Server) -> None:
    def behave(_: int, texts: list[str]) -> object:
        time.sleep(0.5)
        return answer(texts)

    server.behave = behave
    begun = time.monotonic()
    with pytest.raises(EndpointError, match=r"did not answer within 0\.1 s"):
        EndpointEncoder(server.config(timeout_seconds=0.1), waits=()).encode(["a"])
    assert time.monotonic() - begun < 0.45


def test_a_server_that_sends_and_sends_is_left_too(server: Server) -> None:
    def behave(_: int, __: list[str]) -> object:
        raise DripError

    server.behave = behave
    begun = time.monotonic()
    with pytest.raises(EndpointError, match=r"did not answer within 0\.2 s"):
        EndpointEncoder(server.config(timeout_seconds=0.2), waits=()).encode(["a"])
    assert time.monotonic() - begun < 2.0


def test_a_server_that_is_gone_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    waited: list[float] = []
    config = EndpointConfig(address=f"http://127.0.0.1:{port}/v1", model="m", dim=DIM)
    with pytest.raises(EndpointError, match=rf"http://127\.0\.0\.1:{port}/v1/embeddings cannot be reached \(.*refused"):
        EndpointEncoder(config, pause=waited.append).encode(["a"])
    assert waited == list(WAITS)


def test_what_was_encoded_before_it_broke_is_kept(server: Server, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(600)]

    def behave(number: int, batch: list[str]) -> object:
        if number == 2:
            raise StatusError(400)
        return answer(batch)

    server.behave = behave
    store = VectorStore(tmp_path, impatient(server, batch=256))
    with pytest.raises(EndpointError):
        store.vectors(texts)
    server.asked.clear()
    server.behave = lambda _, batch: answer(batch)
    store.vectors(texts)
    assert [text for batch in server.asked for text in batch] == texts[256:]
    server.asked.clear()
    store.vectors([*texts[:-1], "a new title"])
    assert server.asked == [["a new title"]]


def test_a_search_is_asked_once(server: Server) -> None:
    cached = CachedEncoder(EndpointEncoder(server.config(), waits=()))
    np.testing.assert_array_equal(cached.encode(["mug"]), cached.encode(["mug"]))
    assert server.asked == [["mug"]]


def test_the_name_changes_with_what_the_vectors_come_from(server: Server) -> None:
    config = server.config()
    names = {
        EndpointEncoder(other).name
        for other in (
            config,
            replace(config, model="n"),
            replace(config, dim=9),
            replace(config, address="http://b/v1"),
        )
    }
    assert len(names) == 4
    assert EndpointEncoder(replace(config, batch=1, timeout_seconds=1.0)).name in names
    assert EndpointEncoder(config).name.startswith("endpoint:m@")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"address": ""}, r"endpoint\.address is '': it must be the address of a server"),
        ({"address": "ftp://a/v1"}, r"endpoint\.address is 'ftp://a/v1'"),
        ({"address": "http://a:99999999/v1"}, r"endpoint\.address"),
        ({"model": ""}, r"endpoint\.model is '' and endpoint\.dim 8: say which model"),
        ({"dim": 0}, r"endpoint\.model is 'm' and endpoint\.dim 0: say which model"),
    ],
)
def test_what_is_not_configured_is_said(server: Server, settings: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        EndpointEncoder(server.config(**settings))
