"""Texts as numbers: looked up as they were cut, and held out by what they say."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.unit.encoders.pretraining.wording import TITLES, every, small_start

from endcap.encoders.pretraining.body import learn_pieces
from endcap.encoders.pretraining.corpus import Corpus, as_batch, held_out, in_length_order


@given(st.lists(arrays(np.int32, st.integers(1, 5), elements=st.integers(1, 9)), min_size=1, max_size=6))
def test_padded_is_each_text_and_then_padding(texts: list[np.ndarray]) -> None:
    corpus = Corpus(np.concatenate(texts), np.cumsum([0, *(text.size for text in texts)]))
    found = corpus.padded(every(len(texts)), pad=0)
    assert [row[row != 0].tolist() for row in found] == [text.tolist() for text in texts]
    assert found.shape[1] == max(text.size for text in texts)
    rows = every(len(texts))[::-2]
    taken = corpus.take(rows)
    assert [taken.text(place).tolist() for place in range(len(taken))] == [texts[row].tolist() for row in rows]


def test_a_batch_attends_to_what_is_no_padding() -> None:
    batch = as_batch(np.array([[5, 6, 0], [7, 8, 9]], np.int32), pad=0)
    assert torch.equal(batch["attention"], torch.tensor([[1, 1, 0], [1, 1, 1]]))


def test_every_row_comes_once_and_lengths_only_grow() -> None:
    corpus = small_start().tokenize(["red cup", "cup", "red cup for the hall", "lamp"], 16)
    rows = np.concatenate(list(in_length_order(corpus, 2)))
    assert sorted(rows.tolist()) == [0, 1, 2, 3]
    assert (np.diff(corpus.lengths[rows]) >= 0).all()


def test_a_text_is_held_out_by_what_it_says() -> None:
    texts = [f"text {number}" for number in range(4_000)]
    kept = held_out(texts, 0.2, seed=1)
    assert abs(kept.mean() - 0.2) < 0.03
    assert held_out([texts[7], texts[7], texts[3]], 0.2, seed=1).tolist() == [kept[7], kept[7], kept[3]]
    assert (held_out(texts, 0.2, seed=2) != kept).any()
    assert not held_out(texts, 0.0, seed=1).any()


def test_the_same_texts_give_the_same_pieces_and_chinese_characters_are_words() -> None:
    texts = [*TITLES, "红色 的 杯子", "白色杯子", "Große TASSE"] * 3
    first, second = learn_pieces(texts, 120), learn_pieces(texts, 120)
    assert first.get_vocab() == second.get_vocab()
    assert first.encode("白色", add_special_tokens=False).tokens == ["▁白", "▁色"]
    assert first.encode("Red CUP").tokens == ["[CLS]", "▁red", "▁cup", "[SEP]"]


def test_a_text_is_cut_and_keeps_its_end() -> None:
    start = small_start()
    corpus = start.tokenize(["red cup for the hall " * 20], 6)
    assert corpus.lengths.tolist() == [6]
    assert corpus.ids[[0, -1]].tolist() == [start.marks.begin, start.marks.end]
