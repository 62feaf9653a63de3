"""A command of ``endcap`` in a process of its own, so that nobody's list waits for what takes long."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from endcap.errors import EndcapError, OverloadedError

_CALLERS_MISTAKE = 2


def command(arguments: Sequence[str], home: Path) -> list[str]:
    """``endcap`` with ``arguments`` on ``home``, as this process runs it."""
    return [sys.executable, "-m", "endcap.interfaces.cli.main", *arguments, f"--home={home}"]


async def answer_of(
    arguments: Sequence[str], home: Path, seconds: float | None, refused: Callable[[bytes, str], EndcapError]
) -> bytes:
    """What ``endcap`` with ``arguments`` prints. After ``seconds`` it is ended; None: never, not even with the server.

    ``refused`` makes an error of its two outputs where it refuses. Raises OverloadedError where it takes too long.
    """
    process = await asyncio.create_subprocess_exec(
        *command(arguments, home),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=seconds is None,
    )
    try:
        async with asyncio.timeout(seconds):
            out, said = await process.communicate()
    except TimeoutError:
        raise OverloadedError(
            f"no answer within {seconds:g} s: run 'endcap {arguments[0]}' instead, which has no limit"
        ) from None
    finally:
        if process.returncode is None and seconds is not None:
            process.kill()
            await process.wait()
    problem = said.decode(errors="replace")
    if process.returncode == 0:
        return out
    if process.returncode != _CALLERS_MISTAKE:
        raise RuntimeError(f"endcap {arguments[0]} ended with {process.returncode}: {problem}")
    raise refused(out, problem)
