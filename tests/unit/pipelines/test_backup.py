"""Backup and restore of a home that nobody serves: what is kept, and what is refused."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from endcap import wiring
from endcap.backends.log.copying import copy_log, newest
from endcap.catalog.items import parse_change
from endcap.config import Config, Home
from endcap.errors import DataError, EndcapError, HomeError
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.interfaces.cli.main import main
from endcap.pipelines.backup import CONTENTS, Archive, backup
from endcap.pipelines.restore import restore
from endcap.types import MS_PER_DAY, Activation, Record

NOW = 100 * MS_PER_DAY


def still(done: int, total: int) -> None:
    """Nobody looks."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Five items, forty purchases, a model, a snapshot, a configuration, and what must not be kept."""
    home = tmp_path / "home"
    log = wiring.open_log(home)
    log.append([to_record(parse_change("put", {"item_id": f"i{n}", "title": f"chair {n}"}), 0) for n in range(5)])
    log.append(
        [
            to_record(Event("purchase", NOW - day * MS_PER_DAY, f"e{day}-{user}", f"u{user}", item_id=f"i{user}"))
            for day in range(30, 0, -3)
            for user in range(4)
        ]
    )
    log.close()
    wiring.train(home, Config(), 0, NOW, still)
    (home / "config.toml").write_text("[serve]\nport = 9000\n")
    (home / "cache").mkdir()
    (home / "cache" / "page").write_text("may go")
    (home / "serve.lock").write_text("1")
    (home / "encoders" / "mine").mkdir(parents=True)
    (home / "encoders" / "mine" / "encoder.json").write_text("{}")
    (home / "models" / ".half.part").mkdir()
    (home / "models" / ".half.part" / "als.safetensors").write_text("half")
    return home


@pytest.fixture
def archived(home: Path, tmp_path: Path) -> Path:
    path = tmp_path / "shop.tar"
    backup(home, path, NOW, still)
    return path


def records(home: Path) -> list[tuple[int, Record]]:
    log = wiring.open_log(home)
    try:
        return list(log.read())
    finally:
        log.close()


def rewrite(archive: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]]) -> None:
    """Write the archive again, each member as ``change`` gives it."""
    with tarfile.open(archive) as tar:
        members = [(one.name, read.read()) for one in tar.getmembers() if (read := tar.extractfile(one)) is not None]
    with tarfile.open(archive, "w") as tar:
        for name, data in [new for member in members for new in change(*member)]:
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))


def test_a_restored_home_is_the_one_that_was_backed_up(home: Path, archived: Path, tmp_path: Path) -> None:
    restored = tmp_path / "restored"
    contents = restore(archived, restored, still)
    assert records(restored) == records(home)
    kept = {path.relative_to(restored).as_posix() for path in restored.rglob("*") if path.is_file()} - {
        "log/endcap.db-wal",
        "log/endcap.db-shm",
    }
    version = contents.active
    assert kept == {
        "config.toml",
        "log/endcap.db",
        "encoders/mine/encoder.json",
        f"models/{version}/manifest.json",
        f"models/{version}/als.safetensors",
        f"models/{version}/buy_again.safetensors",
        f"models/{version}/themes.safetensors",
        f"models/{version}/itemknn.safetensors",
        *(path.relative_to(home).as_posix() for path in (home / "vectors").rglob("*.v1")),
        *(path.relative_to(home).as_posix() for path in (home / "state").glob("*.npz")),
    }
    assert contents.problem is None
    assert contents.offset == records(home)[-1][0]
    for name in kept - {"log/endcap.db"}:
        assert (restored / name).read_bytes() == (home / name).read_bytes()


def test_the_restored_log_goes_on_in_write_ahead_mode_and_gives_no_offset_again(
    home: Path, archived: Path, tmp_path: Path
) -> None:
    last = records(home)[-1][0]
    restore(archived, tmp_path / "restored", still)
    log = wiring.open_log(tmp_path / "restored")
    assert log.append([to_record(Activation("x"), NOW)]) == [last + 1]
    log.close()
    assert Home(tmp_path / "restored").log.read_bytes()[18:20] == b"\x02\x02"  # WAL, by SQLite's file format


def test_nothing_but_the_archive_is_left_beside_it(archived: Path) -> None:
    assert sorted(path.name for path in archived.parent.iterdir()) == ["home", "shop.tar"]


def test_a_snapshot_that_the_log_has_not_reached_is_left_out(home: Path, tmp_path: Path) -> None:
    (kept,) = (home / "state").glob("*.npz")
    (home / "state" / f"{10**9:020d}.npz").write_bytes(b"of later")
    contents = backup(home, tmp_path / "shop.tar", NOW, still)
    assert [name for name in contents.files if name.startswith("state/")] == [f"state/{kept.name}"]


