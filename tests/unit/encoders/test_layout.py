"""How a folder in Hugging Face layout is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.encoders.folders import write_json

from endcap.encoders.layout import MOST_TOKENS, read_layout
from endcap.errors import ModelError

KINDS = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}


def folder(out: Path, kinds: dict[str, str] | None = None, **files: Any) -> Path:
    """modules.json, and files by their names, ``__`` for a slash."""
    parts = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in (kinds or KINDS).items()]
    defaults = {"config": {}, "modules": parts, "1_Pooling__config": {"pooling_mode_mean_tokens": True}}
    for name, value in (defaults | files).items():
        write_json(out / f"{name.replace('__', '/')}.json", value)
    return out


def test_what_sentence_transformers_writes_is_read(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "sentence_bert_config": {"max_seq_length": 99, "do_lower_case": True},
        "config_sentence_transformers": {"prompts": {"query": "query: ", "document": "passage: "}},
        "1_Pooling__config": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
    }
    source = folder(tmp_path, **files)
    found = read_layout(source)
    assert (found.max_tokens, found.lower, found.pooling) == (99, True, "cls")
    assert (found.prefix, found.query_prefix) == ("passage: ", "query: ")
    assert (found.body, found.dense, found.onnx, found.static) == (source / "", (), None, False)


@pytest.mark.parametrize(
    ("said", "prefixes"),
    [
        ({}, ("", None)),
        ({"prompts": {}}, ("", None)),
        ({"prompts": {"query": "q "}}, ("", "q ")),
        ({"prompts": {"query": "q ", "a": "p "}, "default_prompt_name": "a"}, ("p ", "q ")),
        ({"prompts": {"query": "q "}, "default_prompt_name": "query"}, ("q ", None)),
    ],
)
def test_prompts(tmp_path: Path, said: dict[str, Any], prefixes: tuple[str, str | None]) -> None:
    found = read_layout(folder(tmp_path, config_sentence_transformers=said))
    assert (found.prefix, found.query_prefix) == prefixes


def test_an_older_folder_keeps_its_transformer_in_one_of_its_own(tmp_path: Path) -> None:
    kinds = {"0_Transformer": "Transformer", "1_Pooling": "Pooling"}
    source = folder(
        tmp_path,
        kinds,
        **{"0_Transformer__config": {}, "0_Transformer__sentence_roberta_config": {"max_seq_length": 7}},
    )
    found = read_layout(source)
    assert (found.body, found.max_tokens) == (source / "0_Transformer", 7)


@pytest.mark.parametrize(
    ("config", "settings", "tokens"),
    [
        ({"max_position_embeddings": 128}, {}, 128),
        ({"max_position_embeddings": 514}, {"model_max_length": 512}, 512),
        ({"max_position_embeddings": 40_960}, {"model_max_length": 10**30}, MOST_TOKENS),
        ({}, {}, MOST_TOKENS),
    ],
)
def test_a_plain_folder_is_read_with_its_limits(
    tmp_path: Path, config: dict[str, Any], settings: dict[str, Any], tokens: int
) -> None:
    write_json(tmp_path / "config.json", config)
    write_json(tmp_path / "tokenizer_config.json", settings)
    found = read_layout(tmp_path)
    assert (found.max_tokens, found.pooling, found.prefix, found.lower) == (tokens, "mean", "", False)


@pytest.mark.parametrize(
    ("pooling", "mode"),
    [
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode_lasttoken": True}, "lasttoken"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean"),  # the same direction
        ({"pooling_mode": "cls"}, "cls"),
    ],
)
def test_ways_of_pooling(tmp_path: Path, pooling: dict[str, Any], mode: str) -> None:
    assert read_layout(folder(tmp_path, **{"1_Pooling__config": pooling})).pooling == mode


@pytest.mark.parametrize(
    "pooling",
    [
        {},
        {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
        {"pooling_mode_weightedmean_tokens": True},
        {"pooling_mode": "attention"},
        {"pooling_mode_mean_tokens": True, "include_prompt": False},
    ],
)
def test_other_ways_are_refused(tmp_path: Path, pooling: dict[str, Any]) -> None:
    with pytest.raises(
        ModelError, match=r"1_Pooling/config\.json pools in an unknown way \(.*\): it must be one of mean"
    ):
        read_layout(folder(tmp_path, **{"1_Pooling__config": pooling}))


def test_a_ready_model_is_found_unless_layers_follow_it(tmp_path: Path) -> None:
    for name in ("plain", "dense"):
        (tmp_path / name / "onnx").mkdir(parents=True)
        (tmp_path / name / "onnx" / "model.onnx").write_text("")
    plain = read_layout(folder(tmp_path / "plain"))
    assert plain.onnx == tmp_path / "plain" / "onnx" / "model.onnx"
    dense = read_layout(folder(tmp_path / "dense", KINDS | {"2_Dense": "Dense"}))
    assert (dense.onnx, dense.dense) == (None, (tmp_path / "dense" / "2_Dense",))


@pytest.mark.parametrize(
    ("files", "match"),
    [
        (
            {"modules": [{"path": "", "type": "a.b.CLIPModel"}]},
            r"modules\.json has a module 'CLIPModel' that is not known",
        ),
        (
            {"modules": [{"path": "", "type": "Transformer"}, {"path": "", "type": "x.LSTM"}]},
            "a module 'LSTM' that is not",
        ),
        ({"modules": []}, "a module 'nothing' that is not known"),
        ({"modules": {"a": 1}}, r"modules\.json (cannot be read|is not a list)"),
        ({"modules": [{"type": 1, "path": ""}]}, r"modules\.json is not a list of modules"),
        ({"config": {"is_encoder_decoder": True}}, r"config\.json: a model with a decoder is no encoder of text"),
        ({"config": []}, r"config\.json is no JSON object"),
        ({"1_Pooling__config": "mean"}, r"1_Pooling/config\.json is no JSON object"),
    ],
)
def test_what_cannot_be_served_is_named(tmp_path: Path, files: dict[str, Any], match: str) -> None:
    with pytest.raises(ModelError, match=match):
        read_layout(folder(tmp_path, **files))


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has neither modules\.json nor config\.json: name a folder in Hugging Face"):
        read_layout(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        read_layout(tmp_path)
