"""Somebody is erased from a home with a trained model, served lists and reports: no byte of them is left."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.docs.running import ENDCAP
from tests.integration.test_rebuild import CONFIG, IDS, MINUTE, NOW, filled

from endcap import wiring
from endcap.backends.log.spool import Spool
from endcap.config import Home
from endcap.errors import NotFoundError
from endcap.events.erasing import last_number
from endcap.events.log import entries, to_record
from endcap.events.schema import Event, Line
from endcap.events.served import Served
from endcap.interfaces.cli.main import endcap, main
from endcap.pipelines import restart
from endcap.pipelines.erase import Receipt
from endcap.pipelines.person import Person
from endcap.serving.engine import Request
from endcap.serving.exposure import served
from endcap.serving.live import Live
from endcap.state.fold import apply
from endcap.state.snapshot import save

USER, VISITOR, SESSION = "zoe-q7x1user", "v-q7x1visitor", "s-q7x1session"
QUERY, TEXT, REFUSED = "q7x1query lamp", "q7x1text: I live in Ulm", "q7x1refused"
OTHERS = {"recipe": "for-you", "user_id": "u5"}
TRACES = (USER, VISITOR, SESSION, "q7x1event", QUERY, TEXT, REFUSED, "q7x1")


def her(kind: str, number: int, at: int, **more: object) -> Event:
    fields = {"session_id": SESSION, "item_id": IDS[number % len(IDS)], **more}
    return Event(kind, at, f"q7x1event-{number}", **fields)  # type: ignore[arg-type]


def lived(at: int) -> list[Event]:
    """What she did: as a visitor, without consent, then as a user."""
    return [
        her("view", 0, at, visitor_id=VISITOR),
        her("view", 1, at + 1, visitor_id=VISITOR, consent=False),
        her("search", 2, at + 2, visitor_id=VISITOR, query=QUERY),
        her("identify", 3, at + 3, visitor_id=VISITOR, user_id=USER, item_id=None),
        her("view", 4, at + 4, visitor_id=VISITOR),
        her("review", 5, at + 5, user_id=USER, text=TEXT, rating=5.0),
        her("dismiss", 6, at + 6, user_id=USER),
        *(her("purchase", 7 + n, at + 7 + n, user_id=USER, items=(Line(IDS[n]),), item_id=None) for n in range(20)),
        her("view", 40, at + 40, user_id=USER, item_id="never-listed"),
    ]


def show(live: Live, now: int) -> dict[str, str]:
    """Lists for her, under each of her names, and for another; by who it was."""
    asked = {
        "user": Request("for-you", user_id=USER),
        "visitor": Request("next", visitor_id=VISITOR, session_id=SESSION),
        "search": Request("search", user_id=USER, query=QUERY),
        "session": Request("popular", session_id=SESSION),
        "other": Request("for-you", user_id="u5"),
    }
    found = {}
    for who, request in asked.items():
        answer = live.engine.recommend(request, now)
        live.show(served(request, answer, now, live.engine.state.items, settled=True))
        found[who] = answer.request_id
    return found


async def stop_with_lists_in_the_spool(home: Path, now: int) -> None:
    """Serve, show lists, and stop the whole process before any of them is in the log."""
    live = wiring.open_live(home, CONFIG)
    await live.start()
    show(live, now)
    os.kill(os.getpid(), signal.SIGSTOP)


async def _live(home: Path, now: int, bodies: list[Event]) -> dict[str, str]:
    live = wiring.open_live(home, CONFIG)
    await live.start()
    try:
        await live.append(bodies)
        shown = show(live, now)
        await live.settle()
        return shown
    finally:
        await live.stop()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A home in which she is everywhere, and the lists that were shown."""
    home = filled(tmp_path_factory.mktemp("erasure") / "home")
    (home / "config.toml").write_text("[train]\nals_factors = 4\nals_epochs = 2\n")  # CONFIG, for the command line
    lists = asyncio.run(_live(home, NOW, lived(NOW - MINUTE)))
    wiring.train(home, CONFIG, 1, NOW + MINUTE, lambda *_: None)
    lists |= {f"later {who}": one for who, one in asyncio.run(_live(home, NOW + 2 * MINUTE, [])).items()}
    return home, lists


