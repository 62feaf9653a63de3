"""The composition root over real homes: locks, models that cannot serve, and starting again."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.unit.shops import DAY, MINUTE, NOW, TEA, basket, did, item, open_files_in

from endcap import wiring
from endcap.config import Config, Home, TrainConfig
from endcap.errors import DataError, HomeError, ModelError, NotFoundError
from endcap.events.log import Body, entries, to_record
from endcap.events.schema import Event, Line
from endcap.models.persistence import list_versions
from endcap.serving.engine import RECIPES, Answer, Engine, Request
from endcap.serving.live import Live
from endcap.state.snapshot import digest
from endcap.types import Activation

CONFIG = Config(train=TrainConfig(als_factors=4, als_epochs=3))
PAIRS = (("pot", "cup"), ("lamp", "clock"))
SALES = tuple(
    Event("purchase", NOW - (40 - day) * DAY, user_id=f"u{day % 8}", items=tuple(map(Line, PAIRS[day % 2])))
    for day in range(40)
)


def fill(home: Path, *bodies: Body) -> None:
    log = wiring.open_log(home)
    log.append([to_record(body, NOW) for body in bodies])
    log.close()


def quiet(done: int, total: int) -> None:
    """Nobody looks at the progress."""


def train(home: Path, seed: int = 0, now: int = NOW) -> str:
    return wiring.train(home, CONFIG, seed, now, quiet).version


@contextmanager
def serving(home: Path) -> Iterator[Live]:
    """A running shop that is stopped in the end."""
    with asyncio.Runner() as runner:
        live = wiring.open_live(home, CONFIG)
        runner.run(live.start())
        try:
            yield live
        finally:
            runner.run(live.stop())


@contextmanager
def engine_of(home: Path, config: Config = CONFIG) -> Iterator[tuple[Engine, str | None]]:
    log = wiring.open_log(home)
    try:
        yield wiring.open_engine(home, config, log)
    finally:
        log.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Five items and forty baskets, not trained."""
    fill(tmp_path / "home", *TEA, *SALES)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("trained") / "home"
    fill(path, *TEA, *SALES)
    return path, train(path)


@pytest.fixture
def trained(trained_once: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """The same with a version that serves; a copy to break."""
    shutil.copytree(trained_once[0], tmp_path / "copy")
    return tmp_path / "copy", trained_once[1]


def every_list(engine: Engine) -> list[Answer]:
    return [
        engine.recommend(Request(recipe, user_id="u0", item_ids=("pot", "lamp"), query="tea", explain=True), NOW)
        for recipe in RECIPES
    ]


def same_lists(one: Engine, other: Engine) -> bool:
    pairs = zip(every_list(one), every_list(other), strict=True)
    return all((a.items, a.model, a.offset) == (b.items, b.model, b.offset) for a, b in pairs)


# The lock.


def test_a_home_is_served_once(home: Path) -> None:
    with serving(home), pytest.raises(HomeError, match=r"home is served by another process: stop that, or give"):
        wiring.open_live(home, CONFIG)
    with serving(home) as live:  # free again
        assert live.engine.state.offset == len(TEA) + len(SALES)


def test_a_home_that_could_not_be_opened_is_not_locked(tmp_path: Path) -> None:
    wiring.open_log(tmp_path).close()
    Home(tmp_path).log.write_bytes(b"not SQLite" * 1_000)
    for _ in range(2):
        with pytest.raises(HomeError, match=r"it is not an Endcap log") as error:
            wiring.open_live(tmp_path, CONFIG)
        assert not open_files_in(tmp_path)
        assert error.value  # alive until here, and with it what was opened


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(HomeError, match=r"file cannot be written \(File exists\): give a home folder that can be$"):
        wiring.open_live(tmp_path / "file", CONFIG)


def test_training_may_run_beside_a_server(home: Path) -> None:
    with asyncio.Runner() as runner:
        live = wiring.open_live(home, CONFIG)
        runner.run(live.start())
        version = train(home)

        async def served() -> None:
            async with asyncio.timeout(20):
                while live.engine.model.version != version:
                    await asyncio.sleep(0.01)

        runner.run(served())
        assert live.model_problem is None
        assert live.engine.state.shop.active_version == version
        runner.run(live.stop())


# What serves.


def test_before_the_first_training_what_needs_no_learning_serves(home: Path) -> None:
    with engine_of(home) as (engine, problem):
        assert (engine.model.version, problem) == (wiring.UNTRAINED, None)
        answer = engine.recommend(Request("for-you", user_id="u0", explain=True), NOW)
        names = {name for one in answer.items for name in one.parts or ()}
        assert names
        assert not names & set(wiring.LEARNERS)
        assert engine.model.hides_seen is False


def test_training_activates_the_version_by_one_entry(trained: tuple[Path, str]) -> None:
    home, version = trained
    log = wiring.open_log(home)
    *before, last = entries(log)
    log.close()
    assert (last.body, last.time) == (Activation(version), NOW)
    assert not any(isinstance(entry.body, Activation) for entry in before)


def test_the_active_version_serves_with_its_weights(trained: tuple[Path, str]) -> None:
    home, version = trained
    with engine_of(home) as (engine, problem):
        assert (engine.model.version, problem) == (version, None)
        assert engine.recommend(Request("for-you"), NOW).model == version
        (manifest,) = list_versions(Home(home).models)
        blend = engine.model.proposers["for-you"]
        assert blend.weights == {name: weight for name, weight in manifest.weights.items() if weight > 0}
        assert engine.model.hides_seen == manifest.hides_seen
        assert set(engine.model.proposers) == set(RECIPES)
        similar = engine.recommend(Request("similar", item_ids=("lamp",), explain=True), NOW)
        parts = {one.item_id: one.parts or {} for one in similar.items}
        assert "itemknn" in parts["clock"]  # what only people know: a lamp and a clock are bought together


@pytest.mark.parametrize("hides", [False, True])
def test_what_was_learnt_about_the_seen_serves(trained: tuple[Path, str], hides: bool) -> None:
    home, version = trained
    path = Home(home).models / version / "manifest.json"
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | {"hides_seen": hides}))
    with engine_of(home) as (engine, _):
        assert engine.model.hides_seen is hides


