"""Masked and causal words: what is hidden, what is asked, and that it is learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.testing import assert_allclose
from tests.unit.encoders.pretraining.wording import TITLES, every, small_start

from endcap.encoders.pretraining.body import start_from
from endcap.encoders.pretraining.causal import CausalTask
from endcap.encoders.pretraining.masked import MaskedTask, WordModel
from endcap.nn.settings import Settings
from endcap.nn.training import train

SETTINGS = Settings(epochs=4, batch_size=16, learning_rate=5e-3)


def masked(start=None) -> MaskedTask:  # type: ignore[no-untyped-def]  # noqa: ANN001
    start = start or small_start()
    corpora = start.tokenize(TITLES[:120], 16), start.tokenize(TITLES[120:], 16)
    return MaskedTask(*corpora, start.marks, start.body.words.num_embeddings)


def test_of_the_words_a_share_is_hidden_and_never_a_mark() -> None:
    task = masked()
    marks = task.marks
    ids = np.random.default_rng(0).integers(10, 60, (400, 50)).astype(np.int32)
    ids[:, 0], ids[:, 40], ids[:, 41:] = marks.begin, marks.end, marks.pad
    seen, places, targets = task.places(ids, np.random.default_rng(1))
    assert_allclose(targets, ids.ravel()[places])
    assert not np.isin(targets, task.marks.all).any()
    assert abs(places.size / (400 * 39) - 0.15) < 0.01
    hidden = seen.ravel()[places]
    assert abs(np.mean(hidden == marks.mask) - 0.8) < 0.03
    assert abs(np.mean(hidden == targets) - 0.1) < 0.03
    untouched = np.ones(ids.size, np.bool_)
    untouched[places] = False
    assert (seen.ravel()[untouched] == ids.ravel()[untouched]).all()


def test_every_text_is_asked_for_one_word_at_least() -> None:
    task = masked()
    ids = task.corpus.padded(every(50), task.marks.pad)
    for seed in range(20):
        _, places, _ = task.places(ids, np.random.default_rng(seed))
        assert np.unique(places // ids.shape[1]).size == 50
    blank = np.array([[task.marks.begin, task.marks.end, task.marks.pad]], np.int32)
    assert task.places(blank, np.random.default_rng(0))[1].size == 0


def test_the_head_on_some_places_is_the_head_on_all() -> None:
    task, start = masked(), small_start()
    model = WordModel(start.body).eval()
    batch = task.batch(every(8), np.random.default_rng(0))
    with torch.inference_mode():
        whole = model.head(model.body(batch["ids"], batch["attention"])).flatten(0, 1)
        assert_allclose(model(batch), whole[batch["places"]], atol=1e-5)


def test_masked_words_are_learnt() -> None:
    """Of 144 titles 24 unseen. Whoever knows only how often words are comes to their entropy; context is better."""
    start = small_start()
    task = masked(start)
    words = np.concatenate([start.tokenize([title], 16).ids[1:-1] for title in TITLES])
    shares = np.bincount(words) / words.size
    unigram = float(np.exp(-np.sum(shares[shares > 0] * np.log(shares[shares > 0]))))
    found = train(WordModel(start.body), task, replace(SETTINGS, epochs=12))
    assert found.best.metrics["perplexity"] < 0.5 * unigram
    assert found.best.metrics["perplexity"] < found.history[0].metrics["perplexity"]


def test_what_stands_behind_a_piece_does_not_change_it_in_a_causal_body(tmp_path) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    ids = torch.tensor([[2, 10, 11, 12, 3], [2, 10, 11, 20, 21]])
    plain, causal = small_start(), small_start(causal=True)
    plain.body.model.save_pretrained(tmp_path)
    plain.tokenizer.save(str(tmp_path / "tokenizer.json"))
    opened = start_from(tmp_path, plain.manner, causal=True)
    for start, blind in ((plain, False), (causal, True), (opened, True)):
        with torch.inference_mode():
            states = start.body.eval()(ids, torch.ones_like(ids))
        assert torch.allclose(states[0, :3], states[1, :3], atol=1e-5) == blind


def test_causal_asks_for_every_next_piece_and_learns_it() -> None:
    start = small_start(causal=True)
    task = CausalTask(start.tokenize(TITLES[:120], 16), start.tokenize(TITLES[120:], 16), start.marks)
    ids = np.array([[2, 7, 8, 3, 0, 0], [2, 9, 10, 11, 12, 3]], np.int32)
    seen, places, targets = task.places(ids, np.random.default_rng(0))
    assert (seen == ids).all()
    assert places.tolist() == [0, 1, 2, 6, 7, 8, 9, 10]
    assert targets.tolist() == [7, 8, 3, 9, 10, 11, 12, 3]
    found = train(WordModel(start.body), task, replace(SETTINGS, epochs=8))
    assert found.best.metrics["perplexity"] < 0.6 * found.history[0].metrics["perplexity"]


def test_nothing_held_out_is_no_figure() -> None:
    start = small_start()
    task = MaskedTask(start.tokenize(TITLES, 16), start.tokenize([], 16), start.marks, 100)
    assert task.evaluate(WordModel(start.body)) == {}
