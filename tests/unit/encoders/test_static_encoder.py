"""A table of vectors: the weighted mean of a text's pieces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.encoders.folders import NUMBERS, PIECES, static_folder, tokenizer, write_json

from endcap.encoders.adding import add_folder
from endcap.encoders.folder import SPEC, TABLE, Spec, write_folder
from endcap.encoders.static import StaticTextEncoder
from endcap.errors import ModelError

TABLE_OF_FLOATS = np.random.default_rng(0).normal(size=(len(PIECES), 5)).astype(np.float32)
WEIGHTS = np.linspace(0.1, 2.0, len(PIECES), dtype=np.float32)


def expected(pieces: list[str], table: np.ndarray, weights: np.ndarray) -> np.ndarray:
    whole = sum(float(weights[NUMBERS[piece]]) * table[NUMBERS[piece]].astype(np.float64) for piece in pieces)
    return np.asarray(whole / np.linalg.norm(whole))


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_the_mean_of_the_pieces(tmp_path: Path, kind: Any) -> None:
    table = TABLE_OF_FLOATS.astype(kind)
    vectors = StaticTextEncoder(static_folder(tmp_path, table)).encode(["red mug", "Mug!", "ab"])
    ones = np.ones(len(PIECES), np.float32)
    for row, pieces in enumerate((["red", "mug"], ["mug", "[UNK]"], ["a", "##b"])):
        np.testing.assert_allclose(vectors[row], expected(pieces, table, ones), atol=1e-6)


def test_whole_numbers_with_a_step_for_each_row(tmp_path: Path) -> None:
    table = np.random.default_rng(1).integers(-127, 128, (len(PIECES), 5), np.int8)
    (vector,) = StaticTextEncoder(static_folder(tmp_path, table, WEIGHTS)).encode(["red clock"])
    np.testing.assert_allclose(vector, expected(["red", "clock"], table, WEIGHTS), atol=1e-6)


def test_pieces_that_do_not_count_give_no_vector(tmp_path: Path) -> None:
    weights = np.ones(len(PIECES), np.float32)
    weights[NUMBERS["[UNK]"]] = 0.0
    vectors = StaticTextEncoder(static_folder(tmp_path, TABLE_OF_FLOATS, weights)).encode(["🎄", "🎄 mug", "mug"])
    assert not vectors[0].any()
    np.testing.assert_array_equal(vectors[1], vectors[2])


def test_prefix_and_case_as_the_spec_says(tmp_path: Path) -> None:
    spec = Spec("table", "static", "text", 5, prefix="red ", query_prefix="clock ", max_tokens=2, lower=True)
    folder = static_folder(tmp_path, TABLE_OF_FLOATS, spec=spec)
    item, query = StaticTextEncoder(folder), StaticTextEncoder(folder, query=True)
    plain = StaticTextEncoder(static_folder(tmp_path / "plain", TABLE_OF_FLOATS))
    np.testing.assert_array_equal(item.encode(["mug mug mug"]), plain.encode(["red mug"]))
    np.testing.assert_array_equal(query.encode(["mug"]), plain.encode(["clock mug"]))
    assert item.name != query.name


def test_a_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"table\.safetensors holds \(\d+, 5\) numbers and .* encoder\.json beside it says 6 dim"
    ):
        StaticTextEncoder(static_folder(tmp_path / "a", TABLE_OF_FLOATS, dim=6)).load()
    with pytest.raises(ModelError, match=r"table\.safetensors holds .* and \(2,\) weights"):
        StaticTextEncoder(static_folder(tmp_path / "b", TABLE_OF_FLOATS, np.ones(2, np.float32))).load()
    with pytest.raises(
        ModelError, match=rf"tokenizer\.json has pieces up to number {len(PIECES) - 1}, but .* has 7 rows"
    ):
        StaticTextEncoder(static_folder(tmp_path / "c", TABLE_OF_FLOATS[:7])).load()


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / TABLE).write_bytes(b"no arrays")
        tokenizer().save(str(folder / "tokenizer.json"))

    write_folder(tmp_path, Spec("table", "static", "text", 5), fill)
    with pytest.raises(ModelError, match=r"table\.safetensors holds no embeddings"):
        StaticTextEncoder(tmp_path / "table").encode(["mug"])


def test_a_changed_table_is_refused(tmp_path: Path) -> None:
    folder = static_folder(tmp_path, TABLE_OF_FLOATS)
    (folder / TABLE).write_bytes((folder / TABLE).read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"table\.safetensors has SHA-256"):
        StaticTextEncoder(folder).load()


@pytest.mark.parametrize("named", [True, False])
def test_a_folder_of_model2vec_or_sentence_transformers_can_be_added(tmp_path: Path, named: bool) -> None:
    from safetensors.numpy import save_file  # noqa: PLC0415

    source = tmp_path / "potion"
    if named:
        write_json(source / "config.json", {"model_type": "model2vec", "normalize": True})
    else:
        kind = "sentence_transformers.models.StaticEmbedding.StaticEmbedding"
        write_json(source / "modules.json", [{"idx": 0, "name": "0", "path": ".", "type": kind}])
    save_file({"embeddings" if named else "embedding.weight": TABLE_OF_FLOATS}, source / "model.safetensors")
    tokenizer().save(str(source / "tokenizer.json"))
    spec = add_folder(tmp_path / "encoders", source)
    assert (spec.name, spec.kind, spec.dim) == ("potion", "static", 5)
    vectors = StaticTextEncoder(tmp_path / "encoders" / "potion").encode(["red mug", "🎄"])
    np.testing.assert_allclose(vectors[0], expected(["red", "mug"], TABLE_OF_FLOATS, np.ones(len(PIECES))), atol=1e-6)
    assert not vectors[1].any()  # what is unknown does not count
    assert json.loads((tmp_path / "encoders" / "potion" / SPEC).read_text())["made"]["from"] == "potion"