@pytest.fixture
def home(shop: tuple[Path, dict[str, str]], tmp_path: Path) -> Path:
    """A copy, with lists of hers in the spool, a report with a refused row of hers, and a cache."""
    copy = tmp_path / "home"
    shutil.copytree(shop[0], copy)
    spool = Spool(Home(copy).spool)
    with closing(wiring.open_log(copy)) as log:
        engine, _ = wiring.open_engine(copy, CONFIG, log)
        request = Request("for-you", user_id=USER, query="q7x1 in the spool")
        for _ in range(3):
            answer = engine.recommend(request, NOW + 9 * MINUTE)
            spool.append(to_record(served(request, answer, NOW + 9 * MINUTE, engine.state.items, settled=True)))
    spool.close()
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        json.dumps({"type": "view", "time": NOW, "user_id": USER, "item_id": "cup", "rating": REFUSED}) + "\n"
    )
    assert main(["import", "events", str(rows), "--home", str(copy)]) in (0, 2)
    (Home(copy).cache / "pages").mkdir(parents=True)
    (Home(copy).cache / "pages" / "hers.json").write_text(USER)
    return copy


def traces(home: Path) -> dict[str, list[str]]:
    """In which files of the home which of her traces are."""
    files = (path for path in home.rglob("*") if path.is_file())
    found = {path: [one for one in TRACES if one.encode() in path.read_bytes()] for path in files}
    return {str(path.relative_to(home)): some for path, some in found.items() if some}


def erase(home: Path, *people: str) -> dict[str, Any]:
    """Runs ``endcap erase``; the receipt."""
    done = CliRunner().invoke(endcap, ["erase", "--home", str(home), "--yes", "--json", *people])
    assert done.exit_code == 0, done.output
    receipt: dict[str, Any] = json.loads(done.stdout)
    return receipt


def test_she_is_everywhere_before_and_nowhere_after(home: Path) -> None:
    before = traces(home)
    assert {Path(name).parts[0] for name in before} == {"log", "state", "reports", "cache"}, "models name nobody"
    assert {"log/served.spool", "log/endcap.db", "cache/pages/hers.json"} <= before.keys()
    receipt = erase(home, "--user", USER)
    assert traces(home) == {}
    events = {"dismiss": 1, "identify": 1, "purchase": 20, "review": 1, "search": 1, "view": 4}
    assert (receipt["events"], receipt["lists"], receipt["visitors"]) == (events, 4 + 4 + 3, 1)
    assert (receipt["snapshots"], receipt["reports"], receipt["cache_files"]) == (2, 1, 1)
    assert receipt["before"] != receipt["after"]
    assert (receipt["compacted"], receipt["problem"]) == (True, None)
    assert erase(home, "--user", USER)["number"] is None


def test_what_serves_equals_a_replay_and_the_model_still_serves(home: Path) -> None:
    about = Request("similar", item_ids=(IDS[0],), k=10)  # rests on what items are, and on the model
    with closing(wiring.open_log(home)) as log:
        engine, _ = wiring.open_engine(home, CONFIG, log)
        rows, shown = list(engine.state.items), engine.recommend(about, NOW + 9 * MINUTE).items
    erase(home, "--user", USER)
    found, against = wiring.replay(home, CONFIG, (None, None), True, lambda *_: None)
    assert [(one.name, one.same) for one in against.checks] == [("restart", True)]
    assert against.not_live == "somebody was erased since a server kept the last digest of its memory"
    assert found.offset == int(max(path.stem for path in Home(home).state.glob("*.npz"))), "from the new snapshot"
    with closing(wiring.open_log(home)) as log:
        engine, problem = wiring.open_engine(home, CONFIG, log)
        assert problem is None
        assert engine.model.version != wiring.UNTRAINED
        assert list(engine.state.items) == rows
        assert engine.state.user_row(USER, None) == engine.state.user_row(None, VISITOR) == -1
        assert len(shown) == 10
        assert engine.recommend(about, NOW + 9 * MINUTE).items == shown


def test_a_list_of_another_says_that_it_was_changed_and_hers_are_gone(
    home: Path, shop: tuple[Path, dict[str, str]]
) -> None:
    lists = shop[1]
    before = wiring.why_served(home, CONFIG, lists["later other"], IDS[0])
    assert (before.same, before.erasures, before.note) == (True, (), None)
    receipt = erase(home, "--user", USER)
    after = wiring.why_served(home, CONFIG, lists["later other"], IDS[0])
    assert [(one.number, one.time) for one in after.erasures] == [(1, receipt["time"])]
    assert (after.note or "").startswith("People were erased from the log since then (erasure no. 1 of 20")
    told = CliRunner().invoke(endcap, ["why", "--home", str(home), "--request", lists["later other"], "--item", IDS[0]])
    assert told.stdout.splitlines()[-1] == after.note
    for who in ("user", "visitor", "search", "session", "later user", "later session"):
        with pytest.raises(NotFoundError, match="the lists of a person who was erased are gone too"):
            wiring.why_served(home, CONFIG, lists[who], IDS[0])
    early = wiring.why_at(home, CONFIG, Request("popular", user_id="u1"), NOW - 30 * MINUTE, IDS[0])
    assert early.erasures == (), "she had done nothing yet"
    late = wiring.why_at(home, CONFIG, Request("popular", user_id="u1"), receipt["time"] + MINUTE, IDS[0])
    assert late.erasures == ()


