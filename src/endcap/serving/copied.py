"""Work on a copy of this process: the copy sees the memory as it was at one moment, and nobody waits for it.

The kernel copies a page only when one of the two changes it (fork, copy on write); Redis saves its data like this. The
copy has one thread. It must touch nothing that another thread of ours may hold at the fork: no log, no SQLite, no event
loop, no logging; Python and the C library mend their own locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import select
import signal
import warnings
from collections.abc import Callable
from typing import NoReturn

NICENESS = 10
"""The copy yields to the server where both want a core."""
_REASON = 500
_STANDARD = 3
"""Standard input, output and error stay open; from here on all is closed."""
_TOO_LATE = "it took longer than {:g} s and was ended"


async def in_a_copy(work: Callable[[], None], seconds: float) -> str | None:
    """Do ``work`` in a copy of this process; why it failed, or None. After ``seconds`` it is ended.

    The fork itself holds the loop up for some milliseconds. Raises OSError where the kernel has no room for a copy.
    """
    pid, reader = _fork(work)
    handle = os.pidfd_open(pid)  # a number of a process may be given again, this may not
    result = asyncio.ensure_future(asyncio.to_thread(_result, pid, reader, handle, seconds))
    try:
        return await asyncio.shield(result)
    except asyncio.CancelledError:
        _end(handle)
        await result
        raise
    finally:
        os.close(handle)


def _fork(work: Callable[[], None]) -> tuple[int, int]:
    """The copy's number, and a pipe that ends with it, after its reason if it fails."""
    reader, writer = os.pipe()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads, by Python 3.12: see above
            pid = os.fork()
    except BaseException:
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        _be_the_copy(work, writer)
    os.close(writer)
    return pid, reader


def _be_the_copy(work: Callable[[], None], writer: int) -> NoReturn:
    status = 1
    try:
        gc.disable()  # it would write into every object, so that the kernel copied every page
        signal.set_wakeup_fd(-1)  # a signal of the copy is not one of the server
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the server's to hear
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Open here, a connection that the server closes would stay open, and its lock on the home outlive it.
        os.closerange(_STANDARD, writer)
        os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
        os.nice(NICENESS)
        work()
        status = 0
    except BaseException as error:
        os.write(writer, f"{type(error).__name__}: {error}"[:_REASON].encode(errors="replace"))
    finally:
        os._exit(status)  # no buffer, no handler at exit and no destructor of the server's runs twice


def _result(pid: int, reader: int, handle: int, seconds: float) -> str | None:
    """Waits for the copy; why it failed, or None. In a thread."""
    try:
        waiting = select.poll()  # select() takes no descriptor above 1023, which a busy server has
        waiting.register(reader, select.POLLIN)
        in_time = bool(waiting.poll(seconds * 1000))
        if not in_time:
            _end(handle)
        said = b""
        while part := os.read(reader, 4096):
            said += part
    finally:
        os.close(reader)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not in_time:
        return _TOO_LATE.format(seconds)
    if status == 0:
        return None
    return said.decode() or f"it ended with status {status} and said nothing"


def _end(handle: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, signal.SIGKILL)
