"""Search on a third of the demo's real titles: mistyped, shortened and foreign queries find what they mean.

The weight of the blend and the floors were chosen on all titles; these thresholds leave room for the sample.
"""

from __future__ import annotations

import random
from functools import cache
from importlib.resources import as_file, files

import numpy as np
import polars as pl
import pytest

from endcap.encoders.cache import ItemVectors
from endcap.encoders.text import UniversalSentenceEncoder
from endcap.features.text import NgramIndex
from endcap.models.search import Search, SearchConfig
from endcap.types import FloatArray, Query, Vocabulary

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MEANT = {
    "christmas tree ornament": "CHRISTMAS",
    "heart decoration": "HEART",
    "something to drink tea from": "TEA",
    "timepiece for the wall": "CLOCK",
    "candle holder": "CANDLE|T-LIGHT",
    "lunch container": "LUNCH",
    "toy for cats": "CAT",
    "jewelry": "NECKLACE|BRACELET|EARRING|RING|JEWEL",
    "cake baking": "CAKE|BAK",
    "doorstop": "DOOR",
    "photo frame": "FRAME",
    "hot water bottle": "HOT WATER BOTTLE",
    "bunny": "RABBIT|BUNNY",
    "红色杯子": "MUG|CUP",
    "圣诞装饰": "CHRISTMAS|XMAS",
    "蜡烛": "CANDLE",
    "项链": "NECKLACE",
    "手提袋": "BAG",
    "相框": "FRAME",
    "兔子": "RABBIT|BUNNY",
    "挂钟": "CLOCK",
}
"""Queries, and words of which a title that answers them holds one."""


@cache
def titles() -> list[str]:
    """Every third of the products' titles: the one that a code bears most often."""
    with as_file(files("endcap.catalog") / "data" / "online_retail.parquet") as path:
        lines = pl.read_parquet(path, columns=["StockCode", "Description"])
    title = pl.col("Description").str.strip_chars()
    products = lines.filter(pl.col("StockCode").str.contains(r"^\d{5}"), title == title.str.to_uppercase())
    counts = products.group_by("StockCode", title).len().sort(["len", "Description"], descending=[True, False])
    best: list[str] = counts.unique("StockCode", keep="first").sort("StockCode")["Description"].to_list()
    return best[::3]


@cache
def search(meaning: float = SearchConfig().meaning) -> Search:
    """Both extremes, 1 and 0, stand for one half alone."""
    index = NgramIndex()
    for row, title in enumerate(titles()):
        index.add(row, title)
    return Search(item_vectors(), index, Vocabulary(), SearchConfig(meaning=meaning))


@cache
def item_vectors() -> ItemVectors:
    vectors = ItemVectors(UniversalSentenceEncoder.dim)
    vectors.set(np.arange(len(titles()), dtype=np.int32), UniversalSentenceEncoder().encode(titles()))
    return vectors


@cache
def vector(text: str) -> FloatArray:
    encoded: FloatArray = UniversalSentenceEncoder().encode([text])[0]
    return encoded


def found(text: str, k: int, meaning: float = SearchConfig().meaning) -> list[str]:
    ranking = search(meaning).recommend(Query(text=text, vector=vector(text)), k)
    return [titles()[row] for row in ranking.items]


def slip(word: str, random_: random.Random) -> str:
    """One letter too few, too many, wrong, or swapped with the next."""
    place, kind = random_.randrange(len(word) - 1), random_.randrange(4)
    head, here, after, tail = word[:place], word[place], word[place + 1], word[place + 2 :]
    other = random_.choice(LETTERS)
    return head + [after, here + other + after, other + after, after + here][kind] + tail


def mistyped(title: str, random_: random.Random) -> str:
    """Half of the words of four letters and more, at least one, with a slip."""
    words = title.lower().split()
    long = [place for place, word in enumerate(words) if len(word) > 3]
    chosen = [place for place in long if random_.random() < 0.5] or [random_.choice(long)]
    return " ".join(slip(word, random_) if place in chosen else word for place, word in enumerate(words))


def shortened(title: str, random_: random.Random) -> str:
    """Without one word, the others in any order."""
    words = title.lower().split()
    words.pop(random_.randrange(len(words)))
    random_.shuffle(words)
    return " ".join(words)


@cache
def queries(kind: str) -> list[tuple[str, str]]:
    """120 pairs of query and the title it came from."""
    random_ = random.Random(0)
    usable = [title for title in titles() if len(title.split()) > 2 and any(len(word) > 3 for word in title.split())]
    change = {"mistyped": mistyped, "shortened": shortened}[kind]
    return [(change(title, random_), title) for title in random_.sample(usable, 120)]


def recall(kind: str, k: int, meaning: float = SearchConfig().meaning) -> float:
    return float(np.mean([title in found(query, k, meaning) for query, title in queries(kind)]))


def precision(meaning: float = SearchConfig().meaning) -> float:
    hits = [any(word in title for word in words.split("|")) for text, words in MEANT.items()
            for title in found(text, 3, meaning)]  # fmt: skip
    return sum(hits) / (3 * len(MEANT))


@pytest.mark.parametrize(("kind", "first", "tenth"), [("mistyped", 0.95, 0.98), ("shortened", 0.88, 0.98)])
def test_a_title_is_found_by_what_is_left_of_it(kind: str, first: float, tenth: float) -> None:
    assert recall(kind, 1) >= first
    assert recall(kind, 10) >= tenth


def test_each_half_is_worse_than_the_blend_where_the_other_is_needed() -> None:
    assert recall("mistyped", 1) > recall("mistyped", 1, meaning=1.0)
    assert precision() > precision(meaning=0.0) + 0.1


def test_three_nearest_hold_a_word_that_was_meant() -> None:
    assert precision() >= 0.75
    assert np.mean([any(word in title for title in found(text, 3) for word in words.split("|"))
                    for text, words in MEANT.items()]) >= 0.9  # fmt: skip


def test_random_letters_find_little() -> None:
    random_ = random.Random(1)
    typed = ["".join(random_.choices(LETTERS, k=random_.randint(5, 10))) for _ in range(60)]
    lengths = [len(found(text, 20)) for text in ["asdfgh", "qwertyuiop", *typed]]
    assert lengths[:2] == [0, 0]
    assert np.mean(lengths) < 1.0
