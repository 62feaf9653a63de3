"""The wording of reasons: every sentence of explain/why.py asked of a language model, once a training."""

from __future__ import annotations

from endcap.backends.chat.completions import ChatCompletions, Prompt
from endcap.errors import EndpointError
from endcap.explain.wording import Wording, reworded, tasks

IN_A_ROW = 2
"""Failures after which the rest keeps its own words: a training does not wait for a server that is gone."""


def worded(chat: ChatCompletions) -> Wording:
    """The sentences that the model has put in the shop's voice; those that it has not are left out."""
    found: dict[str, dict[str, str]] = {}
    failed = 0
    for language, name, task, sentence in tasks(chat.config.voice):
        try:
            said = chat.ask(Prompt("reasons", task, sentence, max_tokens=80), chat.config.patience_seconds)
        except EndpointError:
            failed += 1
            if failed == IN_A_ROW:
                break
            continue
        failed, new = 0, reworded(said, sentence, language, task)
        if new is not None and new != sentence:
            found.setdefault(language, {})[name] = new
    return found
