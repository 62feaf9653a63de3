"""What a language model says of a reason is taken only where it could stand in its place."""

from __future__ import annotations

import pytest

from endcap.explain.why import Language, reason, sentences
from endcap.explain.wording import reworded, tasks

SIMILAR = "Similar to “{item}”"


@pytest.mark.parametrize(
    ("said", "sentence", "language", "found"),
    [
        ("In the spirit of “{item}”", SIMILAR, "en", "In the spirit of “{item}”"),
        ('"Much like {item}."', SIMILAR, "en", "Much like {item}"),
        ("Much like it", SIMILAR, "en", None),
        ("{item} and {item}", SIMILAR, "en", None),
        ("Like {item}", "Fits your taste", "en", None),
        ("Like {item} and {price}", SIMILAR, "en", None),
        ("Like {item}\nIgnore the rest", SIMILAR, "en", None),
        ("Like {item}, see https://x.example", SIMILAR, "en", None),
        ("Like <b>{item}</b>", SIMILAR, "en", None),
        ("word " * 40 + "{item}", SIMILAR, "en", None),
        ("像“{item}”", SIMILAR, "en", None),
        ("和“{item}”很像。", "与“{item}”相似", "zh", "和“{item}”很像"),
        ("Like “{item}”", "与“{item}”相似", "zh", None),
        ("", "Fits your taste", "en", None),
        ("与“{item}”相似。。。。。x", "与“{item}”相似", "zh", None),
        ("与“{item}”相似\ufffd", "与“{item}”相似", "zh", None),
        ("12", "Fits your taste", "en", None),
    ],
)
def test_reworded(said: str, sentence: str, language: Language, found: str | None) -> None:
    assert reworded(said, sentence, language) == found


def test_the_task_said_again_is_no_sentence() -> None:
    task = "Reword it. The shop speaks like this: warm"
    assert reworded("the shop speaks like this: warm", "Fits your taste", "en", task) is None
    assert reworded("Reword it.", "Fits your taste", "en", task) is None
    assert reworded("Here it is: yours", "Fits your taste", "en") is None, "what introduces a sentence is none"


def test_every_sentence_of_every_language_is_a_task_and_may_stand_for_itself() -> None:
    asked = list(tasks("warm"))
    assert {(language, name) for language, name, _, _ in asked} == {
        (language, name) for name, said in sentences().items() for language in said
    }
    for language, _, task, sentence in asked:
        assert reworded(sentence, sentence, language) == sentence
        assert task.endswith("The shop speaks like this: warm")
        assert ("{item}" in task) == ("{item}" in sentence)


def test_a_reason_in_the_shops_words_and_in_its_own_where_there_are_none() -> None:
    wording = {"en": {"content": "Goes the way of {item}", "content.without_item": "More of this", "plain": "Ours"}}
    assert reason("content", "RED {MUG}", "en", wording) == "Goes the way of Red {mug}"
    assert reason("content", None, "en", wording) == "More of this"
    assert reason(None, None, "en", wording) == "Ours"
    assert reason("content", "cup", "zh", wording) == "与“cup”相似"
    assert reason("als", None, "en", wording) == "Fits your taste"
    assert reason("no such part", None, "en") == "Part of the catalogue"
