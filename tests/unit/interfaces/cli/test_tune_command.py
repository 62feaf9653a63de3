"""``endcap tune`` on a small shop: what it leaves, what `endcap train` makes of it, and after a kill the same."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.config import Config, load_config
from endcap.events.log import to_record
from endcap.events.schema import Event, Line
from endcap.interfaces.cli.main import main
from endcap.serving.engine import Request
from endcap.types import MS_PER_DAY

SHORT = ["--test-days", "15", "--trials", "6", "--models", "itemknn,session_knn"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two months of baskets of those who keep to the even items, and of those who keep to the odd ones."""
    return shop(tmp_path / "shop")


def shop(home: Path) -> Path:
    log = wiring.open_log(home)
    log.append([to_record(parse_change("put", {"item_id": f"i{n}", "title": f"thing {n}"}), 0) for n in range(40)])
    rng = np.random.default_rng(0)
    events = [
        Event("purchase", round(day * MS_PER_DAY) + user + 1, f"e{user}-{day}", f"u{user}", items=lines)
        for day in range(0, 60, 4)
        for user in range(20)
        for lines in [tuple(Line(f"i{2 * n + user % 2}") for n in rng.permutation(20)[:2])]
    ]
    log.append([to_record(event) for event in events])
    log.close()
    return home


def test_what_it_says_and_leaves(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--home", str(home), *SHORT, "--json"]) == 0
    said = capsys.readouterr()
    assert re.search(r"^itemknn, trial 1: validation NDCG@20 0\.\d{4}, best 0\.\d{4}$", said.err, re.MULTILINE)
    outcome = json.loads(said.out)
    assert [len(outcome["trials"][name]) for name in ("itemknn", "session_knn")] == [6, 6]
    assert json.loads((home / "reports" / "tuning.json").read_bytes()) == outcome
    assert not (home / "cache" / "tune").exists()
    assert not (home / "models").exists()
    assert (home / "tuned.toml").is_file() == bool(outcome["chosen"])
    train = load_config(home / "config.toml").train
    assert all(getattr(train, name) == value for name, value in outcome["chosen"].items())


def test_what_serves_goes_on_until_it_is_trained(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--home", str(home), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["version"]
    request = Request("for-you", user_id="u3", k=5)
    before = wiring.recommend(home, Config(), request, 60 * MS_PER_DAY)
    (home / "tuned.toml").write_text('[train]\nals_factors = 8\nitemknn_similarity = "cosine"\nsession_knn_items = 1\n')
    after = wiring.recommend(home, load_config(home / "config.toml"), request, 60 * MS_PER_DAY)
    assert (after.model, after.items) == (first, before.items)
    assert main(["train", "--home", str(home), "--json"]) == 0
    manifest = json.loads(capsys.readouterr().out)
    assert manifest["settings"]["train"]["als_factors"] == 8
    assert manifest["settings"]["train"]["itemknn_similarity"] == "cosine"
    assert wiring.recommend(home, load_config(home / "config.toml"), request, 60 * MS_PER_DAY).model != first


def test_killed_and_gone_on_with_it_finds_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    homes = {name: shop(tmp_path / name) for name in ("cut", "whole")}
    command = [sys.executable, "-m", "endcap.interfaces.cli.main", "tune", "--home", str(homes["cut"]), *SHORT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("itemknn, trial 3"):
                process.send_signal(signal.SIGKILL)
                break
    with_more = wiring.open_log(homes["cut"])  # the shop goes on meanwhile: what is tuned is the log as it was
    with_more.append([to_record(Event("purchase", 61 * MS_PER_DAY, "late", "u1", items=(Line("i1"),)))])
    with_more.close()
    found = {}
    for name, home in homes.items():
        assert main(["tune", "--home", str(home), *SHORT, "--json"]) == 0
        said = capsys.readouterr()
        assert ("itemknn, trial 2:" in said.err) == (name == "whole")
        found[name] = json.loads(said.out)
    assert found["cut"] == found["whole"]


def test_a_home_is_tuned_once_at_a_time(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "endcap.interfaces.cli.main", "tune", "--home", str(home), *SHORT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("itemknn, trial 1")  # it is under way
        process.send_signal(signal.SIGSTOP)
        trials = (home / "cache" / "tune" / "studies.db").read_bytes()
        for options in ([], ["--fresh"]):
            assert main(["tune", "--home", str(home), *SHORT, *options]) == 2
            assert f"{home} is being tuned by another process: let that end, or stop it" in capsys.readouterr().err
        assert (home / "cache" / "tune" / "studies.db").read_bytes() == trials
        process.send_signal(signal.SIGKILL)
    assert main(["tune", "--home", str(home), *SHORT, "--json"]) == 0  # free again, and it goes on
    assert "itemknn, trial 1:" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--models", "magic"], "'magic' cannot be tuned: there are als, itemknn, session_knn"),
        (["--test-days", "90"], "the data has 0 events before the test"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["tune", "--home", str(home), *options]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_without_a_shop_it_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--home", str(tmp_path)]) == 2
    assert "there is no shop in" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_another_tuning_is_begun_anew_only_when_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = home / "cache" / "tune"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text('{"models": ["als"], "offset": 340, "config": "other"}')
    assert main(["tune", "--home", str(home), *SHORT]) == 2
    assert 'a tuning was cut off that had models ["als"], not ["itemknn", "session_knn"]' in capsys.readouterr().err
    assert main(["tune", "--home", str(home), *SHORT[:2], "--trials", "1", "--models", "itemknn", "--fresh"]) == 0
    assert "Nothing was better than the present settings: blend NDCG@20 0." in capsys.readouterr().out
