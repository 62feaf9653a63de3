"""Smaller siblings of a tiny encoder: every way makes one that serves, and what does not fit is said."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.encoders.folders import static_folder
from tests.unit.encoders.pretraining.wording import TITLES
from tests.unit.nn.test_compression import two_layers

from endcap.catalog.items import ItemChange
from endcap.config import StateConfig
from endcap.encoders.folder import MODEL, TORCH, check_folder, read_folder
from endcap.encoders.registry import open_text_folder
from endcap.errors import ConfigError, DataError, ModelError
from endcap.evaluation.encoding import Trial
from endcap.events.schema import Event
from endcap.nn.settings import Settings
from endcap.pipelines.compress import (
    WAYS,
    Job,
    Workshop,
    check_encoder,
    check_ways,
    compress,
    make_sibling,
    shop_trial,
)
from endcap.pipelines.pretrain import write_encoder
from endcap.types import MS_PER_DAY, Entry

JOB = Job(dim=16, settings=Settings(epochs=2, batch_size=16, learning_rate=2e-3))
TRIAL = Trial(TITLES, np.arange(len(TITLES)) % 4 == 0, speed=16)
FIRST = [title for title, new in zip(TITLES, TRIAL.new, strict=True) if not new]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With one encoder, "plain", of two layers of 32."""
    folder = tmp_path_factory.mktemp("encoders")
    start = two_layers()
    start.tokenizer.enable_padding(length=16)  # as some files have it; a table must not see it
    write_encoder(start, folder, "plain", {})
    return folder


def test_every_way_makes_an_encoder_and_the_table_holds_them_all(encoders: Path) -> None:
    found = compress(encoders / "plain", list(WAYS), JOB, TRIAL)
    assert [one.name for one in found.found] == ["plain", *(f"plain-{way}" for way in WAYS)]
    by_name = {one.name.removeprefix("plain-"): one for one in found.found}
    for name, one in by_name.items():
        check_folder(encoders / one.name, read_folder(encoders / one.name))
        assert one.cosine_mean > (0.1 if name == "static" else 0.8), name  # its vectors are centred
        assert one.speed.titles_per_second > 0
    size = {name: one.megabytes for name, one in by_name.items()}
    assert size["int8-dynamic"] < size["plain"]
    assert size["int8-static"] < size["plain"]
    assert size["heads"] < size["plain"]
    assert size["student"] < size["plain"]
    assert size["student-int8"] < size["student"]
    assert size["static"] < size["student-int8"]
    files = [encoders / name / MODEL for name in ("plain", "plain-magnitude")]
    assert files[1].stat().st_size == pytest.approx(files[0].stat().st_size, rel=0.02)  # zeros take as much room
    assert by_name["static-fitted"].cosine_mean > by_name["static"].cosine_mean
    assert found.made["plain-magnitude"]["zeros"] == pytest.approx(0.5, abs=0.01)
    assert found.made["plain-heads"]["heads"] == [[*kept] for kept in found.made["plain-heads"]["heads"]]  # type: ignore[attr-defined]
    assert found.made["plain-student"]["cosine"] > 0.9  # type: ignore[operator]
    assert found.made["plain-student-int8"]["from"] == read_folder(encoders / "plain-student").version
    assert set(found.ratios) == {one.name for one in found.found[1:]}
    assert (found.judged_on["texts"], found.judged_on["cases"]) == (36, 0)


def test_a_sibling_that_is_there_stays_and_other_settings_are_refused(encoders: Path) -> None:
    shop = Workshop(encoders / "plain", FIRST, JOB)
    first = make_sibling(shop, "static")
    before = (encoders / "plain-static" / "encoder.json").stat().st_mtime_ns
    assert make_sibling(shop, "static") == first
    assert (encoders / "plain-static" / "encoder.json").stat().st_mtime_ns == before
    with pytest.raises(ModelError, match="there is an encoder 'plain-static' already, of another encoder or with"):
        make_sibling(Workshop(encoders / "plain", FIRST, replace(JOB, dim=8)), "static")


