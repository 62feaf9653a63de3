"""An encoder on disk: one immutable folder of weights, word pieces and JSON, whole or not there at all.

``encoders/<name>/`` holds ``encoder.json`` (a ``Spec``) and what the kind needs: ``model.onnx`` (kind onnx),
``table.safetensors`` (kind static) or ``model.bin`` (kind whisper), with ``tokenizer.json`` where it reads text.
``torch/``, where it is there, is the same model as an ordinary Hugging Face folder: what it can be trained further
from. Serving never reads that part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import msgspec

from endcap.backends.disk.whole import whole_folder
from endcap.errors import ModelError, NotFoundError

SPEC = "encoder.json"
MODEL = "model.onnx"
TABLE = "table.safetensors"
WHISPER = "model.bin"
TOKENIZER = "tokenizer.json"
TORCH = "torch"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class ImageInput:
    """How an image becomes the model's input: RGB in 0 to 1, minus ``mean``, divided by ``std``, channels first."""

    size: int
    """Pixels a side."""
    fit: Literal["whole", "centre"] = "whole"
    """The whole picture, scaled to a square, or its central square."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Spec:
    """What ``encoder.json`` says."""

    name: str
    """The folder's: small letters, digits, ``.``, ``_`` and ``-``."""
    kind: Literal["onnx", "static", "whisper"]
    modality: Literal["text", "image", "speech"]
    dim: int
    """Of its vectors; 0 for speech, which becomes text."""
    max_tokens: int = 0
    """A text is cut to so many, its marks of beginning and end among them; 0: no limit."""
    pooling: Literal["mean", "cls"] = "mean"
    """Of the vectors of the tokens, where the model does not pool by itself: their mean, or the first."""
    prefix: str = ""
    """Put before every text."""
    query_prefix: str | None = None
    """Put before what is searched for, instead of ``prefix``; None: nothing else is."""
    lower: bool = False
    """Whether a text is lower-cased first."""
    image: ImageInput | None = None
    """For images only."""
    joint: str = ""
    """The encoder of texts, or of images, whose vectors lie in the same space: the two were trained together."""
    made: Mapping[str, object] = field(default_factory=dict)
    """How: ``from``, ``by``, ``seed``, metrics; nothing depends on it."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """By file, its path inside the folder."""

    @property
    def version(self) -> str:
        """``name@`` and a digest of all that its vectors depend on: what an encoder is called where vectors are kept.

        A folder that is deleted and made anew with other weights under the same name has another version.
        """
        said = {key.name: getattr(self, key.name) for key in fields(self) if key.name not in {"name", "made", "sha256"}}
        defaults = {key.name: key.default for key in fields(self)}  # left out: a new setting leaves old versions alone
        read = {name: value for name, value in said.items() if value != defaults[name]}
        read["sha256"] = {name: digest for name, digest in sorted(self.sha256.items()) if not _is_torch(name)}
        return f"{self.name}@{hashlib.sha256(msgspec.json.encode(read)).hexdigest()[:12]}"


def write_folder(encoders: Path, spec: Spec, fill: Callable[[Path], Spec | None]) -> Spec:
    """Make ``encoders``/<spec.name> of the files that ``fill`` puts into the folder it is given. The spec with digests.

    What ``fill`` returns is the spec instead, where it knows only then. There is never half a folder under that name.
    Raises ModelError for a name that cannot be one or is taken, for a file that the kind needs and ``fill`` did not
    make, where the disk refuses; and what ``fill`` raises.
    """
    if not _NAME.fullmatch(spec.name):
        raise ModelError(f"{spec.name!r:.120} cannot name an encoder: use a-z, 0-9, '.', '_' and '-', at most 100")
    final = encoders / spec.name
    if final.exists():
        raise ModelError(f"there is an encoder {spec.name!r} already, and its vectors are its own: give another name")
    try:
        with whole_folder(final) as building:
            spec = fill(building) or spec
            spec = replace(spec, name=final.name, sha256={name: _sha256(building / name) for name in _files(building)})
            _require(building, spec)
            (building / SPEC).write_bytes(msgspec.json.format(msgspec.json.encode(spec)))
    except OSError as error:
        raise ModelError(f"{final} cannot be written ({error.strerror}): check the disk, and its rights") from error
    return spec


def read_folder(folder: Path) -> Spec:
    """What ``folder`` says it holds. The files themselves are not read: see ``check_folder``.

    Raises NotFoundError if there is no such folder, ModelError if ``encoder.json`` is missing, damaged, or wrong.
    """
    path = folder / SPEC
    if not folder.is_dir():
        raise NotFoundError(f"there is no encoder {folder.name!r} in {folder.parent}: endcap encoders list shows all")
    try:
        spec = msgspec.json.decode(path.read_bytes(), type=Spec)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): {_AGAIN}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is damaged ({error}): {_AGAIN}") from error
    if spec.name != folder.name:
        raise ModelError(f"{path} is of the encoder {spec.name!r:.120}: give the folder its name back")
    if (spec.dim <= 0) != (spec.modality == "speech") or spec.max_tokens < 0:
        raise ModelError(f"{path} says dim {spec.dim} and max_tokens {spec.max_tokens}: {_AGAIN}")
    _require(folder, spec)
    return spec


def check_folder(folder: Path, spec: Spec, part: Literal["serving", "torch"] = "serving") -> None:
    """Reads every file of one part. Raises ModelError, which names it, for one that is missing or was changed."""
    for name, expected in spec.sha256.items():
        if _is_torch(name) == (part == "torch"):
            check_file(folder / name, expected, _AGAIN)


def check_file(path: Path, expected: str, remedy: str) -> None:
    """Raises ModelError, which says ``remedy``, if ``path`` cannot be read or has not the SHA-256 ``expected``."""
    try:
        found = _sha256(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    if found != expected:
        raise ModelError(
            f"{path} has SHA-256 {found[:16]}... instead of {expected[:16]}...: its vectors would not fit those "
            f"already stored; {remedy}"
        )


def folder_names(encoders: Path) -> list[str]:
    """The encoders that are there, by name; empty where the folder is missing."""
    return sorted(path.name for path in encoders.glob("[!.]*") if path.is_dir()) if encoders.is_dir() else []


_AGAIN = "delete the folder, and make the encoder again"
_NEEDED = {"onnx": MODEL, "static": TABLE, "whisper": WHISPER}


def _require(folder: Path, spec: Spec) -> None:
    for name in (_NEEDED[spec.kind], *([TOKENIZER] if spec.modality == "text" else [])):
        if name not in spec.sha256:
            raise ModelError(f"{folder / name} is missing: a {spec.kind} encoder of {spec.modality} needs it; {_AGAIN}")
    if (spec.image is not None) != (spec.modality == "image"):
        raise ModelError(f"{folder / SPEC} needs image sizes if it encodes images, and only then: {_AGAIN}")


def _is_torch(name: str) -> bool:
    return name.startswith(f"{TORCH}/")


def _files(folder: Path) -> Iterable[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
