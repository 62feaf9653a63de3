"""A real server in a process of its own, for tests that do something to it."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
from tests.docs.running import ENDCAP, free_port


@contextlib.contextmanager
def server(
    home: Path, said: Path | None = None, health: str = "ready", endcap: Sequence[str | Path] = (ENDCAP,)
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """``endcap serve`` on ``home`` and its address; killed at the end if it lives.

    ``said``: where what it prints goes. ``health``: ``ready``, or ``live`` for a shop without a trained model.
    ``endcap``: what is run in its place.
    """
    base = f"http://127.0.0.1:{free_port()}"
    said = said or home.parent / "serve.log"
    with said.open("w") as out:
        process = subprocess.Popen(
            [*endcap, "serve", "--home", home, "--port", base.rpartition(":")[2]], stdout=out, stderr=out
        )
    try:
        until = time.monotonic() + 60
        while not answers(base, health):
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < until, said.read_text()
            time.sleep(0.02)
        yield process, base
    finally:
        process.kill()
        process.wait(30)


def answers(base: str, health: str) -> bool:
    """Whether the server there says so."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{base}/health/{health}").status_code == 200
    return False
