"""The language model, where one is configured: what it is asked for, and by whom."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from endcap.backends.chat.completions import ChatCompletions, check_llm
from endcap.config import Config
from endcap.errors import ConfigError
from endcap.explain.wording import Wording
from endcap.pipelines.describe import Described
from endcap.pipelines.describe import describe as describe_items
from endcap.pipelines.restart import replayed
from endcap.pipelines.wording import worded
from endcap.serving.advice import Advice
from endcap.serving.live import Live
from endcap.types import Progress
from endcap.wiring.home import existing_log

ON_THE_WAY = frozenset({"rewrite", "rerank"})
"""Uses that a list waits for."""


def advice(live: Live, config: Config) -> Advice | None:
    """What a language model adds to the lists of ``live``; None where none is configured. Raises ConfigError."""
    check_llm(config.llm)
    if not ON_THE_WAY & set(config.llm.uses):
        return None

    def person(word: str) -> bool:
        return live.engine.state.user_row(word, None) >= 0 or live.engine.state.user_row(None, word) >= 0

    def word(token: str) -> bool:
        return live.engine.contents.letters.knows(token)

    return Advice(_chat(config, person), word, person)


def reasons(config: Config) -> Wording:
    """The sentences of reasons in the shop's voice; none where no model is to word them. Raises ConfigError."""
    return worded(_chat(config)) if "reasons" in config.llm.uses else {}


def describe(home: Path, config: Config, limit: int | None, now_ms: int, progress: Progress) -> Described:
    """Attributes and keywords of items, from their text, into the log. A server may run beside it.

    Raises ConfigError where no language model is configured for it, EndpointError where it does not answer.
    """
    if "attributes" not in config.llm.uses:
        raise ConfigError('no language model describes items: set llm.address, llm.model and llm.uses = ["attributes"]')
    chat = _chat(config)
    with closing(existing_log(home)) as log:
        state = replayed(home, config, log)
        items = [item for _, item in state.shop.listed_items()]
        return describe_items(log, (items, state.offset), chat, limit, now_ms, progress)


def _chat(config: Config, person: Callable[[str], bool] | None = None) -> ChatCompletions:
    """Rests after a failure only where people wait for lists: ``person`` tells their ids."""
    key = os.environ.get(config.llm.key_env) if config.llm.key_env else None
    if config.llm.key_env and not key:
        raise ConfigError(f"llm.key_env names {config.llm.key_env}, which is not set: put the key there, or clear it")
    if person is None:
        return ChatCompletions(config.llm, key, rest_seconds=0.0)
    return ChatCompletions(config.llm, key, person)
