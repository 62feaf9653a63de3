"""Text augmentation: what each operation does to a text, and what it never does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from endcap.features.rewording import NearWords, Rewording
from endcap.types import FloatArray

TABLE = {"red": ["crimson"], "mug": ["cup", "beaker"]}


def known(word: str) -> Sequence[str]:
    return TABLE.get(word, ())


def test_synonyms_stand_where_the_word_stood_in_its_case() -> None:
    always = Rewording(synonyms=known, replaced=1.0)
    found = always.reworded(["RED mug, set of 3", "sofa", ""], Random(0))
    assert found[0] in {"CRIMSON cup, set of 3", "CRIMSON beaker, set of 3"}
    assert found[1:] == ["sofa", ""]


def test_only_a_share_is_replaced() -> None:
    words = Rewording(synonyms=known, replaced=0.3).reworded(["red"] * 2_000, Random(0))
    assert 0.25 < words.count("crimson") / 2_000 < 0.35


@settings(deadline=None, max_examples=60)
@given(st.text("abc d", max_size=30), st.integers(0, 99))
def test_deletion_leaves_words_in_order_and_at_least_one(text: str, seed: int) -> None:
    found = Rewording(deleted=0.9).reworded([text], Random(seed))[0].split()
    rest = iter(text.split())
    assert all(word in rest for word in found)
    assert bool(found) == bool(text.split())


@settings(deadline=None, max_examples=60)
@given(st.text("abc d", max_size=30), st.integers(0, 99))
def test_a_swap_keeps_every_word(text: str, seed: int) -> None:
    assert Counter(Rewording(swapped=1.0).reworded([text], Random(seed))[0].split()) == Counter(text.split())


def test_a_swap_changes_the_order() -> None:
    texts = Rewording(swapped=1.0).reworded(["one two three four five six"] * 20, Random(0))
    assert any(text != "one two three four five six" for text in texts)


class Marking:
    """Says which way it was asked to translate."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> Sequence[str]:
        return [f"{text} {source}-{target}" for text in texts]


def test_back_translation_goes_there_and_back() -> None:
    found = Rewording(translator=Marking(), language="en", through="fr").reworded(["mug", "lamp"], Random(0))
    assert found == ["mug en-fr fr-en", "lamp en-fr fr-en"]


def test_by_default_nothing_is_changed() -> None:
    assert Rewording().reworded(["red  mug"], Random(0)) == ["red  mug"]


class Circle:
    """Words on a circle, by their first letter: neighbours in the alphabet are near."""

    name, dim = "circle", 2

    def encode(self, words: Sequence[str], /) -> FloatArray:
        angles = np.array([(ord(word[0]) - 97) * 0.5 for word in words])
        return np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


def test_near_words_are_the_nearest_that_are_another_word() -> None:
    words = NearWords.of(["apple apples boat", "cat 12 zz"], Circle(), least=0.8, most=2)
    assert words("boat") == ["apple", "apples"]
    assert words("apple") == ["boat"]
    assert words("apples") == ["boat"]
    assert words("12") == words("unknown") == ()
    assert set(words.nearest) == {"apple", "apples", "boat", "cat"}
