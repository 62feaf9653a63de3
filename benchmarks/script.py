"""What every measuring script does beside measuring: options, a folder to work in, the JSON, the figures of a page."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from pages import fill

RESULTS = Path(__file__).parent / "results"

Results = TypeVar("Results", bound=msgspec.Struct)


def parser_of(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The options of the script ``name``: a home, where the results go, and to write the page only."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a home that endcap demo made; it is copied")
    parser.add_argument("--out", type=Path, default=RESULTS / f"{name}.json")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    return parser


def run(
    parser: argparse.ArgumentParser,
    page: Path,
    kind: type[Results],
    figures: Callable[[Results], str],
    measure: Callable[[Path, argparse.Namespace], Results],
) -> None:
    """Measure in a folder of its own and write the results; with ``--render``, put those of the last run into ``page``.

    The mark of the page is the name of the results' file.
    """
    options = parser.parse_args()
    if options.render:
        fill(page, options.out.stem, figures(msgspec.json.decode(options.out.read_bytes(), type=kind)))
        return
    work = Path(tempfile.mkdtemp(prefix=f"endcap-{options.out.stem}-"))
    try:
        results = measure(work, options)
    finally:
        shutil.rmtree(work)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    print(f"written to {options.out}")
