"""A real server on a small real shop: the last weeks of the demo's invoices, in a home of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl

from endcap.catalog.demo import demo_lines

ENDCAP = Path(sys.executable).with_name("endcap")
FIRST_DAY = "2011-11-21"


def endcap(*arguments: str | Path) -> str:
    """What the command prints. Raises RuntimeError where it fails."""
    done = subprocess.run([ENDCAP, *arguments], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"endcap {arguments}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def make_small_shop(home: Path) -> None:
    """The demo's invoices from FIRST_DAY on, imported and trained with the commands of the README."""
    lines = demo_lines()
    file = home.parent / "invoices.parquet"
    lines.filter(pl.col("InvoiceDate").cast(pl.String) >= FIRST_DAY).write_parquet(file)
    endcap("init", "--home", home)
    endcap("import", "items", file, "--home", home)
    endcap("import", "events", file, "--home", home)
    endcap("train", "--home", home)


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(home: Path) -> Iterator[str]:
    """The address of ``endcap serve`` on ``home``, ready; stopped at the end."""
    base = f"http://127.0.0.1:{free_port()}"
    log = home.parent / "serve.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [ENDCAP, "serve", "--home", home, "--port", base.rpartition(":")[2]], stdout=out, stderr=out
        )
    try:
        _wait(server, base, log)
        yield base
    finally:
        server.terminate()
        server.wait(30)


def _wait(server: subprocess.Popen[bytes], base: str, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{base}/health/ready").status_code == 200:
                return
        time.sleep(0.05)
    raise RuntimeError(f"the server was not ready within 60 s:\n{log.read_text()}")
