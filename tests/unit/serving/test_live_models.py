"""How a version comes to serve in a shop that runs: read beside it, and never one that is damaged."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.unit.serving.test_live_state import erase, run, until, view
from tests.unit.shops import TEA
from tests.unit.test_wiring import CONFIG, SALES, fill, train

from endcap import wiring
from endcap.config import Home
from endcap.errors import ModelError
from endcap.events.log import to_record
from endcap.events.schema import Event, Line
from endcap.models.persistence import read_manifest
from endcap.serving.candidates import Loaded
from endcap.serving.engine import Request, ServingModel
from endcap.serving.live import Live
from endcap.types import Activation, Vocabulary
from endcap.wiring import models, shop


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("trained") / "home"
    fill(path, *TEA, *SALES)
    return path, train(path)


@pytest.fixture
def trained(trained_once: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """A home and the version that serves it; a copy to break."""
    shutil.copytree(trained_once[0], tmp_path / "home")
    return tmp_path / "home", trained_once[1]


def cut(data: bytes) -> bytes:
    return data[:-10]


def garbage(data: bytes) -> bytes:
    return bytes(255 - byte for byte in data)


@pytest.mark.parametrize("harm", [cut, garbage])
@pytest.mark.parametrize("digest_fits", [False, True])
def test_a_version_with_a_damaged_file_leaves_the_one_that_serves_and_is_named(
    trained: tuple[Path, str], harm: Callable[[bytes], bytes], digest_fits: bool
) -> None:
    """``digest_fits``: the file was written like that."""
    home, version = trained
    models = Home(home).models
    shutil.copytree(models / version, models / "damaged")
    file = models / "damaged" / "als.safetensors"
    file.write_bytes(harm(file.read_bytes()))
    if digest_fits:
        manifest = read_manifest(models / "damaged")
        digests = {**manifest.sha256, file.name: hashlib.sha256(file.read_bytes()).hexdigest()}
        (file.parent / "manifest.json").write_bytes(msgspec.json.encode(replace(manifest, sha256=digests)))

    async def work(live: Live) -> None:
        await activated_elsewhere(live, home, "damaged")
        assert live.model_problem is not None
        assert live.model_problem.startswith(f"{file} {'holds no arrays' if digest_fits else 'is damaged'} (")
        assert live.model_problem.endswith("): delete the folder and run endcap train")
        assert live.engine.model.version == version
        assert live.engine.recommend(Request("for-you", user_id="u0"), wiring.clock()).items
        await live.append([Activation(version)])
        await until(lambda: live.model_problem is None)

    run(home, work, CONFIG)


async def activated_elsewhere(live: Live, home: Path, version: str) -> None:
    """Another process says that ``version`` serves, and the shop has tried."""
    log = wiring.open_log(home)
    log.append([to_record(Activation(version), wiring.clock())])
    log.close()
    await until(lambda: live.model_problem is not None)


def test_whatever_a_version_raises_leaves_the_one_that_serves(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    home, version = trained

    def broken(*_: object) -> None:
        raise MemoryError("no room for it")

    async def work(live: Live) -> None:
        monkeypatch.setattr(shop, "load_model", broken)
        await activated_elsewhere(live, home, "other")
        assert live.model_problem == "other: MemoryError('no room for it')"
        assert live.engine.model.version == version
        said = [one for one in caplog.records if one.message == "model not loaded"]
        assert [(one.__dict__["version"], one.__dict__["reason"]) for one in said] == [("other", "no room for it")]

    run(home, work, CONFIG)


def watch_making(monkeypatch: pytest.MonkeyPatch, begin: Callable[[str], None]) -> list[int]:
    """The threads in which versions are made over a state, one after the other; ``begin`` is told each before."""
    load, threads = models.load_model, list[int]()

    def watched(items: Vocabulary, *given: object) -> Loaded:
        made = load(items, *given)  # type: ignore[arg-type]  # as it was called

        def over(*over_what: object) -> ServingModel:
            threads.append(threading.get_ident())
            begin(str(given[-1]))
            return made.over(*over_what)  # type: ignore[arg-type]

        return replace(made, over=over)

    monkeypatch.setattr(shop, "load_model", watched)
    return threads


def test_a_version_is_made_off_the_loop_and_what_does_not_fit_is_not_activated(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, version = trained

    def fits(name: str) -> None:
        if name == wiring.UNTRAINED:
            raise ModelError("it does not go with these items: train again")

    async def work(live: Live) -> None:
        threads = watch_making(monkeypatch, fits)
        await live.activate(version)
        before = live.engine.state.offset
        with pytest.raises(ModelError, match="it does not go with these items"):
            await live.activate(wiring.UNTRAINED)
        await live.append([])
        assert (live.engine.model.version, live.engine.state.offset) == (version, before)
        assert len(threads) == 2
        assert threading.get_ident() not in threads

    run(home, work, CONFIG)


def test_a_version_over_items_that_change_meanwhile_is_made_on_the_loop(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, version = trained

    async def work(live: Live) -> None:
        def torn(_: str) -> None:
            if len(threads) == 1:
                raise IndexError("what was read has grown")

        threads = watch_making(monkeypatch, torn)
        await live.activate(version)
        assert live.engine.model.version == version
        assert threads[0] != threads[1] == threading.get_ident()

    run(home, work, CONFIG)


def test_a_version_that_was_read_while_the_state_was_folded_again_serves_the_new_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()
    load = models.load_model

    def slowly(items: Vocabulary, *given: object) -> Loaded:
        made = load(items, *given)  # type: ignore[arg-type]  # as it was called
        reading.set()
        assert go_on.wait(30)
        return made

    async def work(live: Live) -> None:
        await live.append([*TEA, view("zoe", "cup"), view("bo", "pot")])
        old = live.engine.state
        monkeypatch.setattr(shop, "load_model", slowly)
        activating = asyncio.create_task(live.activate(wiring.UNTRAINED))
        await asyncio.to_thread(reading.wait, 30)
        monkeypatch.setattr(shop, "load_model", load)
        await live.without_erased(await asyncio.to_thread(erase, tmp_path, "zoe"))
        go_on.set()
        await activating
        assert live.engine.state is not old
        bought = Event("purchase", wiring.clock(), None, "bo", items=(Line("cup"), Line("lamp")))
        await live.append([bought])
        listed = live.engine.recommend(Request("bought-together", item_ids=("cup",), explain=True), wiring.clock())
        assert [one.item_id for one in listed.items if "bought_together" in (one.parts or {})] == ["lamp"]

    run(tmp_path, work)


@pytest.mark.parametrize("slow", [wiring.UNTRAINED, "gone"])
def test_an_activation_that_was_overtaken_changes_nothing(
    trained: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    home, version = trained
    go_on, ended = threading.Event(), threading.Event()
    load = models.load_model

    def slowly(*given: object) -> Loaded:
        if given[-1] != slow:
            return load(*given)  # type: ignore[arg-type]  # as it was called
        assert go_on.wait(30)
        try:
            return load(*given)  # type: ignore[arg-type]  # as it was called
        finally:
            ended.set()

    async def work(live: Live) -> None:
        monkeypatch.setattr(shop, "load_model", slowly)
        await live.append([Activation(slow)])
        await live.activate(version)
        go_on.set()
        await until(ended.is_set)
        await asyncio.sleep(0.05)
        assert (live.engine.model.version, live.model_problem) == (version, None)

    run(home, work, CONFIG)
