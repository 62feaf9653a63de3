"""``endcap train`` as it is called: which models it blends, and what a version with only some of them serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.config import Config
from endcap.events.log import to_record
from endcap.events.schema import Event, Line
from endcap.interfaces.cli.main import main
from endcap.serving.engine import RECIPES, Request
from endcap.types import MS_PER_DAY

ALL = {"session_knn", "itemknn", "als", "trending", "popular", "content"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two months of baskets: u0 to u7 keep to the even items, u8 to u15 to the odd ones."""
    log = wiring.open_log(tmp_path)
    log.append([to_record(parse_change("put", {"item_id": f"i{n}", "title": f"thing {n}"}), 0) for n in range(12)])
    rng = np.random.default_rng(0)
    events = [
        Event("purchase", round(day * MS_PER_DAY) + user + 1, f"e{user}-{day}", f"u{user}", items=lines)
        for day in range(0, 60, 5)
        for user in range(16)
        for lines in [tuple(Line(f"i{2 * n + (user >= 8)}") for n in rng.permutation(6)[:3])]
    ]
    log.append([to_record(event) for event in events])
    log.close()
    return tmp_path


def train(home: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["train", "--home", str(home), "--json", *options]) == 0
    manifest: dict[str, Any] = json.loads(capsys.readouterr().out)
    return manifest


def recommend(home: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["recommend", "--home", str(home), "--json", "-k", "4", *options]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_every_model_is_blended_where_none_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = train(home, capsys)
    assert manifest["weights"].keys() == ALL
    files = {f"{name}.safetensors" for name in ("als", "itemknn", "buy_again", "themes")}
    assert manifest["sha256"].keys() == files
    assert manifest["settings"]["train"]["models"] == []


@pytest.mark.parametrize(
    ("models", "files"),
    [("als", {"als.safetensors"}), ("itemknn, als", {"als.safetensors", "itemknn.safetensors"}), ("trending", set())],
)
def test_only_the_named_models_are_trained_blended_and_served(
    home: Path, capsys: pytest.CaptureFixture[str], models: str, files: set[str]
) -> None:
    named = {name.strip() for name in models.split(",")}
    manifest = train(home, capsys, "--models", models, "--seed", "7")
    assert manifest["weights"].keys() == named
    assert sum(manifest["weights"].values()) == pytest.approx(1.0)
    assert manifest["metrics"].keys() == {f"{name} ndcg@20" for name in named | {"blend"}}
    assert manifest["sha256"].keys() == files | {"buy_again.safetensors", "themes.safetensors"}
    assert (manifest["seed"], manifest["settings"]["train"]["seed"]) == (7, 7)
    assert sorted(manifest["settings"]["train"]["models"]) == sorted(named)
    answer = wiring.recommend(home, Config(), Request("for-you", user_id="u3", k=4, explain=True), 60 * MS_PER_DAY)
    assert answer.model == manifest["version"]
    assert [set(item.parts or ()) <= named for item in answer.items] == [True] * 4
    assert any(item.parts for item in answer.items)


def test_als_alone_keeps_to_the_taste(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(home, capsys, "--models", "als")
    for user, odd in (("u3", 0), ("u9", 1)):
        listed = [item["item_id"] for item in recommend(home, capsys, "--user-id", user)["items"]]
        assert [int(item_id[1:]) % 2 for item_id in listed] == [odd] * 4


@pytest.mark.parametrize("models", ["als", "trending"])
def test_every_recipe_answers_with_a_part_of_the_models(
    home: Path, capsys: pytest.CaptureFixture[str], models: str
) -> None:
    version = train(home, capsys, "--models", models)["version"]
    for recipe in RECIPES:
        asked = ["--recipe", recipe, "--user-id", "u3", "--item-id", "i2", "--query", "thing 4"]
        answer = recommend(home, capsys, *asked)
        assert answer["model"] == version
        assert answer["items"], recipe


def test_the_file_names_the_models_and_the_option_goes_before_it(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "config.toml").write_text('[train]\nmodels = ["itemknn"]\n')
    assert train(home, capsys)["weights"].keys() == {"itemknn"}
    assert train(home, capsys, "--models", "popular")["weights"].keys() == {"popular"}


def test_the_version_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--home", str(home), "--models", "popular"]) == 0
    (version,) = [path.name for path in (home / "models").iterdir()]
    assert f"Trained {version} on the log up to entry 204; it serves from now on." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ("als,magic", "endcap: there is no model 'magic' to train: choose among session_knn, itemknn, als, "),
        ("blend", "there is no model 'blend' to train: choose among "),
        (
            " , ",
            "endcap: --models is ' , ': name at least one of session_knn, itemknn, als, trending, popular, content",
        ),
    ],
)
def test_a_name_that_no_model_has_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], models: str, message: str
) -> None:
    assert main(["train", "--home", str(home), "--models", models]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert not (home / "models").exists()


def test_a_log_without_events_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--home", str(tmp_path)]) == 2
    assert "the log holds no events: send or import some, then train" in capsys.readouterr().err


def test_a_weight_of_no_event_type_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "config.toml").write_text("[state.weights]\nview = 1\npurchases = 5\n")
    assert main(["train", "--home", str(home)]) == 2
    err = capsys.readouterr().err
    assert "state.weights names 'purchases', which is no event type: there are impression, click, view, " in err
    assert len(err.strip().splitlines()) == 1
