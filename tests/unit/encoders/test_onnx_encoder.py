"""A transformer in ONNX Runtime: torch's vectors, each a function of its text alone; what does not fit is refused."""

from __future__ import annotations

import gc
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from tests.unit.encoders.folders import DIM, MAX_TOKENS, PIECES, tokenizer
from transformers import AutoModel

from endcap.encoders import onnx as encoding
from endcap.encoders.adding import Overrides, add_folder
from endcap.encoders.folder import MODEL, SPEC, TOKENIZER, Spec, read_folder, write_folder
from endcap.encoders.onnx import GROUP, OnnxTextEncoder
from endcap.errors import ModelError, NotFoundError
from endcap.types import FloatArray

TEXTS = ["red mug", "RED MUG", "clock", "a b c d e f g", "杯 red", *(f"mug {number}" for number in range(3 * GROUP))]


def by_torch(source: Path, texts: list[str], pooling: str = "mean") -> np.ndarray:
    """The definition: one text at a time, its tokens' vectors pooled, at length one."""
    model, pieces = AutoModel.from_pretrained(source).eval(), tokenizer()
    pieces.no_padding()
    rows = []
    for text in texts:
        numbers = pieces.encode(text).ids
        if len(numbers) > MAX_TOKENS:
            numbers = [*numbers[: MAX_TOKENS - 1], numbers[-1]]
        with torch.inference_mode():
            states = model(input_ids=torch.tensor([numbers])).last_hidden_state[0].numpy()
        row = states[0] if pooling == "cls" else states.mean(axis=0)
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)


def copied(exported: Path, tmp_path: Path, **changes: object) -> Path:
    """A copy whose ``encoder.json`` says other things."""
    folder = shutil.copytree(exported, tmp_path / exported.name)
    said = json.loads((folder / SPEC).read_text())
    (folder / SPEC).write_text(json.dumps(said | changes))
    return folder


def assembled(tmp_path: Path, spec: Spec, model: Path | onnx.ModelProto, pieces: Path) -> Path:
    """A folder of parts that may not belong together."""

    def fill(folder: Path) -> None:
        data = model.read_bytes() if isinstance(model, Path) else model.SerializeToString()
        (folder / MODEL).write_bytes(data)
        shutil.copyfile(pieces, folder / TOKENIZER)

    write_folder(tmp_path, spec, fill)
    return tmp_path / spec.name


def test_vectors_are_those_of_torch(source: Path, exported: Path) -> None:
    texts = [*TEXTS, "mug " * 100]
    np.testing.assert_allclose(OnnxTextEncoder(exported).encode(texts), by_torch(source, texts), atol=1e-6)


def test_the_first_token_where_the_folder_says_so(source: Path, tmp_path: Path) -> None:
    add_folder(tmp_path, source, "first", Overrides(pooling="cls"))
    vectors = OnnxTextEncoder(tmp_path / "first").encode(TEXTS)
    np.testing.assert_allclose(vectors, by_torch(source, TEXTS, "cls"), atol=1e-6)


def test_a_vector_is_a_function_of_its_text_alone(exported: Path) -> None:
    encoder = OnnxTextEncoder(exported)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    for _ in range(2):  # the first round compares groups with their texts, the second trusts them
        np.testing.assert_array_equal(encoder.encode(TEXTS), alone)
    np.testing.assert_array_equal(encoder.encode(TEXTS[::-1])[::-1], alone)


