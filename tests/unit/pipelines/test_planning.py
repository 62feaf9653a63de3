"""The plan: arithmetic, what a log holds, what a machine has, and a server that is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from endcap import wiring
from endcap.catalog.items import parse_change
from endcap.config import Home
from endcap.errors import HomeError
from endcap.events.log import to_record
from endcap.events.schema import Event
from endcap.events.served import Served
from endcap.interfaces.cli import serve as serve_module
from endcap.interfaces.cli.main import main
from endcap.pipelines.planning import COSTS, Cost, Size, available_memory, check_fits, plan, size_of
from endcap.types import Activation


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three items, one of them changed; four users and a visitor; seven events."""
    log = wiring.open_log(tmp_path)
    log.append([to_record(parse_change("put", {"item_id": one, "title": "chair"}), 0) for one in ("a", "b", "c", "a")])
    log.append([to_record(Event("view", n, f"e{n}", f"u{n % 4}", item_id="a")) for n in range(6)])
    log.append([to_record(Event("view", 9, visitor_id="u1", item_id="a")), to_record(Activation("x"), 0)])
    log.close()
    return tmp_path


def test_a_cost_is_a_sum_over_what_there_is() -> None:
    assert Cost(1_000, 100, 10, 1).of(Size(2, 3, 4)) == 1_000 + 200 + 30 + 4


def test_a_plan_names_everything_and_grows_with_each_part() -> None:
    small = plan(Size(1_000, 1_000, 10_000))
    assert small.keys() == COSTS.keys()
    assert small["vectors"] - plan(Size(0, 0, 0))["vectors"] == pytest.approx(1_000 * 2_068, rel=0.02)  # 512 float32
    for larger in (Size(10_000, 1_000, 10_000), Size(1_000, 50_000, 10_000), Size(1_000, 1_000, 500_000)):
        assert plan(larger)["server"] > small["server"]
    assert plan(Size(1_000, 1_000, 500_000))["log"] > 10 * small["log"]


def test_served_lists_are_part_of_the_log_and_of_nothing_else() -> None:
    without, with_lists = plan(Size(100, 100, 1_000)), plan(Size(100, 100, 1_000, 50_000))
    assert with_lists["log"] - without["log"] == 50_000 * COSTS["log"].served > 0
    assert {name: with_lists[name] for name in without if name != "log"} == {
        name: without[name] for name in without if name != "log"
    }


def test_served_lists_of_a_home_are_counted(home: Path) -> None:
    log = wiring.open_log(home)
    log.append([to_record(Served(f"r{n}", n, 7, "m", (0, 1), {"recipe": "for-you"})) for n in range(4)])
    log.close()
    assert size_of(Home(home)) == Size(3, 5, 7, lists=4)


def test_lists_a_day_are_kept_as_long_as_the_home_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text("[serve]\nkeep_served_days = 2.5\n")
    asked = ["plan", "--items", "10", "--users", "10", "--lists", "1000", "--json"]
    assert main([*asked, "--home", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out)["lists"] == 2_500
    assert main([*asked, "--home", str(tmp_path / "none")]) == 0
    assert json.loads(capsys.readouterr().out)["lists"] == 30_000  # the default is 30 days


def test_the_size_of_a_home_is_counted_from_its_log(home: Path) -> None:
    assert size_of(Home(home)) == Size(items=3, users=5, events=7)


def test_a_home_without_a_log_is_empty(tmp_path: Path) -> None:
    assert size_of(Home(tmp_path)) == Size(0, 0, 0)
    check_fits(Home(tmp_path), plan(Size(0, 0, 0))["server"])


def test_a_log_that_needs_more_than_there_is_is_refused_in_one_line(home: Path) -> None:
    exactly = plan(Size(3, 5, 7))["server"]
    check_fits(Home(home), exactly)
    with pytest.raises(HomeError, match=r"holds 3 items, 5 users and 7 events: serving takes about .* GB of memory"):
        check_fits(Home(home), exactly - 1)


def test_a_log_that_cannot_be_too_large_is_not_counted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("endcap.pipelines.planning.count", lambda path: pytest.fail(f"{path} was scanned"))
    check_fits(Home(home), plan(Size(12, 12, 12))["server"])


def machine(folder: Path, meminfo: str, limit: str | None = None) -> tuple[Path, Path]:
    proc, cgroup = folder / "proc", folder / "cgroup"
    proc.mkdir()
    cgroup.mkdir()
    (proc / "meminfo").write_text(meminfo)
    if limit is not None:
        (cgroup / "memory.max").write_text(f"{limit}\n")
        (cgroup / "memory.current").write_text("3000000\n")
        (cgroup / "memory.stat").write_text("anon 5\ninactive_file 1000000\nactive_file 7\n")
    return proc, cgroup


@pytest.mark.parametrize(
    ("limit", "available"),
    [(None, 8_000 * 1024), ("max", 8_000 * 1024), ("5000000", 3_000_000), ("1000000", 0), ("99999999", 8_000 * 1024)],
)
def test_the_smaller_of_machine_and_container_counts(tmp_path: Path, limit: str | None, available: int) -> None:
    proc, cgroup = machine(tmp_path, "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n", limit)
    assert available_memory(proc, cgroup) == available


def test_a_machine_that_does_not_say_refuses_nobody(tmp_path: Path) -> None:
    assert available_memory(tmp_path / "proc", tmp_path / "cgroup") > 10**15


def test_the_command_plans_what_is_asked_or_what_is_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--items", "1000", "--users", "500", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["items"], told["users"], told["events"]) == (1_000, 500, 10_000)
    assert told["bytes"] == plan(Size(1_000, 500, 10_000))
    assert main(["plan", "--home", str(home)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("3 items, 5 users, 7 events, 0 served lists\nmemory  server ")
    assert "enough for the server." in shown
    assert main(["plan", "--items", "1000"]) == 2
    assert "--items and --users go together" in capsys.readouterr().err


def test_a_server_that_cannot_fit_does_not_start(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_module, "available_memory", lambda: 1_000_000)
    assert main(["serve", "--home", str(home), "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "of memory, and 0.0 GB is available" in said
