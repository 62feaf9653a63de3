"""Sentences asked of a server over HTTP."""

from __future__ import annotations

from tests.unit.backends.chat.chat_server import chat_server

from endcap.backends.chat.completions import ChatCompletions
from endcap.pipelines.wording import IN_A_ROW, worded


def test_what_may_stand_is_kept_and_the_rest_keeps_its_own_words() -> None:
    said = {"Fits your taste": "Just your thing", "In demand this week": "Buy now at https://x.example"}
    with chat_server() as server:
        server.behave = lambda _, sentence: said.get(sentence, sentence)
        assert worded(ChatCompletions(server.config("reasons"))) == {"en": {"als": "Just your thing"}}


def test_a_server_that_is_gone_costs_a_training_little() -> None:
    with chat_server() as server:
        server.behave = lambda *_: 503
        assert worded(ChatCompletions(server.config("reasons"), rest_seconds=0.0)) == {}
        assert len(server.asked) == IN_A_ROW
