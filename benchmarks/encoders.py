"""Encoders of text: speed, memory, agreement with torch, what they find; and a catalogue that is killed half way.

Each encoder runs in a process of its own, all of them in turn and twice, and the better figure counts. Speeds are of
CPU time, on one thread. The base of the ratios is MiniLM by ONNX Runtime in float32. Encoders of a home's folder are
taken along: `--home`; without it those of the packages are made (they must be installed, with torch).

Precision: of the five titles nearest to each of 16 English and 16 Chinese queries (labelled.py), how many hold a word
that was meant, among all titles of the demo shop.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from msgspec import Struct

from endcap.config import Config, Home
from endcap.encoders.adding import PACKAGED
from endcap.encoders.cache import BATCH, VectorStore
from endcap.encoders.folder import TORCH, folder_names, read_folder
from endcap.encoders.onnx import OnnxTextEncoder
from endcap.encoders.registry import BUILT_IN, TextEncoder, open_text
from endcap.encoders.tokens import Tokens
from endcap.errors import EndcapError
from endcap.types import FloatArray
from labelled import CHINESE, ENGLISH, answers, titles
from machine import Machine, describe
from pages import BENCHMARKS, table, where
from script import parser_of, run

BASE = "minilm-l6-v2"
K = 5
ROUNDS = 2
AGREED = 100
"""Titles whose vectors are compared with torch's."""


class Measured(Struct):
    """One encoder."""

    name: str
    dim: int
    megabytes: float
    """Of what is served, on the disk; 0 for what is built in."""
    load_seconds: float
    rss_mb: float
    """More than before it was loaded, after everything was encoded."""
    titles_per_second: float
    """Of CPU time, through ``encode`` of 256 at a time."""
    p50_ms: float
    """Of CPU time, one title at a time."""
    precision_english: float
    precision_chinese: float
    cosine_mean: float | None
    """To the vectors of torch; None where the folder has no torch part."""
    cosine_min: float | None


class Killed(Struct):
    """A catalogue that is encoded into a store by a process that is killed, and by another one after it."""

    encoder: str
    titles: int
    kept: int
    """Vectors that were in the file when the first process was dead."""
    encoded_again: int
    """That the second process encoded, of those that the first had kept: what was lost."""
    seconds: float
    """Of both processes."""
    titles_per_second: float
    """Of wall time, of both."""
    changed: int
    """Texts that were encoded after one title was changed."""
    change_seconds: float
    """Until all vectors of the changed catalogue are at hand, most of them from the file."""
    megabytes: float
    """Of the file."""


class Results(Struct):
    """One run."""

    date: str
    machine: Machine
    titles: int
    encoders: list[Measured]
    killed: Killed


def measure_one(home: Path, name: str, texts: list[str], count: int) -> Measured:
    """One encoder, in this process."""
    before, begun = _resident_mb(), time.perf_counter()
    encoder = open_text(home, Config(), name)
    encoder.load()
    encoder.encode(["ready"])
    loaded = time.perf_counter() - begun
    vectors = _encoded(encoder, texts)
    rss = _resident_mb() - before
    sample = [texts[place] for place in np.random.default_rng(0).permutation(len(texts))[:count]]
    start = time.process_time()
    _encoded(encoder, sample)
    speed = len(sample) / (time.process_time() - start)
    singles = []
    for text in sample[:200]:
        start = time.process_time()
        encoder.encode([text])
        singles.append((time.process_time() - start) * 1_000)
    asking = open_text(home, Config(), name, query=True)
    mean, least = _agreement(home, name, sample[:AGREED])
    return Measured(
        name=name,
        dim=encoder.dim,
        megabytes=0.0 if name in BUILT_IN else round(_size(Home(home).encoders / name), 1),
        load_seconds=round(loaded, 2),
        rss_mb=round(rss),
        titles_per_second=round(speed, 1),
        p50_ms=round(float(np.median(singles)), 3),
        precision_english=_precision(asking, vectors, texts, ENGLISH),
        precision_chinese=_precision(asking, vectors, texts, CHINESE),
        cosine_mean=mean,
        cosine_min=least,
    )


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _encoded(encoder: TextEncoder, texts: list[str]) -> FloatArray:
    return np.concatenate([encoder.encode(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)])


