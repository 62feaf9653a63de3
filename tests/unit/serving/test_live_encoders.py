"""Another encoder comes with a version: the old vectors serve until all items have new ones."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.serving.test_live_state import run, until
from tests.unit.shops import NOW, TEA, item
from tests.unit.test_wiring import CONFIG, SALES, fill, quiet, train

from endcap import wiring
from endcap.config import Config, EncodeConfig, Home
from endcap.encoders.lexical import LexicalEncoder
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.models.persistence import list_versions, read_manifest
from endcap.serving.engine import Request
from endcap.serving.live import Live

BY_LETTERS = replace(CONFIG, encode=EncodeConfig(text=LexicalEncoder.name))


def found(live: Live, query: str) -> list[str]:
    return [one.item_id for one in live.engine.recommend(Request("search", query=query), wiring.clock()).items]


def test_a_version_brings_its_encoder_and_the_one_before_brings_its_own_back(tmp_path: Path) -> None:
    fill(tmp_path, *TEA, *SALES)
    first = train(tmp_path)
    second = wiring.train(tmp_path, BY_LETTERS, 1, NOW, quiet).version
    assert read_manifest(Home(tmp_path).models / first).encoder == UniversalSentenceEncoder.name
    assert read_manifest(Home(tmp_path).models / second).encoder == LexicalEncoder.name

    async def work(live: Live) -> None:
        assert (live.engine.contents.reading.name, live.model_problem) == (LexicalEncoder.name, None)
        assert "clock" not in found(live, "timepiece")
        await live.activate(first)
        assert live.engine.contents.reading.name == UniversalSentenceEncoder.name
        assert "clock" in found(live, "timepiece")
        assert live.engine.contents.vectors.has.sum() == len(TEA)

    run(tmp_path, work, CONFIG)


def test_the_old_vectors_serve_until_the_new_ones_are_there_with_what_has_changed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, *TEA, *SALES)
    train(tmp_path)
    encoding, go_on = threading.Event(), threading.Event()
    encode = LexicalEncoder.encode

    def slowly(self: LexicalEncoder, texts: list[str]) -> object:
        encoding.set()
        assert go_on.wait(30)
        return encode(self, texts)

    async def work(live: Live) -> None:
        trained = await asyncio.to_thread(wiring.train, tmp_path, BY_LETTERS, 1, wiring.clock(), quiet)
        await until(lambda: live.engine.model.version == trained.version)  # nothing had to be encoded
        assert live.engine.contents.reading.name == LexicalEncoder.name

    async def while_it_encodes(live: Live) -> None:
        older, newer = (one.version for one in reversed(list_versions(Home(tmp_path).models)))
        await live.activate(older)
        monkeypatch.setattr(LexicalEncoder, "encode", slowly)
        (Home(tmp_path).vectors / LexicalEncoder.name / "vectors.v1").unlink()
        activating = asyncio.create_task(live.activate(newer))
        await asyncio.to_thread(encoding.wait, 30)
        assert "clock" in found(live, "timepiece")
        await live.append([item("sofa", "Sofa")])
        go_on.set()
        await activating
        await until(lambda: not live.engine.contents.waiting)
        row = live.engine.state.items.row("sofa")
        await until(lambda: len(live.engine.contents.vectors) > row and bool(live.engine.contents.vectors.has[row]))
        assert live.engine.contents.reading.name == LexicalEncoder.name

    run(tmp_path, work, CONFIG)
    run(tmp_path, while_it_encodes, CONFIG)


def test_an_encoder_that_is_gone_is_named_and_letters_serve(tmp_path: Path) -> None:
    fill(tmp_path, *TEA, *SALES)

    async def work(live: Live) -> None:
        assert live.engine.contents.reading.name == LexicalEncoder.name
        assert live.model_problem is not None
        assert live.model_problem.startswith("there is no encoder 'gone' of text: ")
        assert found(live, "tea pot")[0] == "pot"

    run(tmp_path, work, Config(encode=EncodeConfig(text="gone")))
