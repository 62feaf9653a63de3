"""The tutorial's commands, in their order, and the example program: they run as a reader would run them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.readme import blocks
from tests.docs.running import ENDCAP, serving

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-shop.md"


def run(command: str, folder: Path) -> str:
    """Runs a line of the tutorial, with its home in ``folder``."""
    words = [str(folder / "first-shop") if word == "first-shop" else word for word in shlex.split(command)]
    done = subprocess.run([str(ENDCAP), *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    wrong = 2 if "events.csv" in command else 0  # one row is broken on purpose
    assert done.returncode == wrong, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder that the tutorial was followed in, and what each command printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    lines = [line for body in blocks(TUTORIAL, "bash") for line in body.splitlines()]
    commands = [line for line in lines if line.startswith(".venv/bin/endcap") and " serve " not in line]
    return folder, {command: run(command, folder) for command in commands}


def printed(shop: tuple[Path, dict[str, str]], part: str) -> str:
    (text,) = [text for command, text in shop[1].items() if part in command]
    return text


def test_the_broken_row_is_shown_and_the_good_ones_are_kept(shop: tuple[Path, dict[str, str]]) -> None:
    assert "more than a day in the future" in printed(shop, "endcap validate")
    assert "118 events stored" in printed(shop, "import events")


def test_the_lists_are_about_what_was_asked(shop: tuple[Path, dict[str, str]]) -> None:
    assert printed(shop, "--user-id ada").count("\n") == 4
    assert "Tent for two persons" in printed(shop, "--item-id tent-2")  # the reason names what was asked about
    assert "bag-" in printed(shop, "something warm to sleep in")


def test_the_tutorials_curl_lines_are_answered(shop: tuple[Path, dict[str, str]]) -> None:
    (script,) = [body for body in blocks(TUTORIAL, "bash") if body.startswith("curl")]
    with serving(shop[0] / "first-shop") as base:
        script = script.replace("http://127.0.0.1:8080", base).replace("curl -s", "curl -sS --fail-with-body")
        done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True, timeout=60)
    assert '"accepted":1' in done.stdout
    assert "gas-230" in done.stdout  # who looks at a stove is shown the cartridges for it


def test_the_embedded_example_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "embedded.py", tmp_path / "shop"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "item_id" in done.stdout
