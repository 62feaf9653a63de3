"""``endcap describe``, and ``endcap train`` with the wording of reasons, against a server over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.backends.chat.chat_server import Server, chat_server

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.config import load_config
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.interfaces.cli.main import main
from endcap.serving.engine import Request
from endcap.types import MS_PER_DAY

SAID = {"A favourite of many": "Loved by many", "In demand this week": "All the rage this week"}


@pytest.fixture
def server() -> Iterator[Server]:
    with chat_server() as found:
        found.behave = lambda task, asked: (
            '{"attributes": {"colour": "red"}}' if "JSON" in task else SAID.get(asked, "see https://x.example")
        )
        yield found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with closing(wiring.open_log(tmp_path)) as log:
        items = [{"item_id": f"i{at}", "title": f"red thing {at}"} for at in range(3)]
        log.append([to_record(parse_change("put", item), 0) for item in items])
        log.append([to_record(Event("view", day * MS_PER_DAY + 1, user_id="u", item_id="i0")) for day in range(30)])
    return tmp_path


def configure(home: Path, server: Server, *uses: str) -> None:
    lines = ["[llm]", f'address = "http://127.0.0.1:{server.port}/v1"', 'model = "m"', f"uses = {json.dumps(uses)}"]
    (home / "config.toml").write_text("\n".join(lines), encoding="utf-8")


def test_items_are_described_and_a_rule_may_ask_for_it(
    home: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(home, server, "attributes")
    assert main(["describe", "--home", str(home), "--limit", "2"]) == 0
    assert capsys.readouterr().out.startswith("Described 2 items;")
    assert main(["describe", "--home", str(home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["described"] == 1
    request = Request("popular", where="colour = 'red'")
    answer = wiring.recommend(home, load_config(home / "config.toml"), request, 40 * MS_PER_DAY)
    assert len(answer.items) == 3


def test_without_a_model_it_says_what_to_set(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "--home", str(home)]) == 2
    assert 'set llm.address, llm.model and llm.uses = ["attributes"]' in capsys.readouterr().err


def test_a_key_that_is_not_there_is_named(home: Path, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    configure(home, server, "attributes")
    with (home / "config.toml").open("a", encoding="utf-8") as file:
        file.write('\nkey_env = "NO_SUCH_KEY"')
    assert main(["describe", "--home", str(home)]) == 2
    assert "llm.key_env names NO_SUCH_KEY, which is not set" in capsys.readouterr().err


def test_reasons_in_the_shops_voice_are_kept_with_the_version_and_served(
    home: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(home, server, "reasons")
    assert main(["train", "--home", str(home)]) == 0
    assert "A reason in the shop's voice: Loved by many" in capsys.readouterr().out
    configure(home, server)  # the version keeps them; nobody is asked again
    asked = len(server.asked)
    answer = wiring.recommend(home, load_config(home / "config.toml"), Request("popular"), 40 * MS_PER_DAY)
    assert answer.items[0].reason == "Loved by many"
    assert len(server.asked) == asked
