"""Text, pictures, attributes and speech: what each finds, what they find together, and what plain ways find.

    python benchmarks/multimodal.py --data FOLDER    measure, write benchmarks/results/multimodal.json (10 minutes)
    python benchmarks/multimodal.py --render         write the figures into docs/reference/benchmarks.md

FOLDER holds grocery_icons, clothing_photos, fashion_sample and spoken_orders. What is learnt is judged on items that it
was not learnt from. An interval is of 95 %, by bootstrap over the items.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import photos
from endcap.encoders.adding import PACKAGED
from endcap.encoders.attributes import AttributeEncoder
from endcap.encoders.bridge import Bridge
from endcap.encoders.fusion import Gate, chosen_weights, joined, late
from endcap.encoders.image import OnnxImageEncoder
from endcap.encoders.prompting import telling_words
from endcap.encoders.speech import SphinxTranscriber, WhisperTranscriber
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.protocols import Transcriber
from endcap.types import FloatArray, IntArray
from machine import Machine, describe
from pages import BENCHMARKS, table, where
from script import parser_of, run

SEED = 20_261_124
FOLDS = 5
REPEATS = 3
"""Of the folds, each time drawn anew."""
NEAREST = 5
MISSING = 0.3
"""Share of the items that lose their text, and, drawn anew, their picture."""
NUMBERS = {"8": "eight", "12": "twelve", "16": "sixteen", "20": "twenty"}

threadpool_limits(1)

Hits = NDArray[np.float64]
"""(n,) by item: 1 where it was right, or the share of the repeats in which it was."""


class Share(msgspec.Struct):
    """A mean over items."""

    mean: float
    low: float
    high: float
    items: int


class Spoken(msgspec.Struct):
    """One way to hear the orders."""

    slots: Share | None
    """Slot values of which every word was heard, over the recordings; None where nothing is heard."""
    items: Share
    """Recordings whose order is among the first five of the menu."""
    first: Share
    """And the first."""
    cpu_seconds: float | None
    """Of one recording, on average."""


class Results(msgspec.Struct):
    """A run. By data set or task, then by way."""

    date: str
    machine: Machine
    sizes: dict[str, int]
    text_to_image: dict[str, dict[str, Share]]
    image_to_text: dict[str, dict[str, Share]]
    classes: dict[str, dict[str, Share]]
    transfer: dict[str, Share]
    fusion: dict[str, dict[str, Share]]
    spoken: dict[str, Spoken]
    menu: int
    image_ms: float
    """CPU of one picture: decoding, and EfficientNet-Lite0."""


def main() -> None:
    """Measure and write."""
    parser = parser_of("multimodal", __doc__)
    parser.add_argument("--data", type=Path, help="the folder of the data sets")
    run(parser, BENCHMARKS, Results, figures, measure)


def measure(work: Path, options: argparse.Namespace) -> Results:
    """All of it, with encoders made in ``work``."""
    date, machine = datetime.now(UTC).isoformat(timespec="seconds"), describe(work)
    for name in ("efficientnet-lite0", "whisper-base"):
        PACKAGED[name](work, name)
    data: Path = options.data
    sets = {
        "grocery_icons": photos.grocery(data / "grocery_icons"),
        "clothing_photos": photos.clothing(data / "clothing_photos"),
        "fashion_sample": photos.fashion(data / "fashion_sample"),
    }
    encoder = OnnxImageEncoder(work / "efficientnet-lite0")
    encoder.load()
    begun = time.process_time()
    seen = {name: encoder.encode(one.images) for name, one in sets.items()}
    image_ms = 1_000 * (time.process_time() - begun) / sum(len(one.images) for one in sets.values())
    plain = {name: photos.by_hand(one.images) for name, one in sets.items()}
    text = UniversalSentenceEncoder()
    told = {name: text.encode([item.title for item in one.items]) for name, one in sets.items() if one.items}
    there: dict[str, dict[str, Share]] = {}
    back: dict[str, dict[str, Share]] = {}
    for name, texts in told.items():
        there[name], back[name] = crossing(texts, {"EfficientNet-Lite0": seen[name], "by hand": plain[name]})
    spoken, menu = hearing(work, photos.orders(data / "spoken_orders"))
    return Results(
        date,
        machine,
        {name: len(one.images) for name, one in sets.items()},
        there,
        back,
        {
            name: known_classes(one.classes, {"EfficientNet-Lite0": seen[name], "by hand": plain[name]})
            for name, one in sets.items()
        },
        transfer(sets["clothing_photos"].classes, told["fashion_sample"], seen, plain),
        fusion(sets["fashion_sample"], told["fashion_sample"], seen["fashion_sample"]),
        spoken,
        menu,
        round(image_ms, 1),
    )


def crossing(texts: FloatArray, ways: dict[str, FloatArray]) -> tuple[dict[str, Share], dict[str, Share]]:
    """Recall@10 from text to picture and back, among all items; no picture's bridge has seen its item."""
    there, back = {}, {}
    for way, images in ways.items():
        found = [across(texts, images, seed) for seed in range(REPEATS)]
        there[way] = share(np.mean([first_ten(texts @ one.T) for one in found], axis=0))
        back[way] = share(np.mean([first_ten(one @ texts.T) for one in found], axis=0))
    chance = np.full(len(texts), 10 / len(texts))
    there["chance"], back["chance"] = share(chance), share(chance)
    return there, back