def test_a_training_that_fails_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path, *TEA)
    with pytest.raises(DataError, match=r"^the log holds no events"):
        train(tmp_path)
    log = wiring.open_log(tmp_path)
    assert log.last_offset() == len(TEA)
    log.close()


def damage(folder: Path) -> None:
    path = folder / "als.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def lose_a_file(folder: Path) -> None:
    (folder / "itemknn.safetensors").unlink()


def break_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (damage, r"als\.safetensors is damaged \(its SHA-256 differs\): delete the folder and run endcap train"),
        (lose_a_file, r"itemknn\.safetensors cannot be read \(No such file.*\): delete the folder and run endcap"),
        (break_the_manifest, r"manifest\.json is damaged \(.*\): delete the folder and run endcap train"),
        (shutil.rmtree, r"^there is no model version '.*': GET /v1/models lists them"),
    ],
)
def test_a_version_that_cannot_serve_is_named_and_the_untrained_one_serves(
    trained: tuple[Path, str], harm: Callable[[Path], None], reason: str
) -> None:
    home, version = trained
    harm(Home(home).models / version)
    with serving(home) as live:
        assert live.model_problem is not None
        assert re.search(reason, live.model_problem)
        assert live.engine.model.version == wiring.UNTRAINED
        assert live.engine.recommend(Request("for-you", user_id="u0"), NOW).items
    with engine_of(home) as (engine, _), pytest.raises((ModelError, NotFoundError), match=reason):
        wiring.serving_model(engine.state, engine.contents, CONFIG, Home(home).models, version)


def test_a_version_of_another_catalogue_does_not_serve(trained: tuple[Path, str], tmp_path: Path) -> None:
    other, version = tmp_path / "other", trained[1]
    fill(other, item("sofa", "Sofa"), *TEA, *SALES, Activation(version))
    shutil.copytree(Home(trained[0]).models, Home(other).models)
    with engine_of(other) as (engine, problem):
        assert engine.model.version == wiring.UNTRAINED
        assert problem is not None
        assert problem.endswith("was trained on another catalogue than this log holds: run endcap train")


def test_a_version_serves_with_the_settings_that_it_was_trained_with(trained: tuple[Path, str]) -> None:
    home, version = trained
    with engine_of(home, Config(train=TrainConfig(als_factors=8))) as (engine, problem):
        assert (engine.model.version, problem) == (version, None)


def test_a_version_of_settings_that_are_not_known_does_not_serve(trained: tuple[Path, str]) -> None:
    home, version = trained
    path = Home(home).models / version / "manifest.json"
    path.write_text(re.sub(r'"als_factors": \d+', '"als_factors": "many"', path.read_text()))
    with engine_of(home) as (engine, problem):
        assert engine.model.version == wiring.UNTRAINED
        assert problem is not None
        assert "manifest.json has settings that are not known (Expected `int`, got `str`" in problem


def test_a_version_serves_a_catalogue_that_has_grown(trained: tuple[Path, str]) -> None:
    home, version = trained
    fill(home, item("mug", "Tea mug"), basket("new", "mug", "pot", time=NOW))
    with engine_of(home) as (engine, problem):
        assert (engine.model.version, problem) == (version, None)
        assert all(answer.items for answer in every_list(engine))
        assert "mug" in {one.item_id for one in engine.recommend(Request("for-you"), NOW).items}


# The same again.