def test_texts_of_one_length_run_together(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = encoding.Transformer._run

    def noted(self: encoding.Transformer, group: list[list[int]]) -> list[FloatArray]:
        sizes.append(len(group))
        return run(self, group)

    monkeypatch.setattr(encoding.Transformer, "_run", noted)
    encoder = OnnxTextEncoder(exported)
    encoder.load()
    encoder.encode(TEXTS[5:])
    sizes.clear()
    encoder.encode(TEXTS[5 : 5 + GROUP + 2])
    assert sizes == [GROUP, 1, 1]


def test_after_dynamic_quantisation_every_text_runs_alone(exported: Path, tmp_path: Path) -> None:
    """Its scale is that of the largest number of all that runs together."""
    quantize_dynamic(str(exported / MODEL), str(tmp_path / "int8.onnx"), weight_type=QuantType.QInt8)
    spec = replace(read_folder(exported), name="int8")
    encoder = OnnxTextEncoder(assembled(tmp_path, spec, tmp_path / "int8.onnx", exported / TOKENIZER))
    texts = [f"{number} red" for number in "abcdefgh"] + TEXTS
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    np.testing.assert_array_equal(encoder.encode(texts), alone)
    np.testing.assert_array_equal(encoder.encode(texts[::-1])[::-1], alone)
    assert (np.abs(alone - OnnxTextEncoder(exported).encode(texts)) > 1e-4).any()


def test_prefixes_come_before_texts_and_queries(source: Path, exported: Path, tmp_path: Path) -> None:
    add_folder(tmp_path, source, "prefixed", Overrides(prefix="mug: ", query_prefix="clock: "))
    item, query = (OnnxTextEncoder(tmp_path / "prefixed", query=query) for query in (False, True))
    plain = OnnxTextEncoder(exported)
    np.testing.assert_array_equal(item.encode(["red"]), plain.encode(["mug: red"]))
    np.testing.assert_array_equal(query.encode(["red"]), plain.encode(["clock: red"]))
    assert item.name != query.name
    assert not query.encode([" "]).any()
    assert OnnxTextEncoder(exported, query=True).name == plain.name


def test_a_text_of_nothing_but_what_the_model_leaves_out_has_no_vector(exported: Path) -> None:
    assert not OnnxTextEncoder(exported).encode(["\u0301\u0301"]).any()


def test_one_copy_of_the_weights_as_long_as_somebody_has_it(exported: Path) -> None:
    gc.collect()
    before = len(encoding._models)
    one, other = OnnxTextEncoder(exported), OnnxTextEncoder(exported, query=True)
    one.load()
    other.load()
    assert len(encoding._models) == before + 1
    del one
    assert len(encoding._models) == before + 1
    del other
    gc.collect()
    assert len(encoding._models) == before


def test_another_dimension_than_is_said_is_refused(exported: Path, tmp_path: Path) -> None:
    folder = copied(exported, tmp_path, dim=DIM + 1)
    with pytest.raises(
        ModelError, match=rf"model\.onnx gives vectors of {DIM} dimensions, but encoder\.json .* {DIM + 1}"
    ):
        OnnxTextEncoder(folder).encode(["mug"])


def test_more_tokens_than_the_model_reads_are_refused(exported: Path, tmp_path: Path) -> None:
    folder = copied(exported, tmp_path, max_tokens=MAX_TOKENS + 1)
    with pytest.raises(
        ModelError, match=rf"model\.onnx fails at {MAX_TOKENS + 1} tokens of .* max_tokens of encoder\.json"
    ):
        OnnxTextEncoder(folder).load()


def test_a_tokenizer_of_another_model_is_refused(exported: Path, tmp_path: Path) -> None:
    more = tokenizer({piece: number for number, piece in enumerate((*PIECES, "more"))})
    more.save(str(tmp_path / "more.json"))
    folder = assembled(tmp_path, replace(read_folder(exported), name="x"), exported / MODEL, tmp_path / "more.json")
    with pytest.raises(ModelError, match=rf"model\.onnx fails at .* of number {len(PIECES)} .* tokenizer\.json"):
        OnnxTextEncoder(folder).load()


@pytest.mark.parametrize("name", [MODEL, TOKENIZER])
def test_a_changed_file_is_refused(exported: Path, tmp_path: Path, name: str) -> None:
    folder = copied(exported, tmp_path)
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=rf"{name} has SHA-256"):
        OnnxTextEncoder(folder).load()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no encoder 'tiny'"):
        OnnxTextEncoder(tmp_path / "tiny")


def graph(shape: list[int | str], kind: str = "input_ids") -> onnx.ModelProto:
    """A model that gives what it was given, in another shape."""
    given = helper.make_tensor_value_info(kind, TensorProto.INT64, ["n", "t"])
    found = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    nodes = [helper.make_node("Cast", [kind], ["y"], to=TensorProto.FLOAT)]
    made = helper.make_graph(nodes, "g", [given], [found])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("model", "match"),
    [
        (b"not ONNX", r"model\.onnx cannot be loaded \("),
        (graph(["n", "t"], "pixels").SerializeToString(), r"model\.onnx asks for pixels: it is no encoder of text"),
        (graph(["n"]).SerializeToString(), r"model\.onnx (cannot be loaded|gives neither)"),
    ],
)
def test_what_is_no_encoder_of_text_is_refused(exported: Path, tmp_path: Path, model: bytes, match: str) -> None:
    (tmp_path / "other.onnx").write_bytes(model)
    folder = assembled(
        tmp_path, replace(read_folder(exported), name="x"), tmp_path / "other.onnx", exported / TOKENIZER
    )
    with pytest.raises(ModelError, match=match):
        OnnxTextEncoder(folder).load()


@pytest.mark.parametrize("module", ["onnxruntime", "tokenizers"])
def test_a_missing_extra_says_what_to_install(exported: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModelError, match=r"pip install 'endcap\[onnx\]'"):
        OnnxTextEncoder(exported).load()
