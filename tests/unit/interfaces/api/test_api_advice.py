"""Lists with a language model behind HTTP: in time, slow, wrong, gone; and ``why`` needs it no more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.backends.chat.chat_server import Server, chat_server

from endcap.backends.chat.completions import ChatCompletions
from endcap.serving.advice import Advice


@pytest.fixture
def server(shop: Any) -> Iterator[Server]:
    """Asked by the shop for both uses, for at most 0.3 s."""
    with chat_server() as found:
        put(shop, found)
        yield found
    object.__setattr__(shop.context, "advice", None)


def put(shop: Any, server: Server) -> None:
    letters = shop.context.live.engine.contents.letters
    chat = ChatCompletions(server.config("rewrite", "rerank", timeout_ms=300.0))
    object.__setattr__(shop.context, "advice", Advice(chat, letters.knows, lambda word: word == "ada"))


def search(shop: Any, query: str, **more: Any) -> dict[str, Any]:
    reply = shop.call("POST", "/v1/recommend", json={"recipe": "search", "query": query, **more})
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [one["item_id"] for one in answer["items"]]


def test_a_list_with_advice_is_made_again_without_it(shop: Any, server: Server) -> None:
    plain = ids(search(shop, "tea"))
    server.behave = lambda task, _: "tea" if "queries" in task else ", ".join(map(str, range(len(plain), 0, -1)))
    answer = search(shop, "infusion")
    assert ids(answer) == plain[::-1]
    object.__setattr__(shop.context, "advice", None)
    asked = {"request_id": answer["request_id"], "item_id": plain[0]}
    told = shop.call("GET", "/v1/why", params=asked).json()
    assert (told["same"], told["items"]) == (True, plain[::-1])
    assert told["request"]["rewritten"] == "tea"


@pytest.mark.usefixtures("server")
def test_the_metrics_say_what_came_of_it(shop: Any) -> None:
    search(shop, "tee")
    came = shop.context.advice.counts["in_time"]
    assert came > 0
    assert f'endcap_llm_questions_total{{outcome="in_time"}} {came:.1f}' in shop.call("GET", "/metrics").text


def test_no_id_stands_in_a_question(shop: Any, server: Server) -> None:
    search(shop, "pot for somebody", user_id="ada", visitor_id="v-77", session_id="s-88")
    search(shop, "gift for ada")
    asked = "\n".join(server.questions)
    assert "pot for somebody" in asked
    assert not any(name in asked for name in ("ada", "v-77", "s-88"))


def test_a_personal_list_asks_nobody(shop: Any, server: Server) -> None:
    shop.call("POST", "/v1/recommend", json={"recipe": "for-you", "user_id": "ada"})
    search(shop, "pot")  # an item's id: nothing is to be mended
    assert not any("typed: pot" in question for question in server.questions)


@pytest.mark.parametrize("wrong", ["no such words", "99, 1", b"<html>", 500, "x" * 30_000])
def test_a_wrong_answer_leaves_the_list_as_it_is(shop: Any, server: Server, wrong: str | bytes | int) -> None:
    server.behave = lambda *_: wrong
    found = ids(search(shop, "desk lamp"))
    object.__setattr__(shop.context, "advice", None)
    assert found == ids(search(shop, "desk lamp"))
    assert server.asked


def test_a_slow_server_costs_a_list_no_more_than_was_set(shop: Any, server: Server) -> None:
    server.seconds = 1.5
    begun = time.monotonic()
    assert ids(search(shop, "wall lamp")) != []
    assert time.monotonic() - begun < 1.2
    begun = time.monotonic()
    search(shop, "wall lamps")
    assert time.monotonic() - begun < 0.2, "the next does not wait at all"


def test_a_server_that_is_gone_costs_next_to_nothing(shop: Any) -> None:
    with chat_server() as gone:
        pass
    put(shop, gone)
    try:
        begun = time.monotonic()
        assert ids(search(shop, "lamps")) != []
        assert time.monotonic() - begun < 1.0
    finally:
        object.__setattr__(shop.context, "advice", None)
