"""From texts to an encoder that is served: whole, killed in the middle, and with what does not fit."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tests.unit.encoders.pretraining.test_contrast import baskets
from tests.unit.encoders.pretraining.wording import KINDS, TITLES, small_start
from torch import nn

from endcap.encoders.folder import Spec, read_folder
from endcap.encoders.onnx import OnnxTextEncoder
from endcap.errors import ConfigError, DataError, ModelError
from endcap.nn.settings import Settings
from endcap.nn.training import Around
from endcap.pipelines.material import Material
from endcap.pipelines.pretrain import Job, build, open_start, pretrain

SETTINGS = Settings(epochs=2, batch_size=16, learning_rate=5e-3)
SHOP = Material(
    TITLES,
    labels=KINDS,
    parts=[[title, f"The {title.split()[1]} is nice. It is {title.split()[0]}."] for title in TITLES],
    groups=baskets(300),
)
small_start()  # the size "test"


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one encoder, "plain": masked words from random weights, 16 tokens."""
    folder = tmp_path_factory.mktemp("encoders")
    pretrain(Job("masked", size="test", max_tokens=16, settings=SETTINGS), SHOP, folder, "plain", Around())
    return folder


def test_what_is_written_is_served_and_says_how_it_was_made(encoders: Path) -> None:
    encoder = OnnxTextEncoder(encoders / "plain")
    vectors = encoder.encode(["red cup for the hall", "red cup for the garden", "black brush", ""])
    assert vectors.shape == (4, 32)
    assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0], atol=1e-5)
    made = read_folder(encoders / "plain").made
    assert made["from"] == "random weights"
    assert made["by"] == "endcap pretrain --objective masked"
    assert made["texts"] == len(TITLES)
    assert made["perplexity"] > 1  # type: ignore[operator]


def written(encoders: Path, name: str, **more: object) -> tuple[Spec | None, OnnxTextEncoder]:
    job = Job(**{"base": "plain", "max_tokens": 16, "settings": SETTINGS, **more})  # type: ignore[arg-type]
    spec = pretrain(job, SHOP, encoders, name, Around())
    return spec, OnnxTextEncoder(encoders / name)


@pytest.mark.parametrize(
    ("objective", "tune"), [("classify", "full"), ("contrast", "lora"), ("next-sentence", "full"), ("causal", "full")]
)
def test_given_weights_are_trained_further(encoders: Path, objective: str, tune: str) -> None:
    spec, encoder = written(encoders, f"{objective}-more", objective=objective, tune=tune)
    assert spec is not None
    assert spec.made["from"] == "plain"
    before, after = (one.encode(["red cup"])[0] for one in (OnnxTextEncoder(encoders / "plain"), encoder))
    assert np.abs(before - after).max() > 1e-3
    assert (encoders / f"{objective}-more" / "torch" / "config.json").is_file()


def test_the_served_vectors_are_those_that_were_trained(encoders: Path) -> None:
    start = open_start(Job("masked", base="plain"), SHOP, encoders)
    corpus = start.tokenize(TITLES[:9], 16)
    expected = OnnxTextEncoder(encoders / "plain").encode(TITLES[:9])
    assert_allclose(start.body.encode(corpus, start.marks.pad), expected, atol=1e-5)


def test_a_folder_of_weights_can_be_named_by_its_path(encoders: Path, tmp_path: Path) -> None:
    shutil.copytree(encoders / "plain" / "torch", tmp_path / "weights")
    start = open_start(Job("masked", base=str(tmp_path / "weights")), SHOP, encoders)
    assert start.manner.name == "weights"
    again = open_start(Job("masked", base="plain"), SHOP, encoders)
    for one, other in zip(start.body.parameters(), again.body.parameters(), strict=True):
        assert (one == other).all()


