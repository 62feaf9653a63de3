"""An encoder's folder: whole or not there, never changed, never another's vectors under its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from endcap.encoders.folder import (
    MODEL,
    SPEC,
    TABLE,
    TOKENIZER,
    ImageInput,
    Spec,
    check_folder,
    folder_names,
    read_folder,
    write_folder,
)
from endcap.errors import ModelError, NotFoundError

TINY = Spec("tiny", "onnx", "text", 4, max_tokens=9, query_prefix="query: ", made={"from": "a test", "seed": 1})


def files(**contents: str) -> Callable[[Path], None]:
    """Writes model and tokenizer, or what is named instead, ``__`` for a dot."""

    def fill(folder: Path) -> None:
        for name, text in (contents or {"model__onnx": "weights", "tokenizer__json": "{}"}).items():
            path = folder / name.replace("__", ".").replace("_of_", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return fill


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written = write_folder(tmp_path, TINY, files())
    assert read_folder(tmp_path / "tiny") == written
    assert written.sha256.keys() == {MODEL, TOKENIZER}
    assert replace(written, sha256={}) == TINY
    check_folder(tmp_path / "tiny", written)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_what_is_known_only_when_it_is_made_counts(tmp_path: Path) -> None:
    def fill(folder: Path) -> Spec:
        files()(folder)
        return replace(TINY, name="another", dim=7)

    assert write_folder(tmp_path, TINY, fill).dim == 7
    assert read_folder(tmp_path / "tiny").dim == 7


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        files()(folder)
        raise ModelError("in the middle")

    with pytest.raises(ModelError, match="in the middle"):
        write_folder(tmp_path, TINY, fill)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".tiny.part").mkdir()
    (tmp_path / ".tiny.part" / "half").write_text("half")
    assert folder_names(tmp_path) == []
    written = write_folder(tmp_path, TINY, files())
    assert "half" not in written.sha256
    assert folder_names(tmp_path) == ["tiny"]


def test_a_name_is_not_given_twice(tmp_path: Path) -> None:
    write_folder(tmp_path, TINY, files())
    with pytest.raises(ModelError, match=r"there is an encoder 'tiny' already.*give another name"):
        write_folder(tmp_path, TINY, files())


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "Big", "a b", "x" * 101, "红"])
def test_a_name_is_no_way_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot name an encoder: use a-z"):
        write_folder(tmp_path, replace(TINY, name=name), files())


@pytest.mark.parametrize(
    ("spec", "made", "missing"),
    [
        (TINY, files(tokenizer__json="{}"), MODEL),
        (TINY, files(model__onnx="weights"), TOKENIZER),
        (replace(TINY, kind="static"), files(model__onnx="weights", tokenizer__json="{}"), TABLE),
    ],
)
def test_what_the_kind_needs_must_be_there(
    tmp_path: Path, spec: Spec, made: Callable[[Path], None], missing: str
) -> None:
    with pytest.raises(ModelError, match=rf"{missing} is missing: a {spec.kind} encoder of text needs it"):
        write_folder(tmp_path, spec, made)


def test_an_encoder_of_images_says_how_large(tmp_path: Path) -> None:
    images = Spec("eye", "onnx", "image", 4)
    with pytest.raises(ModelError, match="needs image sizes if it encodes images, and only then"):
        write_folder(tmp_path, images, files(model__onnx="weights"))
    assert (
        write_folder(tmp_path, replace(images, image=ImageInput(224)), files(model__onnx="weights")).image is not None
    )


@pytest.mark.parametrize("name", [MODEL, TOKENIZER])
def test_a_changed_and_a_missing_file_are_named(tmp_path: Path, name: str) -> None:
    spec = write_folder(tmp_path, TINY, files())
    path = tmp_path / "tiny" / name
    path.write_text("other")
    with pytest.raises(ModelError, match=rf"{name} has SHA-256 .* instead of .*; delete the folder"):
        check_folder(tmp_path / "tiny", spec)
    path.unlink()
    with pytest.raises(ModelError, match=rf"{name} cannot be read \(No such file.*\): delete the folder"):
        check_folder(tmp_path / "tiny", spec)


def test_each_part_is_checked_by_itself(tmp_path: Path) -> None:
    spec = write_folder(tmp_path, TINY, files(model__onnx="w", tokenizer__json="{}", torch_of_config__json="{}"))
    (tmp_path / "tiny" / "torch" / "config.json").write_text("other")
    check_folder(tmp_path / "tiny", spec)
    with pytest.raises(ModelError, match=r"torch/config\.json has SHA-256"):
        check_folder(tmp_path / "tiny", spec, "torch")


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("", "not JSON", r"encoder\.json is damaged"),
        ('"kind": "onnx"', '"kind": "magic"', r"encoder\.json is damaged \(Invalid enum value 'magic'"),
        ('"dim": 4', '"dim": 0', r"encoder\.json says dim 0"),
        (
            '"name": "tiny"',
            '"name": "other"',
            r"encoder\.json is of the encoder 'other': give the folder its name back",
        ),
    ],
)
def test_a_damaged_spec_is_refused(tmp_path: Path, old: str, new: str, match: str) -> None:
    write_folder(tmp_path, TINY, files())
    path = tmp_path / "tiny" / SPEC
    path.write_text(path.read_text().replace(old, new) if old else new)
    with pytest.raises(ModelError, match=match):
        read_folder(tmp_path / "tiny")


def test_no_folder_and_no_spec(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no encoder 'tiny' in .*endcap encoders list"):
        read_folder(tmp_path / "tiny")
    (tmp_path / "tiny").mkdir()
    with pytest.raises(ModelError, match=r"encoder\.json cannot be read"):
        read_folder(tmp_path / "tiny")
    assert folder_names(tmp_path / "none") == []


def test_a_version_is_what_the_vectors_depend_on(tmp_path: Path) -> None:
    same = {"model__onnx": "w", "tokenizer__json": "{}"}

    def version(spec: Spec = TINY, contents: dict[str, str] = same) -> str:
        encoders = tmp_path / str(len(list(tmp_path.iterdir())))
        return write_folder(encoders, spec, files(**contents)).version

    first = version()
    assert first.startswith("tiny@")
    assert version() == first
    assert version(replace(TINY, made={"seed": 2})) == first
    assert version(contents=same | {"torch_of_config__json": "{}"}) == first
    others = {
        version(contents=same | {"model__onnx": "other"}),
        version(contents=same | {"tokenizer__json": "[]"}),
        version(replace(TINY, prefix="passage: ")),
        version(replace(TINY, pooling="cls")),
        version(replace(TINY, dim=5)),
    }
    assert len(others | {first}) == 6