def test_the_same_seed_makes_the_same_encoder(encoders: Path, tmp_path: Path) -> None:
    shutil.copytree(encoders / "plain", tmp_path / "plain")
    for way in ("student", "static-fitted", "int8-static"):
        again = make_sibling(Workshop(tmp_path / "plain", FIRST, JOB), way)
        assert again.version == make_sibling(Workshop(encoders / "plain", FIRST, JOB), way).version


def test_without_torch_only_some_ways_are_left(encoders: Path, tmp_path: Path) -> None:
    shutil.copytree(encoders / "plain", tmp_path / "plain")
    shutil.rmtree(tmp_path / "plain" / TORCH)
    check_encoder(tmp_path / "plain", ["int8-dynamic", "static-fitted"])
    with pytest.raises(
        ModelError, match=r"'plain' has no torch/, whose weights student needs: .* choose --ways int8-d"
    ):
        check_encoder(tmp_path / "plain", ["static", "student"])


def test_what_cannot_be_made_smaller_is_said(encoders: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="there is no way 'zip' to make an encoder smaller: choose among int8-dynamic"
    ):
        check_ways(["static", "zip"])
    with pytest.raises(ConfigError, match="there is no way named"):
        check_ways([])
    table = static_folder(tmp_path, np.ones((81, 4), np.float32))
    with pytest.raises(ModelError, match="the encoder 'table' is a table already: name a transformer of texts"):
        check_encoder(table, ["static"])
    with pytest.raises(DataError, match="there are 3 texts to fit on beside those that judge"):
        compress(encoders / "plain", ["static"], JOB, Trial(TITLES[:4], np.array([True, False, False, False])))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"heads_pruned": 1.0}, "heads_pruned is 1.0: it must be between 0 and 1"), ({"l2": 0.0}, "l2 is 0 and dim 256")],
)
def test_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Job(**settings)  # type: ignore[arg-type]


def shop_log(buys: bool) -> list[Entry]:
    """The titles as a catalogue; 40 people who buy items 0 to 9 on day 1, and other ones on day 50."""
    log = [Entry(0, 0, ItemChange(f"i{at}", "put", {"title": title})) for at, title in enumerate(TITLES)]
    if buys:
        for day, shift in ((1, 0), (50, 50)):
            for person in range(40):
                for at in range(person, person + 10):
                    item = f"i{(at + shift) % len(TITLES)}"
                    time = day * MS_PER_DAY + person
                    log.append(Entry(0, time, Event("purchase", time, user_id=f"u{person}", item_id=item)))
    return log


def test_a_shop_judges_by_its_titles_and_what_came_later() -> None:
    trial, notes = shop_trial(shop_log(True), StateConfig(), 30, 0)
    assert notes == []
    assert list(trial.texts) == list(TITLES)
    assert 0 < trial.new.sum() < len(TITLES) / 2
    for case in trial.cases:
        assert not trial.new[case.query.history].any()
        assert trial.new[case.relevant].all()
    assert trial.cases
    assert {row.item() for _, row in trial.queries} <= set(np.flatnonzero(trial.new).tolist())


def test_a_shop_without_events_is_judged_without_ranking() -> None:
    trial, notes = shop_trial(shop_log(False), StateConfig(), 30, 0)
    assert not trial.cases
    assert notes[0].startswith("ranking is not judged: there are no events to evaluate on")
    with pytest.raises(DataError, match="the shop has no items with a text: import a catalogue first"):
        shop_trial([], StateConfig(), 30, 0)


def test_a_sibling_is_served_by_its_name(encoders: Path) -> None:
    make_sibling(Workshop(encoders / "plain", FIRST, JOB), "static-fitted")
    encoder = open_text_folder(encoders, "plain-static-fitted")
    vectors = encoder.encode(["red cup for the hall", ""])
    assert vectors.shape == (2, 16)
    assert np.linalg.norm(vectors, axis=1).tolist() == pytest.approx([1, 0], abs=1e-5)