def _precision(asking: TextEncoder, vectors: FloatArray, texts: list[str], queries: Mapping[str, str]) -> float:
    """Of the K nearest to each query."""
    found = []
    for text, words in queries.items():
        best = np.argsort(-(vectors @ asking.encode([text])[0]), kind="stable")[:K]
        found += [answers(texts[row], words) for row in best]
    return round(float(np.mean(found)), 3)


def _size(folder: Path) -> float:
    served = [path for path in folder.rglob("*") if path.is_file() and TORCH not in path.parts]
    return sum(path.stat().st_size for path in served) / 1e6


def _agreement(home: Path, name: str, texts: list[str]) -> tuple[float | None, float | None]:
    folder = Home(home).encoders / name
    if not (folder / TORCH).is_dir():
        return None, None
    from endcap.encoders import export  # noqa: PLC0415  # torch, after the memory was taken

    spec = read_folder(folder)
    tokens = Tokens(folder, spec)
    numbers = [tokens.numbers(text) for text in texts]
    theirs = export.torch_vectors(export.open_transformer(folder / TORCH), numbers, spec.pooling)
    cosines = (OnnxTextEncoder(folder).encode(texts) * theirs).sum(axis=1)
    return round(float(cosines.mean()), 5), round(float(cosines.min()), 5)


def catalogue(count: int, groceries: Path | None) -> list[str]:
    """``count`` different titles: the demo's, the grocer's, then pairs of one of the demo's and a product type."""
    own = titles()
    types: list[str] = ["SET OF 2", "SET OF 3", "SMALL", "LARGE", "BLUE", "GREEN"]
    found = dict.fromkeys(own)
    if groceries is not None:
        products = pl.read_parquet(groceries / "products_zstd.parquet")
        columns = ["brand", "product_category", "product_type", "package_size"]
        joined = products.select(pl.concat_str([pl.col(name) for name in columns], separator=" ", ignore_nulls=True))
        found |= dict.fromkeys(joined.to_series().to_list())
        types = products["product_type"].drop_nulls().unique().sort().to_list()
    for kind in types:
        found |= dict.fromkeys(f"{title}, {kind}" for title in own)
        if len(found) >= count:
            break
    return [title for title in found if title][:count]


def fill(home: Path, name: str, file: Path) -> None:
    """Encodes the texts of ``file`` (JSON) into the home's store; says how many there were to encode."""
    asked = [0]
    store = VectorStore(Home(home).vectors, open_text(home, Config(), name))
    store.vectors(json.loads(file.read_bytes()), lambda _, total: asked.append(total))
    print(asked[-1])