def test_progress_is_told_in_bytes_and_ends_at_all(home: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    backup(home, tmp_path / "shop.tar", NOW, lambda done, total: seen.append((done, total)))
    shares = [done / total for done, total in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    seen.clear()
    restore(tmp_path / "shop.tar", tmp_path / "restored", lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0


def test_a_damaged_model_does_not_keep_the_log_from_being_kept(home: Path, tmp_path: Path) -> None:
    (model,) = (home / "models").glob("[!.]*/als.safetensors")
    model.write_bytes(b"damaged")
    contents = backup(home, tmp_path / "shop.tar", NOW, still)
    assert contents.problem is not None
    assert "als.safetensors is missing or damaged: run endcap train" in contents.problem
    restore(tmp_path / "shop.tar", tmp_path / "restored", still)
    assert records(tmp_path / "restored") == records(home)


def test_a_home_before_its_first_training_is_kept(tmp_path: Path) -> None:
    log = wiring.open_log(tmp_path / "home")
    log.append([to_record(parse_change("put", {"item_id": "i", "title": "chair"}), 0)])
    log.close()
    contents = backup(tmp_path / "home", tmp_path / "shop.tar", NOW, still)
    assert (contents.active, contents.problem, contents.offset, [*contents.files]) == (None, None, 1, ["log/endcap.db"])


def test_a_home_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match=r"there is no log .*endcap\.db: name the home folder of a shop"):
        backup(tmp_path / "nowhere", tmp_path / "shop.tar", NOW, still)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_inside_the_home_is_refused(home: Path) -> None:
    with pytest.raises(HomeError, match=r"shop\.tar lies in the home that it is to keep: write it to another place"):
        backup(home, home / "reports" / "shop.tar", NOW, still)


def test_a_damaged_log_is_said_and_no_archive_written(home: Path, tmp_path: Path) -> None:
    path = Home(home).log
    with sqlite3.connect(path) as log:
        (root,) = log.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries'").fetchone()
    log.close()
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(HomeError, match=r"the log .*endcap\.db (is damaged|cannot be used)"):
        backup(home, tmp_path / "shop.tar", NOW, still)
    assert not (tmp_path / "shop.tar").exists()


def test_a_place_that_cannot_be_written_is_said(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HomeError, match=r"file.* cannot be archived .*: check its rights and the space"):
        backup(home, tmp_path / "file" / "shop.tar", NOW, still)


def test_a_home_that_is_not_empty_is_refused(archived: Path, home: Path) -> None:
    with pytest.raises(HomeError, match=r"home is not empty: restore into a folder that is empty"):
        restore(archived, home, still)


def test_an_empty_folder_is_taken(archived: Path, tmp_path: Path) -> None:
    (tmp_path / "restored").mkdir()
    restore(archived, tmp_path / "restored", still)
    assert Home(tmp_path / "restored").log.is_file()


def damaged(name: str, data: bytes) -> list[tuple[str, bytes]]:
    if name.endswith("als.safetensors"):
        return [(name, data[:-1] + bytes([data[-1] ^ 1]))]
    return [(name, data)]


def lost(name: str, data: bytes) -> list[tuple[str, bytes]]:
    return [] if name == "config.toml" else [(name, data)]


def added(name: str, data: bytes) -> list[tuple[str, bytes]]:
    return [("stranger", b"x"), (name, data)] if name == CONTENTS else [(name, data)]


def escaping(name: str, data: bytes) -> list[tuple[str, bytes]]:
    if name == CONTENTS:
        contents = json.loads(data)
        contents["files"]["../escaped"] = contents["files"].pop("config.toml")
        return [(name, json.dumps(contents).encode())]
    return [("../escaped" if name == "config.toml" else name, data)]


def newer(name: str, data: bytes) -> list[tuple[str, bytes]]:
    if name != CONTENTS:
        return [(name, data)]
    return [(name, msgspec.json.encode(msgspec.structs.replace(msgspec.json.decode(data, type=Archive), format=2)))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damaged, r"als\.safetensors is damaged \(its SHA-256 differs\): take another backup"),
        (lost, r"is damaged \('config\.toml' does not belong\)"),
        (added, r"is damaged \('stranger' does not belong\)"),
        (escaping, r"is damaged \('\.\./escaped' does not belong\)"),
        (newer, r"has format 2, this Endcap reads 1: use the one that wrote it"),
        (lambda name, data: [] if name == CONTENTS else [(name, data)], r"is cut off: backup\.json is not at its end"),
        (lambda name, data: [(name, b"{" if name == CONTENTS else data)], r"is damaged .*: take another backup"),
    ],
)
def test_an_archive_that_is_not_what_was_written_makes_no_home(
    archived: Path, tmp_path: Path, change: Callable[[str, bytes], list[tuple[str, bytes]]], message: str
) -> None:
    rewrite(archived, change)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=message):
        restore(archived, tmp_path / "restored", still)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.8])
def test_an_archive_that_was_cut_off_makes_no_home(archived: Path, tmp_path: Path, share: float) -> None:
    whole = archived.read_bytes().rstrip(b"\0")  # a tar file ends with empty blocks
    archived.write_bytes(whole[: round(share * len(whole))])
    with pytest.raises(EndcapError, match=r"is (no archive|cut off|damaged)"):
        restore(archived, tmp_path / "restored", still)
    assert not (tmp_path / "restored").exists()


def test_a_copy_of_the_log_is_of_one_moment(tmp_path: Path) -> None:
    """What is appended while the pages are copied is not in the copy, and does not make it begin again."""
    log = wiring.open_log(tmp_path / "home")
    event = to_record(Event("view", NOW, None, "u", item_id="i", text="x" * 900))
    log.append([event] * 20_000)  # 20 MB: several steps
    steps: list[tuple[int, int]] = []

    def append(done: int, total: int) -> None:
        steps.append((done, total))
        log.append([event])

    copy_log(Home(tmp_path / "home").log, tmp_path / "copy.db", append)
    found = newest(tmp_path / "copy.db")
    log.close()
    assert found == (20_000, event)
    assert len(steps) > 3
    assert len({total for _, total in steps}) == 1


def test_the_commands_say_what_they_did(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar, restored = str(tmp_path / "shop.tar"), str(tmp_path / "restored")
    assert main(["backup", "--home", str(home), "--out", tar]) == 0
    assert "the log up to entry 46, 10 files" in capsys.readouterr().out
    assert main(["restore", tar, "--home", restored, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["offset"] == 46
    assert main(["restore", tar, "--home", restored]) == 2
    assert "is not empty" in capsys.readouterr().err
