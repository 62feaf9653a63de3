"""A language model behind a server, in the way of OpenAI's ``POST /v1/chat/completions``, which many servers speak."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from endcap.backends.chat.breaker import Breaker
from endcap.backends.chat.masking import masked
from endcap.backends.http.posting import check_address, post_json
from endcap.config import LLMConfig
from endcap.errors import ConfigError, EndpointError

REST_SECONDS = 30.0
"""After a failure nobody waits for the server for so long."""
MAX_ANSWER = 20_000
"""Characters of an answer; a longer one is none."""
USES = ("attributes", "rewrite", "rerank", "reasons")

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
"""What models that reason put before their answer."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question. No user, visitor or session id ever stands in one."""

    use: str
    """What it is for: one of ``USES``."""
    system: str
    """The task; the same for all questions of one use."""
    user: str
    """What it is about: text of the catalogue, or what a visitor typed."""
    typed: str = ""
    """The part of ``user`` that a visitor typed: it is masked in the log, and so are numbers in the answer."""
    max_tokens: int = 200


class _Message(msgspec.Struct):
    content: str


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]


def check_llm(config: LLMConfig) -> None:
    """Raises ConfigError for a use that does not exist, and for uses without a server or a model."""
    unknown = [use for use in config.uses if use not in USES]
    if unknown:
        raise ConfigError(f"llm.uses names {unknown[0]!r:.80}: choose among {', '.join(USES)}")
    if config.uses:
        check_address("llm.address", config.address)
        if not config.model:
            raise ConfigError(f"llm.model is empty: say which model of {config.address} is meant")


class ChatCompletions:
    """The model behind ``config.address``. Any thread; ``known``: whether a word is the id of a person.

    ``key`` goes into the header ``Authorization``. Raises ConfigError as ``check_llm`` does.
    """

    def __init__(
        self,
        config: LLMConfig,
        key: str | None = None,
        known: Callable[[str], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
        rest_seconds: float = REST_SECONDS,
    ) -> None:
        check_llm(config)
        self.config = config
        self._address = config.address.rstrip("/") + "/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._known = known
        self._clock = clock
        self.breaker = Breaker(clock, rest_seconds)

    def ask(self, prompt: Prompt, seconds: float) -> str:
        """What the model says, within ``seconds``, without white space around it and without its thoughts.

        Empty where it was cut off at ``max_tokens``: half an answer is none.

        Raises EndpointError if the server is gone, slow, refuses or answers something else than a text, and at once
        where it did so less than ``rest_seconds`` ago.
        """
        if not self.breaker.admits():
            raise EndpointError(f"{self._address} has just failed: it is asked again after a while")
        begun, outcome, said = self._clock(), "failed", ""
        try:
            said = self._said(prompt, seconds)
            outcome = "answered"
            self.breaker.passed()
        except EndpointError as error:
            said = str(error)
            self.breaker.failed()
            raise
        finally:
            self._log(prompt, outcome, said, self._clock() - begun)
        return said

    def _said(self, prompt: Prompt, seconds: float) -> str:
        body = msgspec.json.encode(
            {
                "model": self.config.model,
                "messages": [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
                "max_tokens": prompt.max_tokens,
                "temperature": 0,
                "stream": False,
            }
        )
        reply = post_json(self._address, body, self._headers, seconds)
        if reply.status != 200:
            raise EndpointError(f"{self._address} answered with status {reply.status}: see its log, and [llm]")
        try:
            answer = msgspec.json.decode(reply.body, type=_Answer)
            said = _THOUGHT.sub("", answer.choices[0].message.content).strip()
            if answer.choices[0].finish_reason == "length":
                said = ""
        except (msgspec.MsgspecError, UnicodeDecodeError, IndexError) as error:
            raise EndpointError(f"{self._address} answered something else than a text ({error!s:.200})") from error
        if len(said) > MAX_ANSWER:
            raise EndpointError(
                f"{self._address} answered with {len(said):,} characters: at most {MAX_ANSWER:,} are read"
            )
        return said

    def _log(self, prompt: Prompt, outcome: str, said: str, seconds: float) -> None:
        asked = prompt.user
        if prompt.typed:
            asked, said = asked.replace(prompt.typed, masked(prompt.typed, self._known)), masked(said, self._known)
        fields = {"use": prompt.use, "outcome": outcome, "prompt": asked, "answer": said}
        _logger.info("language model asked", extra={**fields, "took_ms": round(seconds * 1000, 1)})
