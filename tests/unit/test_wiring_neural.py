"""Members of the blend that read features of items, or are trained by torch: trained, stored, served without it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.shops import DAY, NOW, did, item

from endcap import wiring
from endcap.config import Config, Home, TrainConfig
from endcap.encoders.cache import ItemVectors
from endcap.errors import ConfigError, ModelError
from endcap.events.log import to_record
from endcap.models.bpr import BPRSettings
from endcap.models.ease import EASESettings
from endcap.models.itemknn import ItemKNNSettings
from endcap.models.persistence import Manifest
from endcap.models.projection import ProjectionSettings
from endcap.models.sequence import SequenceModel
from endcap.models.session_knn import SessionKNNSettings
from endcap.models.structured import StructuredMFSettings
from endcap.models.transitions import TransitionsSettings
from endcap.nn.shapes import SequenceSettings
from endcap.serving.engine import Answer, Request
from endcap.state.fold import State
from endcap.wiring.models import NEURAL, settings_of

ITEMS = 12
MEMBERS = (*NEURAL, "structured")
SMALL = TrainConfig(sequence_factors=16, sequence_epochs=8, sequence_dropout=0.0, structured_factors=8)
ASKED = Request("for-you", user_id="u3", k=5, explain=True)


def shop(home: Path) -> Path:
    """Everybody goes on to the next of twelve items every three days."""
    log = wiring.open_log(home)
    log.append([to_record(item(f"i{n}", f"thing number {n}"), 0) for n in range(ITEMS)])
    events = [
        did("view", f"u{user}", f"i{(user + day // 3) % ITEMS}", NOW - (60 - day) * DAY + user)
        for day in range(0, 60, 3)
        for user in range(24)
    ]
    log.append([to_record(event) for event in events])
    log.close()
    return home


def config(*names: str) -> Config:
    return Config(train=replace(SMALL, models=names))


def train(home: Path, *names: str) -> Manifest:
    return wiring.train(home, config(*names), 0, NOW, lambda _done, _total: None)


@pytest.fixture(scope="module", params=MEMBERS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A shop whose blend is one member, and its name."""
    home = shop(tmp_path_factory.mktemp(request.param) / "home")
    assert train(home, request.param).weights == {request.param: 1.0}
    return home, request.param


def asked(home: Path, request: Request = ASKED) -> Answer:
    return wiring.recommend(home, Config(), request, NOW)


def test_it_serves_from_the_folder_and_its_parts_add_up(trained: tuple[Path, str]) -> None:
    home, name = trained
    answer = asked(home)
    assert (Home(home).models / answer.model / f"{name}.safetensors").is_file()
    assert len(answer.items) == 5
    assert name in (answer.items[0].parts or {})
    for one in answer.items:
        assert sum((one.parts or {}).values()) == pytest.approx(one.score)
        assert not one.evidence  # none of them can say which item speaks
        assert one.reason != ""


def test_it_serves_without_torch(trained: tuple[Path, str]) -> None:
    home, _ = trained
    script = f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
from endcap import wiring
from endcap.config import Config
from endcap.serving.engine import Request
answer = wiring.recommend(Path({str(home)!r}), Config(), Request("for-you", user_id="u3", k=5), {NOW})
print(answer.model, [one.item_id for one in answer.items])
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    wanted = asked(home)
    assert said.stdout.strip() == f"{wanted.model} {[one.item_id for one in wanted.items]}"


def test_why_makes_the_list_again(trained: tuple[Path, str]) -> None:
    home, name = trained
    answer = asked(home)
    found = wiring.why_at(home, Config(), ASKED, NOW, answer.items[1].item_id)
    assert found.items == tuple(one.item_id for one in answer.items)
    assert found.reason == answer.items[1].reason
    assert [said.model for said in found.trace.proposed if said.part > 0] == [name]