def test_starting_again_gives_the_same_lists(trained: tuple[Path, str]) -> None:
    home, _ = trained
    with serving(home) as first:
        pass
    with serving(home) as second:
        assert digest(first.engine.state) == digest(second.engine.state)
        assert same_lists(first.engine, second.engine)


def test_a_snapshot_and_the_tail_give_what_the_whole_log_gives(trained: tuple[Path, str]) -> None:
    home, _ = trained
    shutil.rmtree(Home(home).state)  # what the training has kept
    with serving(home):
        pass  # the end of serving keeps a snapshot
    assert list(Home(home).state.glob("*.npz"))
    fill(home, did("view", "u0", "scarf", NOW - MINUTE), item("mug", "Tea mug"), did("dismiss", "u0", "cup", NOW))
    with engine_of(home) as (from_snapshot, _):
        shutil.rmtree(Home(home).state)
        with engine_of(home) as (from_log, _):
            assert digest(from_snapshot.state) == digest(from_log.state)
            assert same_lists(from_snapshot, from_log)


def test_live_and_replay_agree(home: Path) -> None:
    added: list[Body] = [
        did("view", "u0", "scarf", NOW - MINUTE),
        item("mug", "Tea mug"),
        did("dismiss", "u0", "cup", NOW),
    ]
    with asyncio.Runner() as runner:
        live = wiring.open_live(home, CONFIG)
        runner.run(live.start())
        runner.run(live.append(added))

        async def encoded() -> None:
            async with asyncio.timeout(20):
                while len(live.engine.contents.vectors) < len(TEA) + 1:
                    await asyncio.sleep(0.01)

        runner.run(encoded())
        shutil.rmtree(Home(home).state, ignore_errors=True)
        with engine_of(home) as (replayed, _):
            assert same_lists(live.engine, replayed)
        runner.run(live.stop())


def test_the_same_seed_gives_the_same_version_in_two_homes(home: Path, trained: tuple[Path, str]) -> None:
    version = train(home)
    assert version == trained[1]
    files = [sorted(path.read_bytes() for path in (Home(one).models / version).iterdir()) for one in (home, trained[0])]
    assert files[0] == files[1]


def test_another_seed_gives_other_factors(home: Path, trained: tuple[Path, str]) -> None:
    version = train(home, seed=1)
    seeded, (other,) = list_versions(Home(home).models)[0], list_versions(Home(trained[0]).models)
    assert (seeded.version, seeded.seed, other.seed) == (version, 1, 0)
    assert seeded.sha256["als.safetensors"] != other.sha256["als.safetensors"]
    assert seeded.sha256["itemknn.safetensors"] == other.sha256["itemknn.safetensors"]


# One list, and ids.


def test_one_list_without_a_server(trained: tuple[Path, str]) -> None:
    home, version = trained
    answer = wiring.recommend(home, CONFIG, Request("similar", item_ids=("pot",), k=2), NOW)
    assert (answer.model, len(answer.items), answer.items[0].item_id) == (version, 2, "cup")
    with serving(home):  # the log was let go of, and a server does not stand in the way
        assert wiring.recommend(home, CONFIG, Request("popular"), NOW).items


def test_request_ids_cannot_be_guessed_and_differ() -> None:
    ids = {wiring.new_id() for _ in range(1_000)}
    assert len(ids) == 1_000
    assert min(map(len, ids)) == 16  # 12 bytes


def test_members_without_vectors_have_no_content(home: Path) -> None:
    with engine_of(home) as (engine, _):
        without = wiring.blend_members(engine.state, None, CONFIG.train)
        all_of_them = wiring.blend_members(engine.state, engine.contents.vectors, CONFIG.train)
    assert set(all_of_them) - set(without) == {"content", "projection", "structured"}
    assert set(wiring.LEARNERS) <= set(all_of_them)


def test_a_projection_that_is_asked_for_is_learnt_and_serves(home: Path) -> None:
    asked = replace(CONFIG, train=replace(CONFIG.train, models=("projection",)))
    manifest = wiring.train(home, asked, 0, NOW, quiet)
    assert manifest.weights == {"projection": 1.0}
    with engine_of(home, asked) as (engine, problem):
        assert (engine.model.version, problem) == (manifest.version, None)
        assert "projection" in engine.model.proposers["for-you"].weights
        assert engine.recommend(Request("for-you", user_id="u0"), NOW).items


def test_vectors_are_kept_in_the_home(home: Path) -> None:
    with engine_of(home) as (engine, _):
        first = engine.contents.vectors.matrix.copy()
    size = sum(path.stat().st_size for path in Home(home).vectors.rglob("*") if path.is_file())
    assert size == 5 * (16 + 4 * 512 + 4)
    with engine_of(home) as (engine, _):
        np.testing.assert_array_equal(engine.contents.vectors.matrix, first)
    assert size == sum(path.stat().st_size for path in Home(home).vectors.rglob("*") if path.is_file())
