"""Model versions on disk: whole, checked, or refused with the reason."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.unit.models.pasts import follow, random_past

from endcap.errors import ModelError, NotFoundError
from endcap.models.als import ALS
from endcap.models.itemknn import ItemKNN
from endcap.models.persistence import (
    Manifest,
    items_digest,
    list_versions,
    load_version,
    read_manifest,
    save_version,
    version_name,
)
from endcap.types import Vocabulary

PAST = random_past(6)
VERSION = "20261124-093000-abcd"


def fitted() -> dict[str, ALS | ItemKNN]:
    return {"als": ALS(factors=4, epochs=2).fit(PAST), "itemknn": ItemKNN().fit(PAST)}


def empty() -> dict[str, ALS | ItemKNN]:
    return {"als": ALS(factors=4), "itemknn": ItemKNN()}


def manifest(version: str = VERSION) -> Manifest:
    return Manifest(
        version=version,
        created_ms=1,
        offset=2,
        seed=3,
        encoder="use",
        weights={"als": 0.25, "itemknn": 0.75},
        n_items=len(PAST.items),
        items_digest=items_digest(PAST.items, len(PAST.items)),
        hides_seen=True,
        metrics={"ndcg@20": 0.5},
        settings={"als_l2": 3.0},
    )


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    before = fitted()
    saved = save_version(tmp_path / "models", before, manifest())
    after = empty()
    assert load_version(tmp_path / "models", VERSION, after, PAST.items) == saved
    assert replace(saved, sha256={}) == manifest()
    assert sorted(path.name for path in (tmp_path / "models" / VERSION).iterdir()) == [
        "als.safetensors",
        "itemknn.safetensors",
        "manifest.json",
    ]
    for name, model in before.items():
        first, second = (one.recommend(follow(1, 2), 9) for one in (model, after[name]))
        assert first.items.tolist() == second.items.tolist()
        assert first.scores.tolist() == second.scores.tolist()


def test_newer_items_do_not_make_it_another_catalogue(tmp_path: Path) -> None:
    save_version(tmp_path, fitted(), manifest())
    assert load_version(tmp_path, VERSION, empty(), Vocabulary([*PAST.items, "new"])).n_items == 20


@pytest.mark.parametrize("ids", [list(PAST.items)[:-1], [*list(PAST.items)[:-1], "other"], list(PAST.items)[::-1]])
def test_another_catalogue_is_refused(tmp_path: Path, ids: list[str]) -> None:
    save_version(tmp_path, fitted(), manifest())
    with pytest.raises(ModelError, match="trained on another catalogue than this log holds: run endcap train"):
        load_version(tmp_path, VERSION, empty(), Vocabulary(ids))


@pytest.mark.parametrize("name", ["als.safetensors", "itemknn.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    save_version(tmp_path, fitted(), manifest())
    path = tmp_path / VERSION / name
    data = path.read_bytes()
    path.write_bytes(data[:-10] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelError, match=re.escape(f"{name} is damaged (its SHA-256 differs): delete the folder")):
        load_version(tmp_path, VERSION, empty(), PAST.items)


@pytest.mark.parametrize("data", [b"", b"garbage", b"\xff" * 1_000])
def test_a_file_that_was_written_damaged_is_named(tmp_path: Path, data: bytes) -> None:
    saved = save_version(tmp_path, fitted(), manifest())
    (tmp_path / VERSION / "als.safetensors").write_bytes(data)
    digests = {**saved.sha256, "als.safetensors": hashlib.sha256(data).hexdigest()}
    (tmp_path / VERSION / "manifest.json").write_bytes(msgspec.json.encode(replace(saved, sha256=digests)))
    with pytest.raises(
        ModelError, match=r"als\.safetensors holds no arrays \(Safetensor.*\): delete the folder and run"
    ):
        load_version(tmp_path, VERSION, empty(), PAST.items)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    save_version(tmp_path, fitted(), manifest())
    (tmp_path / VERSION / "als.safetensors").unlink()
    with pytest.raises(ModelError, match=r"als\.safetensors cannot be read \(No such file or directory\)"):
        load_version(tmp_path, VERSION, empty(), PAST.items)
    assert "als.safetensors is missing" in str(list_versions(tmp_path)[0].problem)


def test_a_version_without_a_model_that_is_needed(tmp_path: Path) -> None:
    save_version(tmp_path, {"als": fitted()["als"]}, manifest())
    with pytest.raises(ModelError, match=r"itemknn\.safetensors is not in the manifest: the version has other models"):
        load_version(tmp_path, VERSION, empty(), PAST.items)


@pytest.mark.parametrize("text", ["", "{", '{"version": "x"}'])
def test_a_damaged_manifest(tmp_path: Path, text: str) -> None:
    save_version(tmp_path, fitted(), manifest())
    (tmp_path / VERSION / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=r"manifest\.json is damaged \(.+\): delete the folder and run endcap train"):
        read_manifest(tmp_path / VERSION)
    (tmp_path / VERSION / "manifest.json").unlink()
    with pytest.raises(ModelError, match=r"manifest\.json cannot be read \(No such file or directory\)"):
        load_version(tmp_path, VERSION, empty(), PAST.items)


def test_an_unknown_version(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no model version 'nothing'"):
        load_version(tmp_path, "nothing", {}, PAST.items)


def test_a_name_that_no_folder_can_have(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"manifest\.json cannot be read \(File name too long\)"):
        load_version(tmp_path, "x" * 300, {}, PAST.items)


def test_a_version_is_no_way_out_of_the_folder(tmp_path: Path) -> None:
    save_version(tmp_path, fitted(), manifest())
    (tmp_path / "models").mkdir()
    with pytest.raises(NotFoundError, match=f"there is no model version '{VERSION}'"):
        load_version(tmp_path / "models", f"../{VERSION}", empty(), PAST.items)


def test_a_version_is_written_once(tmp_path: Path) -> None:
    saved = save_version(tmp_path, fitted(), manifest())
    with pytest.raises(ModelError, match=f"{VERSION} cannot be written"):
        save_version(tmp_path, fitted(), replace(manifest(), seed=9))
    assert load_version(tmp_path, VERSION, empty(), PAST.items) == saved
    assert [path.name for path in tmp_path.iterdir()] == [VERSION]


def test_a_save_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device", descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ModelError, match=r"cannot be written \(No space left on device\): check the disk"):
        save_version(tmp_path, fitted(), manifest())
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_save_left_is_no_version_and_in_nobodys_way(tmp_path: Path) -> None:
    half = tmp_path / f".{VERSION}.part"
    half.mkdir()
    (half / "als.safetensors").write_bytes(b"half")
    assert list_versions(tmp_path) == []
    save_version(tmp_path, fitted(), manifest())
    assert [found.version for found in list_versions(tmp_path)] == [VERSION]
    assert not half.exists()


def test_versions_are_listed_newest_first_and_broken_ones_say_why(tmp_path: Path) -> None:
    assert list_versions(tmp_path / "none") == []
    names = [version_name(moment, b"") for moment in (86_400_000, 0, 1_790_000_000_000)]
    for name in names:
        save_version(tmp_path, fitted(), manifest(name))
    (tmp_path / names[0] / "manifest.json").write_text("{")
    listed = list_versions(tmp_path)
    assert [found.version for found in listed] == [names[2], names[0], names[1]]
    assert [found.problem is None for found in listed] == [True, False, True]
    assert "manifest.json is damaged" in str(listed[1].problem)


def test_names_tell_the_second_and_two_of_one_second_apart() -> None:
    moment = 1_795_512_600_000  # 2026-11-24T09:30:00Z
    assert re.fullmatch(r"20261124-093000-[0-9a-f]{4}", version_name(moment, b"a"))
    assert version_name(moment, b"a") != version_name(moment, b"b")
    assert version_name(moment + 999, b"a") == version_name(moment, b"a")
    assert version_name(moment, b"b") < version_name(moment + 1000, b"a")


def test_the_digest_is_of_ids_in_their_order() -> None:
    assert items_digest(Vocabulary("abc"), 2) == items_digest(Vocabulary("abd"), 2)
    assert items_digest(Vocabulary("abc"), 3) != items_digest(Vocabulary("bac"), 3)
    assert items_digest(Vocabulary(["ab", "c"]), 2) != items_digest(Vocabulary(["a", "bc"]), 2)


def test_arrays_come_back_bit_for_bit(tmp_path: Path) -> None:
    before, after = fitted(), empty()
    save_version(tmp_path, before, manifest())
    load_version(tmp_path, VERSION, after, PAST.items)
    for name, model in before.items():
        for key, array in model.to_arrays().items():
            np.testing.assert_array_equal(array, after[name].to_arrays()[key])
