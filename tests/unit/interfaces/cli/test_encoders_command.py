"""``endcap encoders`` as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.unit.encoders.folders import DIM, PIECES, sentence_folder, static_folder

from endcap.config import Home
from endcap.encoders.folder import MODEL, ImageInput, Spec, write_folder
from endcap.interfaces.cli.main import main


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With one encoder."""
    static_folder(Home(tmp_path).encoders, np.ones((len(PIECES), 2), np.float32))
    (tmp_path / "config.toml").write_text('[encode]\ntext = "table"\n')
    return tmp_path


def called(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    status = main(["encoders", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_folder_is_added_checked_and_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = sentence_folder(home / "my model")
    status, out, _ = called(capsys, "add", source, "--home", home, "--name", "mine", "--query-prefix", "query: ")
    assert status == 0
    assert out.startswith("Added mine@")
    assert f"{DIM} dimensions. To use it: encode.text in config.toml." in out
    status, out, _ = called(capsys, "check", "mine", "--home", home, "--json")
    found = json.loads(out)
    assert (status, found["dim"], found["encoded"]) == (0, DIM, "3 of 4 samples, one of which is empty")
    status, out, _ = called(capsys, "list", "--home", home, "--json")
    listed = {one["name"]: one for one in json.loads(out)}
    assert set(listed) == {"use-multilingual-v3-lower", "lexical-ngrams-v1", "mine", "table"}
    assert [name for name, one in listed.items() if one["used"]] == ["table"]
    assert (listed["mine"]["version"], listed["mine"]["kind"]) == (found["version"], "onnx")


def test_the_list_for_people(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "config.toml").write_text(
        '[encode]\ntext = "endpoint"\n[endpoint]\naddress = "http://127.0.0.1:1/v1"\nmodel = "m"\n'
    )
    (Home(home).encoders / "torn").mkdir()
    status, out, _ = called(capsys, "list", "--home", home)
    lines = out.splitlines()
    assert status == 0
    assert next(line for line in lines if " table " in line).split()[:5] == ["table", "text", "static", "2", "dim"]
    at = next(at for at, line in enumerate(lines) if line.startswith("* endpoint"))
    assert "cannot be used: endpoint.model is 'm' and endpoint.dim 0" in lines[at + 1]
    at = next(at for at, line in enumerate(lines) if line.startswith("  torn"))
    assert "encoder.json cannot be read" in lines[at + 1]
    assert "`endcap encoders add` knows minilm-l6-v2, multilingual-e5-small" in lines[-1]


def test_the_one_in_use_is_checked_where_none_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = called(capsys, "check", "--home", home)
    assert status == 0
    assert out.startswith("name table, version table@")
    (Home(home).encoders / "table" / "table.safetensors").write_bytes(b"changed")
    status, _, err = called(capsys, "check", "--home", home)
    assert status == 2
    assert "table.safetensors has SHA-256" in err


def test_files_of_an_encoder_of_images_are_checked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fill(folder: Path) -> None:
        (folder / MODEL).write_text("weights")

    write_folder(Home(home).encoders, Spec("eye", "onnx", "image", 2, image=ImageInput(8)), fill)
    assert called(capsys, "check", "eye", "--home", home)[0] == 0
    (Home(home).encoders / "eye" / MODEL).write_text("other")
    status, _, err = called(capsys, "check", "eye", "--home", home)
    assert (status, "model.onnx has SHA-256" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "nobodys"], "'nobodys' is neither a folder nor one of the packages' minilm-l6-v2"),
        (["add", "minilm-l6-v2", "--prefix", "a"], "how a model is to be read can be said of a FOLDER only"),
        (["add", "."], "has neither modules.json nor config.json"),
        (["check", "nobodys"], "there is no encoder 'nobodys' of text"),
        (["check", "endpoint"], "endpoint.address is ''"),
    ],
)
def test_mistakes_are_said_in_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    status, _, err = called(capsys, *words, "--home", home)
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1