def test_a_training_that_began_before_keeps_no_snapshot_of_her(home: Path) -> None:
    with closing(wiring.open_log(home)) as log:
        state = restart.replayed(home, CONFIG, log)
        erase(home, "--user", USER)
        restart.keep_snapshot(home, state, log)
        assert traces(home) == {}
        assert len(list(Home(home).state.glob("*.npz"))) == 1
        stale = save(state, Home(home).state, lambda offset: next(log.read(offset - 1, 1))[1].data)
        assert traces(home).keys() == {f"state/{stale.name}"}
        assert restart.replayed(home, CONFIG, log).user_row(USER, None) == -1, "a snapshot of before is not trusted"


def test_a_server_that_has_not_folded_again_keeps_no_snapshot_of_her(home: Path) -> None:
    with closing(wiring.open_log(home)) as log:
        state = restart.replayed(home, CONFIG, log)
        erase(home, "--user", USER)
        for entry in entries(log, state.offset):
            apply(state, entry)
        restart.keep_snapshot(home, state, log)
    assert traces(home) == {}


def test_beside_a_server_no_event_is_refused_and_none_of_hers_is_left(home: Path) -> None:
    async def main() -> tuple[int, Receipt]:
        live = wiring.open_live(home, CONFIG)
        await live.start()
        work = asyncio.create_task(
            asyncio.to_thread(wiring.erase, home, CONFIG, [Person(user_id=USER)], NOW, lambda *_: None)
        )
        accepted = 0
        try:
            while not work.done():
                receipt = await live.append([Event("view", NOW, f"other-{accepted}", "u5", item_id=IDS[1])])
                accepted += receipt.accepted
                await asyncio.sleep(0.005)
            return accepted, await work
        finally:
            await live.stop()

    accepted, receipt = asyncio.run(main())
    assert receipt.number == 1
    assert accepted > 5
    with closing(wiring.open_log(home)) as log:
        bodies = [entry.body for entry in entries(log)]
    stored = [body for body in bodies if isinstance(body, Event) and (body.event_id or "").startswith("other-")]
    assert len(stored) == accepted
    assert not traces(home).keys() & {"log/endcap.db", "log/endcap.db-wal", "log/served.spool"}


def test_a_visitor_known_as_a_user_is_told_of_and_stays(home: Path) -> None:
    before = traces(home)
    receipt = erase(home, "--visitor", VISITOR)
    assert (receipt["number"], receipt["known_visitors"]) == (None, 1)
    assert traces(home).keys() == before.keys() - {"log/served.spool"}, "what was in the spool is in the log"


@pytest.fixture
def stopped(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server of ``home`` that was stopped with lists in its spool."""
    wanted = f"tests.integration.test_erasure as me; asyncio.run(me.stop_with_lists_in_the_spool(Path({str(home)!r}), "
    code = f"import asyncio; from pathlib import Path; import {wanted}{NOW + 9 * MINUTE}))"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        os.waitpid(process.pid, os.WUNTRACED)
        assert USER.encode() in Home(home).spool.read_bytes()
        yield process
        process.kill()


def erasing(home: Path) -> subprocess.Popen[bytes]:
    """``endcap erase``, once it has changed the log and waits for the lists of the server."""
    process = subprocess.Popen([ENDCAP, "erase", "--user", USER, "--yes", "--json", "--home", home])
    with closing(wiring.open_log(home)) as log:
        while not last_number(log):
            assert process.poll() is None
            time.sleep(0.01)
    return process


def asked_in(home: Path) -> list[dict[str, object]]:
    """What was asked for the lists that the log holds."""
    with closing(wiring.open_log(home)) as log:
        return [one.body.asked for one in entries(log) if isinstance(one.body, Served)]


def test_a_server_that_dies_beside_an_erasure_brings_nothing_of_her_back(
    home: Path, stopped: subprocess.Popen[bytes]
) -> None:
    eraser = erasing(home)
    stopped.kill()
    assert eraser.wait(60) == 0
    assert traces(home) == {}
    assert asked_in(home) == [OTHERS] * 3, "of each time that she was shown some"


def test_the_start_after_both_died_brings_nothing_of_her_back(home: Path, stopped: subprocess.Popen[bytes]) -> None:
    eraser = erasing(home)
    for process in (eraser, stopped):
        process.kill()
        process.wait(30)
    asyncio.run(_starts(home))
    assert asked_in(home) == [OTHERS] * 3
    assert "log/served.spool" not in traces(home)
    erase(home, "--user", USER)  # nobody has got a receipt: so it is asked for again
    assert traces(home) == {}


async def _starts(home: Path) -> None:
    live = wiring.open_live(home, CONFIG)
    await live.start()
    await live.stop()
