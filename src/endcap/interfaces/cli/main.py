"""The command line: one group, its commands loaded when they are asked for, and the one place where errors end.

Exit status: 0 success; 2 the caller's mistake, said in one line; 1 ours, with the traceback kept; 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module

import click

from endcap.errors import EndcapError

COMMANDS = {
    "demo": ("demo", "Load the demo shop, train, serve it."),
    "init": ("init", "Make a home folder with a commented config.toml."),
    "import": ("importing", "Read items or events from files into the log."),
    "validate": ("importing", "Say what an import would keep, mend and drop."),
    "train": ("train", "Learn a model from the log and activate it."),
    "tune": ("tune", "Find better settings on the shop's past."),
    "describe": ("describe", "Attributes and keywords of items, by a language model."),
    "pretrain": ("pretrain", "Train an encoder on the shop's own text."),
    "compress": ("compress", "Make smaller encoders, and say what each costs."),
    "encoders": ("encoders", "Pretrained models: which there are, adding one, checking one."),
    "evaluate": ("evaluate", "Judge every model on the past."),
    "launch-report": ("launch_report", "Judge a catalogue before there is any event."),
    "serve": ("serve", "Answer over HTTP."),
    "replay": ("replay", "The state of any moment from the log alone, and its digest."),
    "why": ("why", "Why an item was in a list of the past, or why not."),
    "recommend": ("recommend", "One list, without a server."),
    "attribution": ("attribution", "What the lists bring: clicks, purchases, revenue."),
    "plan": ("plan", "Predict the memory and the disk that a shop takes."),
    "export": ("export", "All that is held of a person."),
    "erase": ("erase", "Erase people from all that the home holds."),
    "repair": ("repair", "Find damage in the log, and keep all that can be read."),
    "backup": ("backup", "Write a home, served or not, to one file."),
    "restore": ("backup", "Make a home of such a file."),
}
"""Command -> its module in this package and its line in ``endcap --help``: help must not import the commands."""

_OUTSIDE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


class LazyGroup(click.Group):
    """Imports a command's module only when that command is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"endcap.interfaces.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Print the traceback of an internal error.")
@click.version_option(package_name="endcap")
@click.pass_context
def endcap(ctx: click.Context, debug: bool) -> None:  # noqa: ARG001  # main() reads --debug, whatever fails
    """Endcap, a self-hosted, real-time recommender for online shops.

    `endcap COMMAND --help` describes a command. Everything that a shop has lies in one home folder
    (--home, by default ./endcap-home).
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status. ``arguments`` without the program's name, by default the process's."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status = endcap.main(given, prog_name="endcap", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # the one place where every error ends
        return _status(error, debug="--debug" in given)
    return status if isinstance(status, int) else 0


def _status(error: BaseException, debug: bool) -> int:
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return 130
    if isinstance(error, BrokenPipeError):  # `endcap recommend ... | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    message = _callers_mistake(error)
    if message is None:
        return _ours(error, debug)
    click.echo(f"endcap: {_one_line(message)}", err=True)
    return 2


def _callers_mistake(error: BaseException) -> str | None:
    """What the caller can mend, or None if the fault is ours."""
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, EndcapError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _OUTSIDE:
        return f"{error.filename or 'the disk'}: {error.strerror}: mend that, or name another place"
    return None


def _ours(error: BaseException, debug: bool) -> int:
    what = _one_line(f"{type(error).__name__}: {error}")
    if debug:
        traceback.print_exception(error)
        where = "the traceback is above"
    else:
        handle, where = tempfile.mkstemp(prefix="endcap-", suffix=".log", text=True)
        with os.fdopen(handle, "w", encoding="utf-8") as log:
            traceback.print_exception(error, file=log)
        where = f"the traceback is in {where}"
    click.echo(f"endcap: a fault of ours, please report it: {what} ({where})", err=True)
    return 1


def _usage(error: click.ClickException) -> str:
    message = error.format_message()
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message.removesuffix('.')} (try: {error.ctx.command_path} --help)"
    return message


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
