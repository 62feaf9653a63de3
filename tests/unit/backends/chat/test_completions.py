"""The client against a server that answers, is slow, wrong or gone; and what its log says."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import pytest
from tests.unit.backends.chat.chat_server import Server, chat_server

from endcap.backends.chat.completions import ChatCompletions, Prompt, check_llm
from endcap.config import LLMConfig
from endcap.errors import ConfigError, EndpointError

PROMPT = Prompt("rewrite", "Mend it.", "What the visitor typed: mug 42", typed="mug 42")


@pytest.fixture
def server() -> Iterator[Server]:
    with chat_server() as found:
        yield found


def test_a_question_is_asked_as_openai_has_it(server: Server) -> None:
    server.behave = lambda task, question: f"  {task} {question}\n"
    chat = ChatCompletions(server.config(), key="secret")
    assert chat.ask(PROMPT, 5.0) == "Mend it. What the visitor typed: mug 42"
    assert server.headers[0]["path"] == "/v1/chat/completions"
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert server.asked[0] | {"messages": None} == {
        "model": "m",
        "messages": None,
        "max_tokens": 200,
        "temperature": 0,
        "stream": False,
    }


def test_thoughts_are_no_part_of_the_answer(server: Server) -> None:
    server.behave = lambda *_: "<think>1, or\n2?</think>\n2"
    assert ChatCompletions(server.config()).ask(PROMPT, 5.0) == "2"


def test_an_answer_that_was_cut_off_is_none(server: Server) -> None:
    server.behave = lambda *_: b'{"choices": [{"message": {"content": "1, 2, 1"}, "finish_reason": "length"}]}'
    assert ChatCompletions(server.config()).ask(PROMPT, 5.0) == ""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>", "answered something else than a text"),
        (b'{"choices": []}', "answered something else than a text"),
        (b'{"choices": [{"message": {"content": null}}]}', "answered something else than a text"),
        (b'{"choices": [{"message": {"content": "' + b"a" * 20_001 + b'"}}]}', "answered with 20,001 characters"),
        (500, "answered with status 500: see its log"),
        (401, "answered with status 401"),
    ],
)
def test_a_wrong_answer_is_an_error(server: Server, body: bytes | int, message: str) -> None:
    server.behave = lambda *_: body
    with pytest.raises(EndpointError, match=message):
        ChatCompletions(server.config()).ask(PROMPT, 5.0)


def test_a_slow_server_is_cut_off_in_time(server: Server) -> None:
    server.seconds = 2.0
    begun = time.monotonic()
    with pytest.raises(EndpointError, match=r"did not answer within 0\.1 s"):
        ChatCompletions(server.config()).ask(PROMPT, 0.1)
    assert time.monotonic() - begun < 1.0


def test_nobody_waits_for_a_server_that_has_just_failed(server: Server) -> None:
    now = [0.0]
    chat = ChatCompletions(server.config(), clock=lambda: now[0], rest_seconds=30.0)
    server.behave = lambda *_: 500
    for _ in range(2):
        with pytest.raises(EndpointError):
            chat.ask(PROMPT, 5.0)
    assert len(server.asked) == 1, "the second was not sent"
    now[0] = 31.0
    server.behave = lambda *_: "back"
    assert chat.ask(PROMPT, 5.0) == "back"
    assert chat.ask(PROMPT, 5.0) == "back"


def test_a_server_that_is_gone_is_an_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(EndpointError, match="cannot be reached"):
        ChatCompletions(LLMConfig(address=address, model="m")).ask(PROMPT, 5.0)


def test_the_log_has_the_question_and_the_answer_without_what_is_personal(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.behave = lambda *_: "mug 42 for anna7 at a@b.example"
    chat = ChatCompletions(server.config(), known=lambda word: word == "anna7")
    typed = "mug 42 anna7 a@b.example"
    with caplog.at_level(logging.INFO, "endcap"):
        chat.ask(Prompt("rewrite", "Mend it.", f"Typed: {typed}", typed=typed), 5.0)
        chat.ask(Prompt("attributes", "Describe.", "a mug of 42 cl"), 5.0)
    first, second = (vars(record) for record in caplog.records)
    assert first["prompt"] == "Typed: mug [number] [id] [e-mail]"
    assert first["answer"] == "mug [number] for [id] at [e-mail]"
    assert (first["use"], first["outcome"]) == ("rewrite", "answered")
    assert second["prompt"] == "a mug of 42 cl", "text of the catalogue is nobody's"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LLMConfig(uses=("poems",)), r"llm\.uses names 'poems': choose among attributes, rewrite, rerank, reasons"),
        (LLMConfig(uses=("rewrite",), model="m"), r"llm\.address is ''"),
        (LLMConfig(uses=("rewrite",), address="http://h/v1"), r"llm\.model is empty"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(config: LLMConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_llm(config)


def test_nothing_is_checked_where_it_is_off() -> None:
    check_llm(LLMConfig())