def across(texts: FloatArray, images: FloatArray, seed: int) -> FloatArray:
    """(n, dim) every picture in the texts' space, by a bridge of the other folds."""
    found = np.zeros_like(texts)
    for test in folds(len(texts), seed):
        rest = np.setdiff1d(np.arange(len(texts)), test)
        found[test] = Bridge().fit(images[rest], texts[rest]).across(images[test])
    return found


def folds(n: int, seed: int) -> list[IntArray]:
    """The rows in parts of nearly one size."""
    order = np.random.default_rng(SEED + seed).permutation(n).astype(np.int32)
    return np.array_split(order, FOLDS)


def first_ten(scores: FloatArray) -> Hits:
    """(n,) whether the diagonal of ``scores`` (n, n) is among the ten highest of its row; equal ones count against."""
    own = np.diag(scores)[:, np.newaxis]
    found: Hits = ((scores >= own).sum(axis=1) <= 10).astype(np.float64)
    return found


def share(hits: NDArray[np.floating | np.bool_]) -> Share:
    """The mean, and its interval."""
    rng = np.random.default_rng(SEED)
    means = [hits[rng.integers(0, hits.size, hits.size)].mean() for _ in range(1_000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Share(round(float(hits.mean()), 4), round(float(low), 4), round(float(high), 4), hits.size)


def known_classes(classes: Sequence[str], ways: dict[str, FloatArray]) -> dict[str, Share]:
    """Whether the nearest others name an item's class, over the items that are not alone in theirs."""
    names, numbers = np.unique(classes, return_inverse=True)
    counts = np.bincount(numbers)
    judged = np.flatnonzero(counts[numbers] > 1)
    found = {}
    for way, vectors in ways.items():
        cosines = vectors @ vectors.T
        np.fill_diagonal(cosines, -np.inf)
        found[way] = share(voted(cosines[judged], numbers, len(names)) == numbers[judged])
    commonest = numbers[judged] == np.argmax(counts)
    return {**found, "the commonest class": share(commonest.astype(np.float64))}


def voted(scores: FloatArray, numbers: NDArray[np.intp], n_classes: int) -> NDArray[np.intp]:
    """(q,) the class of the nearest of (q, n) scores, each vote as heavy as its score lies over the best that lost."""
    found = np.empty(len(scores), np.intp)
    for row, values in enumerate(scores):
        near = np.argsort(-values, kind="stable")[: NEAREST + 1]
        weights = values[near[:-1]] - values[near[-1]] + 1e-6
        found[row] = np.argmax(np.bincount(numbers[near[:-1]], weights, n_classes))
    return found


def transfer(
    classes: Sequence[str], texts: FloatArray, seen: dict[str, FloatArray], plain: dict[str, FloatArray]
) -> dict[str, Share]:
    """Precision@10 of the classes' names, typed, over photos without titles; the bridge is of another shop's items."""
    names = sorted(set(classes))
    typed = UniversalSentenceEncoder().encode([name.replace("outwear", "jacket") for name in names])
    found = {}
    for way, vectors in (("EfficientNet-Lite0", seen), ("by hand", plain)):
        bridge = Bridge().fit(vectors["fashion_sample"], texts)
        scores = typed @ bridge.across(vectors["clothing_photos"]).T  # (classes, photos)
        best = np.argsort(-scores, axis=1)[:, :10]
        right = [[classes[one] == name for one in row] for name, row in zip(names, best, strict=True)]
        found[way] = share(np.mean(right, axis=1))
    shares = np.array([list(classes).count(name) / len(classes) for name in names])
    return {**found, "chance": share(shares)}


def fusion(shop: photos.Photos, texts: FloatArray, images: FloatArray) -> dict[str, dict[str, Share]]:
    """The class of held-out items by their nearest known ones: each modality alone, and the three ways to fuse them."""
    attributes = AttributeEncoder().encode(shop.items)
    whole = [texts, images, attributes]
    rng = np.random.default_rng(SEED)
    torn = [one.copy() for one in whole]
    for one in torn[:2]:
        one[rng.random(len(one)) < MISSING] = 0.0
    return {
        "everything is there": fused(whole, shop.classes),
        f"{MISSING:.0%} of texts and of pictures missing": fused(torn, shop.classes),
    }


def fused(parts: list[FloatArray], classes: Sequence[str]) -> dict[str, Share]:
    """By way: whether the class was right, over the repeats."""
    _, numbers = np.unique(classes, return_inverse=True)
    judged = np.bincount(numbers)[numbers] > 1
    hits: dict[str, Hits] = {}
    for seed in range(REPEATS):
        for test in folds(len(classes), seed):
            known = np.setdiff1d(np.arange(len(classes)), test)
            for way, scores in ways_to_fuse(parts, numbers, test, known).items():
                right = voted(scores, numbers[known], int(numbers.max()) + 1) == numbers[test]
                hits.setdefault(way, np.zeros(len(classes)))[test] += right / REPEATS
    return {way: share(found[judged]) for way, found in hits.items()}


def ways_to_fuse(
    parts: list[FloatArray], numbers: NDArray[np.intp], test: IntArray, known: NDArray[np.intp]
) -> dict[str, FloatArray]:
    """(test, known) scores by way."""
    alone = dict(zip(("text", "image", "attributes"), parts, strict=True))
    found = {way: one[test] @ one[known].T for way, one in alone.items()}
    singles = list(found.values())
    side = joined(parts, (1.0, 1.0, 1.0))
    found["joined, equal weights"] = side[test] @ side[known].T
    pairs = companions(numbers[known])
    weights = chosen_weights([one[known] for one in parts], *pairs)
    chosen = joined(parts, weights)
    found["joined, weights chosen on the known"] = chosen[test] @ chosen[known].T
    texts, images, attributes = parts
    whole = [
        Bridge().fit(images[known], texts[known]).filled(texts, images),
        Bridge().fit(texts[known], images[known]).filled(images, texts),
        attributes,
    ]
    bridged = joined(whole, weights)
    found["the same, gaps filled by bridges"] = bridged[test] @ bridged[known].T
    for way, given in (("gate", parts), ("gate, gaps filled by bridges", whole)):
        gated = Gate(seed=SEED).fit([one[known] for one in given], *pairs).fused(given)
        found[way] = gated[test] @ gated[known].T
    has = np.stack([one[known].any(axis=1) for one in parts], axis=1)
    found["late"] = np.stack(
        [
            late([one[row] for one in singles], has & [bool(part[place].any()) for part in parts], weights)
            for row, place in enumerate(test)
        ]
    )
    return found


def companions(numbers: NDArray[np.intp]) -> tuple[IntArray, IntArray]:
    """Pairs of rows of one class: each with the next one of its class."""
    order = np.argsort(numbers, kind="stable")
    same = numbers[order[:-1]] == numbers[order[1:]]
    return order[:-1][same].astype(np.int32), order[1:][same].astype(np.int32)


def hearing(work: Path, orders: Sequence[photos.Order]) -> tuple[dict[str, Spoken], int]:
    """The orders by each listener, and how many lines the menu has."""
    menu = sorted({order.title for order in orders})
    words = telling_words(menu)
    whisper, sphinx = WhisperTranscriber(work / "whisper-base", "en"), SphinxTranscriber()
    text = UniversalSentenceEncoder()
    lines = text.encode(menu)

    def searched(said: Sequence[str]) -> tuple[Share, Share]:
        best = np.argsort(-(text.encode(said) @ lines.T), axis=1)[:, :5]
        right = np.array([[menu[one] == order.title for one in row] for order, row in zip(orders, best, strict=True)])
        return share(right.max(axis=1)), share(right[:, 0])

    def judged(listener: Transcriber, expected: Sequence[str]) -> Spoken:
        listener.transcribe(orders[0].audio, expected)  # loads it
        begun = time.process_time()
        heard = [listener.transcribe(order.audio, expected) for order in orders]
        seconds = (time.process_time() - begun) / len(orders)
        slots = np.array([slots_heard(order, said) for order, said in zip(orders, heard, strict=True)])
        return Spoken(share(slots), *searched(heard), round(seconds, 2))

    chance = [share(np.full(len(orders), k / len(menu))) for k in (5, 1)]
    return {
        "Whisper base, the menu's words as its prompt": judged(whisper, words),
        "Whisper base, no prompt": judged(whisper, ()),
        "PocketSphinx, a grammar of the menu's words": judged(sphinx, words),
        "the order's own line, typed": Spoken(None, *searched([order.title for order in orders]), None),
        "chance": Spoken(None, chance[0], chance[1], None),
    }, len(menu)


def slots_heard(order: photos.Order, said: str) -> float:
    """The share of the order's slot values of which every word was heard, numbers in letters or digits."""
    words = {NUMBERS.get(word, word) for word in re.findall(r"[a-z]+|\d+", said.lower())}
    return float(np.mean([set(value.lower().split()) <= words for value in order.slots.values()]))


def figures(results: Results) -> str:
    """As tables of docs/reference/benchmarks.md."""
    found = [where(results.date, results.machine)]
    for name, texts in results.text_to_image.items():
        back = results.image_to_text[name]
        rows = [(way, shown(one), shown(back[way])) for way, one in texts.items()]
        found.append(table((f"{name}: recall@10 of {results.sizes[name]:,}", "text to image", "image to text"), rows))
    for name, ways in results.classes.items():
        head = f"{name}: class by the {NEAREST} nearest, {ways['by hand'].items:,} items", "right"
        found.append(table(head, [(way, shown(one)) for way, one in ways.items()]))
    head = "class names typed, over clothing_photos; bridge of fashion_sample", "precision@10"
    found.append(table(head, [(way, shown(one)) for way, one in results.transfer.items()]))
    whole, *others = results.fusion.values()
    kinds = [(way, shown(one), *(shown(other[way]) for other in others)) for way, one in whole.items()]
    found.append(table(("fashion_sample: class of held-out items", *results.fusion), kinds))
    found.append(
        table((f"spoken_orders, a menu of {results.menu}", *HEARD), list(map(said_of, results.spoken.items())))
    )
    return "\n".join(found).replace("\n\n\n", "\n\n") + f"\nA picture costs {results.image_ms:g} ms of CPU.\n"


HEARD = ("slot values", "item in the first 5", "first", "CPU seconds")


def said_of(named: tuple[str, Spoken]) -> tuple[str, ...]:
    """One row of the last table."""
    way, one = named
    slots = "" if one.slots is None else shown(one.slots)
    seconds = "" if one.cpu_seconds is None else f"{one.cpu_seconds:.2f}"
    return way, slots, shown(one.items), shown(one.first), seconds


def shown(one: Share) -> str:
    """Mean and interval."""
    return f"{one.mean:.2f} ({one.low:.2f} to {one.high:.2f})"


if __name__ == "__main__":
    main()
