"""What a folder in Hugging Face layout says: how a transformer's or sentence-transformers' model is to be read.

Read here: ``config.json``, and where sentence-transformers wrote it ``modules.json``, ``sentence_bert_config.json``,
``config_sentence_transformers.json`` and the settings of pooling and of dense layers. No weights, no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from endcap.errors import ModelError

MODES = ("mean", "cls", "max", "lasttoken")
MOST_TOKENS = 512
"""Of a model whose folder says no number."""
_STATIC = "StaticEmbedding"


@dataclass(frozen=True, slots=True)
class Layout:
    """How texts become vectors."""

    body: Path
    """The folder of the weights and the tokenizer."""
    static: bool
    """Whether it is a table of vectors, no transformer."""
    max_tokens: int
    pooling: str
    """One of MODES."""
    lower: bool
    prefix: str
    query_prefix: str | None
    dense: tuple[Path, ...]
    """Folders of layers that come after the pooling."""
    onnx: Path | None
    """The model, where the folder brings it ready to be served."""


def read_layout(folder: Path) -> Layout:
    """How the model in ``folder`` is to be read.

    Raises ModelError, which names the file, for what is missing, damaged, or beyond what can be served.
    """
    if not (folder / "modules.json").is_file() and not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has neither modules.json nor config.json: name a folder in Hugging Face layout")
    parts = _modules(folder)
    first = parts[0][0] if parts else "Transformer"
    body = parts[0][1] if parts else folder
    known = _json(body / "config.json", required=first != _STATIC)
    if known.get("is_encoder_decoder"):
        raise ModelError(f"{body / 'config.json'}: a model with a decoder is no encoder of text; name another")
    said = _sentence_settings(body)
    prefix, query_prefix = _prefixes(_json(folder / "config_sentence_transformers.json"))
    ready = folder / "onnx" / "model.onnx"
    return Layout(
        body,
        static=first == _STATIC or known.get("model_type") == "model2vec",
        max_tokens=_max_tokens(body, known, said),
        pooling=_pooling([path for kind, path in parts if kind == "Pooling"]),
        lower=bool(said.get("do_lower_case")),
        prefix=prefix,
        query_prefix=query_prefix,
        dense=tuple(path for kind, path in parts if kind == "Dense"),
        onnx=ready if ready.is_file() and not any(kind == "Dense" for kind, _ in parts) else None,
    )


def _modules(folder: Path) -> list[tuple[str, Path]]:
    path = folder / "modules.json"
    if not path.is_file():
        return []
    found = [(str(part["type"]).rpartition(".")[2], folder / part["path"]) for part in _list(path)]
    kinds = [kind for kind, _ in found]
    allowed = {"Pooling", "Dense", "Normalize"} if kinds[:1] == ["Transformer"] else {"Normalize"}
    odd = [kind for kind in kinds[1:] if kind not in allowed]
    if kinds[:1] not in (["Transformer"], [_STATIC]) or odd:
        what = odd[0] if odd else (kinds or ["nothing"])[0]
        raise ModelError(f"{path} has a module {what!r:.80} that is not known here: serve the model by an endpoint")
    return found


def _list(path: Path) -> list[Mapping[str, Any]]:
    try:
        parts = json.loads(path.read_bytes())
        if all(isinstance(part["type"], str) and isinstance(part["path"], str) for part in parts):
            return list(parts)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path} cannot be read ({error!s:.200}): copy the folder again") from error
    raise ModelError(f"{path} is not a list of modules: copy the folder again")


def _json(path: Path, *, required: bool = False) -> Mapping[str, Any]:
    if not required and not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error!s:.200}): copy the folder again") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} is no JSON object: copy the folder again")
    return found


def _sentence_settings(body: Path) -> Mapping[str, Any]:
    """``sentence_bert_config.json``, or what older folders call it: ``sentence_roberta_config.json`` and so on."""
    found = sorted(body.glob("sentence_*_config.json"))
    return _json(found[0]) if found else {}


def _max_tokens(body: Path, known: Mapping[str, Any], said: Mapping[str, Any]) -> int:
    if isinstance(said.get("max_seq_length"), int):
        return int(said["max_seq_length"])
    limits = [known.get("max_position_embeddings"), _json(body / "tokenizer_config.json").get("model_max_length")]
    return min([MOST_TOKENS, *(int(one) for one in limits if isinstance(one, (int, float)) and one > 0)])


def _pooling(folders: list[Path]) -> str:
    if not folders:
        return "mean"
    path = folders[0] / "config.json"
    said = _json(path, required=True)
    modes = {
        "mean": said.get("pooling_mode_mean_tokens") or said.get("pooling_mode_mean_sqrt_len_tokens"),  # one direction
        "cls": said.get("pooling_mode_cls_token"),
        "max": said.get("pooling_mode_max_tokens"),
        "lasttoken": said.get("pooling_mode_lasttoken"),
        "weightedmean": said.get("pooling_mode_weightedmean_tokens"),
    }
    chosen = [said["pooling_mode"]] if "pooling_mode" in said else [mode for mode, on in modes.items() if on]
    if len(chosen) != 1 or chosen[0] not in MODES or said.get("include_prompt") is False:
        raise ModelError(
            f"{path} pools in an unknown way ({', '.join(map(str, chosen)) or 'none'}): it must be one of "
            f"{', '.join(MODES)}, with the prompt; else serve the model by an endpoint"
        )
    return str(chosen[0])


def _prefixes(said: Mapping[str, Any]) -> tuple[str, str | None]:
    prompts = said.get("prompts") or {}
    default = said.get("default_prompt_name")
    names = [default] if default else ["document", "passage"]
    prefix = next((str(prompts[name]) for name in names if name in prompts), "")
    query = prompts.get("query", prefix)
    return prefix, None if query == prefix else str(query)