def test_an_item_that_came_after_the_training_ranks_by_what_it_says(trained: tuple[Path, str]) -> None:
    home, name = trained
    before = asked(home).items[0]
    title = f"thing number {before.item_id.removeprefix('i')}"
    log = wiring.open_log(home)
    log.append([to_record(item("twin", title), NOW), to_record(item("sofa", "Sofa bed, grey"), NOW)])
    log.close()
    given = replace(ASKED, recipe="rerank", item_ids=("sofa", "twin"))
    twin = asked(home, given).items[0]
    assert twin.item_id == "twin"
    assert (twin.parts or {}).get(name, 0.0) > 0


def test_the_order_is_learnt_through_the_log(tmp_path: Path) -> None:
    home = shop(tmp_path)
    train(home, "sasrec", "trending")
    where_u3_is = (3 + 57 // 3) % ITEMS
    assert asked(home).items[0].item_id == f"i{(where_u3_is + 1) % ITEMS}"


def test_what_takes_time_is_made_where_the_version_is_read(tmp_path: Path) -> None:
    home = shop(tmp_path)
    version = train(home, "gru", "trending").version
    log = wiring.open_log(home)
    engine, problem = wiring.open_engine(home, Config(), log)
    log.close()
    assert problem is None
    loaded = wiring.load_model(engine.state.items, Config(), Home(home).models, version)
    networks = []
    for _ in range(2):
        member = loaded.over(engine.state, engine.contents).proposers["for-you"]._members["gru"]
        assert isinstance(member, SequenceModel)
        assert member._known == tuple(block.version for block in member._features)  # the items' table is there
        networks.append(member._read)
    assert networks[0] is networks[1]


@pytest.mark.parametrize("name", NEURAL)
def test_without_torch_training_ends_before_the_log_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    home, steps = shop(tmp_path), list[int]()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelError, match=r"trained by torch, which is not there .*: pip install 'endcap\[train\]'"):
        wiring.train(home, config(name), 0, NOW, lambda done, _: steps.append(done))
    with pytest.raises(ModelError, match=r"pip install 'endcap\[train\]'"):
        wiring.evaluation_kit(home, Config(), (name,))
    assert steps == []


def test_a_setting_that_a_model_refuses_ends_before_the_log_is_read(tmp_path: Path) -> None:
    wrong = Config(train=TrainConfig(models=("sasrec",), sequence_factors=33))
    with pytest.raises(ConfigError, match="heads is 2: it must be a divisor of factors, 33"):
        wiring.train(tmp_path, wrong, 0, NOW, lambda _done, _total: None)
    assert not Home(tmp_path).log.exists()


def test_the_defaults_of_the_file_are_those_of_the_models() -> None:
    for kind, prefix in (
        (SessionKNNSettings, "session_knn"),
        (ItemKNNSettings, "itemknn"),
        (ProjectionSettings, "projection"),
        (TransitionsSettings, "transitions"),
        (EASESettings, "ease"),
        (BPRSettings, "bpr"),
        (StructuredMFSettings, "structured"),
        (SequenceSettings, "sequence"),
    ):
        assert settings_of(kind, prefix, TrainConfig()) == kind(), prefix


def test_settings_reach_the_models() -> None:
    given = TrainConfig(ease_l2=7.0, transitions_back=0.0, bpr_epochs=3, sequence_length=9, seed=5)
    members = wiring.blend_members(State(Config().state), ItemVectors(4), given)
    settings = {name: getattr(member, "settings", None) for name, member in members.items()}
    assert settings["ease"] == EASESettings(l2=7.0)
    assert settings["transitions"] == TransitionsSettings(back=0.0)
    assert settings["bpr"] == BPRSettings(epochs=3, seed=5)
    assert settings["caser"] == SequenceSettings(body="caser", length=9, seed=5)
    assert settings["two_tower"] == SequenceSettings(body="bag", length=9, profile=True, seed=5)


def test_what_takes_minutes_to_train_is_evaluated_where_it_is_named() -> None:
    assert not set(NEURAL) & wiring.evaluation_kit(None, Config()).models.keys()
    assert "gru" in wiring.evaluation_kit(None, Config(), ("gru",)).models
    assert "gru" in wiring.evaluation_kit(None, config("gru")).models
