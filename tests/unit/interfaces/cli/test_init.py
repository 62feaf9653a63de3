"""The home that init makes: loadable, complete, and never overwritten."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from endcap.config import Config, load_config
from endcap.interfaces.cli.init import COMMENTS, FOLDERS, default_toml
from endcap.interfaces.cli.main import main


def names() -> set[str]:
    config = Config()
    tables = {table.name for table in fields(config)}
    return tables | {f"{table}.{key.name}" for table in tables for key in fields(getattr(config, table))}


def test_every_setting_has_its_comment_and_no_other() -> None:
    assert COMMENTS.keys() == names()


def test_the_file_with_its_defaults_uncommented_is_the_default_configuration() -> None:
    lines = default_toml().splitlines()
    settings = [line.removeprefix("# ") for line in lines if line.startswith("[") or " = " in line]
    tables = tomllib.loads("\n".join(settings))
    assert tables == json.loads(json.dumps(asdict(Config())))


def test_init_makes_a_home_that_loads(tmp_path: Path) -> None:
    home = tmp_path / "shop"
    assert main(["init", "--home", str(home)]) == 0
    assert load_config(home / "config.toml") == Config()
    assert all((home / name).is_dir() for name in FOLDERS)


def test_init_again_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text("[serve]\nport = 9000\n")
    main(["init", "--home", str(tmp_path)])
    capsys.readouterr()
    assert main(["init", "--home", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"home": str(tmp_path), "made": []}
    assert load_config(tmp_path / "config.toml").serve.port == 9000


def test_a_home_that_cannot_be_made_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", "--home", str(tmp_path / "file" / "shop")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"endcap: {tmp_path}/file/shop: Not a directory: a home folder cannot be made there; choose another with --home"
    )