def test_a_pretraining_that_was_cut_off_goes_on_to_the_same_weights(encoders: Path, tmp_path: Path) -> None:
    job = Job("masked", size="test", max_tokens=16, settings=replace(SETTINGS, checkpoint_steps=3))

    def cut(done: int, total: int) -> None:
        if done > 0.7 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(job, SHOP, tmp_path, "again", Around(tmp_path / "work", cut))
    assert not (tmp_path / "again").exists()
    seen: list[int] = []
    pretrain(job, SHOP, tmp_path, "again", Around(tmp_path / "work", lambda done, _: seen.append(done)))
    assert min(seen) > 3
    same, once = (folder / "torch" / "model.safetensors" for folder in (tmp_path / "again", encoders / "plain"))
    assert same.read_bytes() == once.read_bytes()


def test_the_head_alone_leaves_the_body_and_learns() -> None:
    job = Job("classify", tune="head", max_tokens=16, settings=SETTINGS)
    built = build(job, SHOP, small_start())
    trained = [name for name, one in built.model.named_parameters() if one.requires_grad]
    assert trained == ["head.dense.weight", "head.dense.bias"]


def test_dropout_is_that_of_the_job() -> None:
    built = build(Job("classify", dropout=0.35, max_tokens=16), SHOP, small_start())
    assert {one.p for one in built.model.modules() if isinstance(one, nn.Dropout)} == {0.35}


def test_frozen_words_stay(encoders: Path) -> None:
    start = open_start(Job("masked", base="plain"), SHOP, encoders)
    build(Job("contrast", freeze_words=True, max_tokens=16), SHOP, start)
    assert not start.body.words.weight.requires_grad
    assert start.body.model.encoder.layer[0].output.dense.weight.requires_grad


@pytest.mark.parametrize(
    ("job", "material", "error", "message"),
    [
        (Job("classify"), Material(TITLES), DataError, "there are no labels to learn: name their column with --label"),
        (
            Job("classify"),
            Material(TITLES, labels=["cup"] * len(TITLES)),
            DataError,
            "of 1 labels 1 stands at 5 texts or more: two are needed to tell apart: name another column",
        ),
        (
            Job("next-sentence"),
            Material(TITLES, parts=[[title] for title in TITLES]),
            DataError,
            "no text has two sentences: give descriptions or reviews",
        ),
        (Job("contrast"), Material(TITLES), DataError, "nothing says which texts go together"),
        (
            Job("contrast"),
            Material(TITLES, groups=[np.array([0, 1], np.int32)]),
            DataError,
            "no two texts are in 3 groups together: give more baskets",
        ),
        (Job("masked", base="nowhere"), SHOP, Exception, "there is no encoder 'nowhere'"),
        (Job("masked", tune="head"), SHOP, ConfigError, "training the head alone makes no other encoder"),
        (Job("masked", size="huge"), SHOP, ConfigError, "size is 'huge': choose among tiny"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, job: Job, material: Material, error: type[Exception], message: str) -> None:
    job = job if job.size != "tiny" or job.base else replace(job, size="test", max_tokens=16)
    with pytest.raises(error, match=message):
        pretrain(job, material, tmp_path, "new", Around())
    assert not (tmp_path / "new").exists()


def test_a_name_that_is_taken_is_said_before_training(encoders: Path) -> None:
    with pytest.raises(ModelError, match="there is an encoder 'plain' already"):
        pretrain(Job("masked"), SHOP, encoders, "plain", Around())


def test_a_checkpoint_of_another_objective_is_refused(tmp_path: Path) -> None:
    """Masked and causal words have the same weights by name and shape, from the same texts."""
    job = Job("masked", size="test", max_tokens=16, settings=SETTINGS)
    pretrain(job, SHOP, tmp_path, "one", Around(tmp_path / "work"))
    with pytest.raises(ModelError, match="of a training on other data or for something else"):
        pretrain(replace(job, objective="causal"), SHOP, tmp_path, "two", Around(tmp_path / "work"))
