"""Where errors end: one line, the right exit status; and help that imports no command."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import click
import pytest

from endcap.errors import DataError
from endcap.interfaces.cli import main as cli
from endcap.interfaces.cli.main import COMMANDS, LazyGroup, main


def failing(error: BaseException) -> click.Command:
    @click.command("fails")
    def fails() -> None:
        raise error

    return fails


def run_failing(monkeypatch: pytest.MonkeyPatch, error: BaseException, *options: str) -> int:
    monkeypatch.setattr(LazyGroup, "get_command", lambda *_: failing(error))
    return main([*options, "fails"])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_the_help_exists_under_its_name(name: str) -> None:
    command = cli.endcap.get_command(click.Context(cli.endcap), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=200)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_a_home(name: str) -> None:
    command = cli.endcap.get_command(click.Context(cli.endcap), name)
    assert command is not None
    for part in command.commands.values() if isinstance(command, click.Group) else [command]:
        assert "--home" in [option for parameter in part.params for option in parameter.opts]


def test_the_callers_mistake_is_one_line_and_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_failing(monkeypatch, DataError("orders.csv: no column\nnamed item_id")) == 2
    assert capsys.readouterr().err == "endcap: orders.csv: no column named item_id\n"


def test_a_wrong_option_is_one_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--hme", "x"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("endcap: No such option '--hme'")
    assert line.endswith("(try: endcap init --help)")


def test_an_unknown_command_is_one_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recomend"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "recomend" in line


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_place_that_cannot_be_written_is_the_callers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    assert run_failing(monkeypatch, OSError(code, "No way", "/srv/shop/log")) == 2
    assert capsys.readouterr().err == "endcap: /srv/shop/log: No way: mend that, or name another place\n"


def test_our_fault_is_one_line_and_1_and_keeps_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_failing(monkeypatch, ZeroDivisionError("two\nlines")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    (log,) = tmp_path.iterdir()
    assert line == (
        f"endcap: a fault of ours, please report it: ZeroDivisionError: two lines (the traceback is in {log})"
    )
    assert "Traceback (most recent call last)" in log.read_text()


def test_debug_prints_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_failing(monkeypatch, ZeroDivisionError("no"), "--debug") == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted_is_130_and_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    assert run_failing(monkeypatch, error) == 130
    assert capsys.readouterr().err.strip() == ""


def test_no_command_prints_the_help_and_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)


def test_a_reader_that_has_enough_is_no_fault() -> None:
    command = f"{sys.executable} -c 'import sys; from endcap.interfaces.cli.main import main; sys.exit(main())'"
    done = subprocess.run(
        f"{command} --help | head -c 1", shell=True, capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("U", "")


def test_help_imports_nothing_heavy() -> None:
    """What the help needs is click; numpy alone would double its start."""
    code = (
        "import sys; from endcap.interfaces.cli.main import main; main(['--help']); "
        "print([name for name in ('numpy', 'polars', 'scipy', 'starlette', 'endcap.wiring') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
