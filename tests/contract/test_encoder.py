"""What every encoder promises, whatever it is made of. A new one is tested by being listed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.unit.encoders.embedding_server import embedding_server
from tests.unit.encoders.folders import DIM, PIECES, sentence_folder, static_folder

from endcap.encoders.adding import Overrides, add_folder
from endcap.encoders.cache import CachedEncoder, VectorStore
from endcap.encoders.endpoint import EndpointEncoder
from endcap.encoders.lexical import LexicalEncoder
from endcap.encoders.onnx import OnnxTextEncoder
from endcap.encoders.static import StaticTextEncoder
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.protocols import Encoder

NAMES = ("universal sentence encoder", "cached", "lexical", "static", "onnx", "onnx with prefix", "endpoint")
TEXTS = [
    "RED RETROSPOT MUG",
    "christmas tree",
    "红色杯子",
    "a",
    "Set/3 café trays, 20% off: £4.95",
    "mug",
    "wall clock",
]


ODD = {
    "emoji": "🎄🎁",
    "joined": "🏳️‍🌈" * 50,
    "surrogate": "a\ud800b",
    "scripts": "مرحبا red 红色 чай",
    "accents": "\u0301" * 50,
    "replacement": "\ufffd",
    "expanding": "ﷺ" * 2_000,
    "long": "x" * 50_000,
    "megabyte": "red retrospot mug " * 60_000,
    "control": "red\x00\x07 mug\x1b[31m",
    "marks": "[SEP] [CLS] </s> <pad>",
    "lines": "red\nmug\r\n\tclock",
    "backwards": "\u202egum der",
    "digits": "12345",
    "private": "\ue000\uf8ff",
    "unassigned": "\U000e0fff mug",
}


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Encoder[str]]]:
    """One of each kind; a transformer with random weights stands for all of ONNX."""
    folder = tmp_path_factory.mktemp("encoders")
    source = sentence_folder(folder / "source")
    add_folder(folder, source, "plain")
    add_folder(folder, source, "prefixed", Overrides(prefix="red: ", pooling="cls"))
    table = np.random.default_rng(0).normal(size=(len(PIECES), DIM)).astype(np.float32)
    with embedding_server() as server:
        found: list[Encoder[str]] = [
            UniversalSentenceEncoder(),
            CachedEncoder(UniversalSentenceEncoder(), size=3),
            LexicalEncoder(),
            StaticTextEncoder(static_folder(folder, table)),
            OnnxTextEncoder(folder / "plain"),
            OnnxTextEncoder(folder / "prefixed"),
            EndpointEncoder(server.config(batch=3)),
        ]
        yield dict(zip(NAMES, found, strict=True))


@pytest.fixture(params=NAMES)
def encoder(request: pytest.FixtureRequest, encoders: dict[str, Encoder[str]]) -> Encoder[str]:
    return encoders[request.param]


def test_rows_are_float32_of_length_one(encoder: Encoder[str]) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("blank", ["", "   ", "\n\t", "\u3000", "\x00", "\u200b", "\ud83d"])
def test_nothing_to_read_is_a_zero_row(encoder: Encoder[str], blank: str) -> None:
    vectors = encoder.encode([blank, "mug"])
    assert not vectors[0].any()
    assert vectors[1].any()


def test_no_text_is_no_row(encoder: Encoder[str]) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_a_vector_does_not_depend_on_what_stands_beside_it(encoder: Encoder[str]) -> None:
    together = encoder.encode(TEXTS)
    backwards = encoder.encode(TEXTS[::-1])[::-1]
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together, alone)


def test_the_same_text_twice_is_the_same_vector_twice(encoder: Encoder[str]) -> None:
    vectors = encoder.encode(["mug", "clock", "mug"])
    np.testing.assert_array_equal(vectors[0], vectors[2])
    assert (vectors[0] != vectors[1]).any()


def test_a_result_belongs_to_the_caller(encoder: Encoder[str]) -> None:
    first = encoder.encode(["mug"])
    expected = first.copy()
    first[:] = 7.0
    np.testing.assert_array_equal(encoder.encode(["mug"]), expected)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_odd_text_has_a_vector_or_none_and_does_no_harm(encoder: Encoder[str], odd: str) -> None:
    """A zero row only where the model finds nothing to read; in the middle of a catalogue, and the same every time."""
    vectors = encoder.encode(["mug", odd, "clock"])
    length = float(np.linalg.norm(vectors[1]))
    assert length == 0.0 or length == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_array_equal(vectors[1], encoder.encode([odd])[0])
    np.testing.assert_array_equal(vectors[[0, 2]], encoder.encode(["mug", "clock"]))


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_the_default_encoder_has_a_vector_of_all_that_can_be_seen(odd: str) -> None:
    length = np.linalg.norm(UniversalSentenceEncoder().encode([odd])[0])
    assert length == pytest.approx(float(any(char.isprintable() for char in odd)), abs=1e-5)


def test_a_store_keeps_them_all(encoder: Encoder[str], tmp_path: Path) -> None:
    texts = [*TEXTS, "", *ODD.values()]
    expected = np.concatenate([encoder.encode([text]) for text in texts])
    store = VectorStore(tmp_path, encoder)
    np.testing.assert_array_equal(store.vectors(texts), expected)
    np.testing.assert_array_equal(VectorStore(tmp_path, encoder).vectors(texts), expected)


def test_the_name_is_a_text_and_stays(encoder: Encoder[str]) -> None:
    assert encoder.name
    assert encoder.name == encoder.name.strip()
    before = encoder.name
    encoder.encode(["mug"])
    assert encoder.name == before