def killed(home: Path, name: str, texts: list[str]) -> Killed:
    """Half of ``texts``, kill -9, the rest; then one other title."""
    file = home / "texts.json"
    file.write_text(json.dumps(texts))
    encoder = open_text(home, Config(), name)
    path = VectorStore(Home(home).vectors, encoder).path
    record = 16 + 4 * encoder.dim + 4
    command = [sys.executable, __file__, "--fill", name, "--home", str(home), "--texts", str(file)]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as first:
        while not (path.exists() and path.stat().st_size > record * len(texts) // 2):
            if first.poll() is not None:
                raise RuntimeError("the first process ended by itself: give more titles")
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)
    kept = path.stat().st_size // record
    asked = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    seconds = time.perf_counter() - begun
    texts[len(texts) // 2] += " (NEW)"
    file.write_text(json.dumps(texts))
    begun = time.perf_counter()
    changed = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    taken = time.perf_counter() - begun
    return Killed(
        name,
        len(texts),
        kept,
        asked + kept - len(texts),
        round(seconds, 1),
        round(len(texts) / seconds, 1),
        changed,
        round(taken, 1),
        round(path.stat().st_size / 1e6, 1),
    )


def measure(work: Path, options: argparse.Namespace) -> Results:
    """Every encoder in turn, twice; then the catalogue."""
    machine, home = describe(work), options.home or work
    if options.home is None:
        for known, make in PACKAGED.items():
            try:
                make(Home(home).encoders, known)
            except EndcapError as error:
                print(f"{known} is left out: {error}")
    texts = {name for name in folder_names(Home(home).encoders) if _is_text(Home(home).encoders / name)}
    names = [*BUILT_IN, *sorted(texts)]
    (work / "titles.json").write_text(json.dumps(titles()))
    rounds = [[_in_process(home, name, work / "titles.json", options.count) for name in names] for _ in range(ROUNDS)]
    found = [_better(list(tries)) for tries in zip(*rounds, strict=True)]
    store_home = work / "shop"
    store_home.mkdir()
    done = killed(store_home, options.encoder, catalogue(options.titles, options.complete_journey))
    return Results(datetime.now(UTC).isoformat(timespec="seconds"), machine, len(titles()), found, done)


def _is_text(folder: Path) -> bool:
    try:
        return read_folder(folder).modality == "text"
    except EndcapError:
        return False


def _in_process(home: Path, name: str, texts: Path, count: int) -> Measured:
    options = ["--home", str(home), "--texts", str(texts), "--count", str(count)]
    command = [sys.executable, __file__, "--one", name, *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    print(done.stdout.decode().strip(), flush=True)
    return msgspec.json.decode(done.stdout, type=Measured)


def _better(tries: list[Measured]) -> Measured:
    first = tries[0]
    first.titles_per_second = max(one.titles_per_second for one in tries)
    first.p50_ms = min(one.p50_ms for one in tries)
    first.load_seconds = min(one.load_seconds for one in tries)
    return first


def figures(results: Results) -> str:
    """The tables of the page."""
    base = next((one for one in results.encoders if one.name == BASE), results.encoders[0])
    rows = [
        (
            f"`{one.name}`",
            f"{one.dim}",
            f"{one.megabytes:,.0f}" if one.megabytes else "—",
            f"{one.load_seconds:.2f}",
            f"{one.rss_mb:,.0f}",
            f"{one.titles_per_second:,.0f}",
            f"{one.titles_per_second / base.titles_per_second:.2f}",
            f"{one.p50_ms:.2f}",
            f"{base.p50_ms / one.p50_ms:.2f}",
            "—" if one.cosine_mean is None else f"{one.cosine_mean:.4f} / {one.cosine_min:.4f}",
            f"{one.precision_english:.2f}",
            f"{one.precision_chinese:.2f}",
        )
        for one in results.encoders
    ]
    head = ("encoder", "dim", "MB on disk", "load, s", "memory, MB", "titles/s", f"to `{BASE}`", "one title, ms, p50")
    more = (f"`{BASE}` / it", "cosine to torch, mean / least", f"English P@{K}", f"Chinese P@{K}")
    done = results.killed
    text = (
        f"\n{done.titles:,} different titles through `{done.encoder}` into the store, the process killed with `kill "
        f"-9` half way and started again: {done.seconds:,.0f} s, {done.titles_per_second:,.0f} titles/s of wall time. "
        f"{done.kept:,} vectors were kept at the kill, {done.encoded_again} of them encoded again. After one title was "
        f"changed: {done.changed} encoded, all vectors at hand after {done.change_seconds:.1f} s. The file: "
        f"{done.megabytes:,.0f} MB.\n"
    )
    return where(results.date, results.machine) + table((*head, *more), rows) + text


def main() -> None:
    """Measure, or fill the page."""
    parser = parser_of("encoders", __doc__)
    parser.add_argument("--count", type=int, default=1_024, help="titles for the speed")
    parser.add_argument("--titles", type=int, default=100_000, help="of the catalogue that is killed half way")
    parser.add_argument("--encoder", default="use-multilingual-v3-lower", help="that encodes it")
    parser.add_argument("--complete-journey", type=Path, help="the folder of that data set, for more different titles")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--fill", help=argparse.SUPPRESS)
    parser.add_argument("--texts", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        texts = json.loads(options.texts.read_bytes())
        print(msgspec.json.encode(measure_one(options.home, options.one, texts, options.count)).decode())
    elif options.fill:
        fill(options.home, options.fill, options.texts)
    else:
        run(parser, BENCHMARKS, Results, figures, measure)


if __name__ == "__main__":
    main()
