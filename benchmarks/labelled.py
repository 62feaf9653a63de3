"""Queries of the demo shop, each with words of which a title that answers it holds one. Chosen before any figure."""

from __future__ import annotations

import re

import polars as pl

from endcap.catalog.demo import demo_lines

ENGLISH = {
    "christmas tree ornament": "CHRISTMAS|XMAS",
    "heart decoration": "HEART",
    "something to drink tea from": "TEA|MUG|CUP",
    "timepiece for the wall": "CLOCK",
    "candle holder": "CANDLE|T-LIGHT|TEALIGHT",
    "lunch container": "LUNCH",
    "toy for cats": "CAT",
    "jewelry": "NECKLACE|BRACELET|EARRING|RING|JEWEL",
    "cake baking": "CAKE|BAK",
    "doorstop": "DOOR",
    "photo frame": "FRAME",
    "hot water bottle": "HOT WATER BOTTLE",
    "bunny": "RABBIT|BUNNY",
    "keeping the rain off": "UMBRELLA|PARASOL|RAIN",
    "sewing kit": "SEWING|NEEDLE|THREAD|BUTTON",
    "looking glass": "MIRROR",
}
CHINESE = {
    "红色杯子": "MUG|CUP",
    "圣诞装饰": "CHRISTMAS|XMAS",
    "蜡烛": "CANDLE|T-LIGHT|TEALIGHT",
    "项链": "NECKLACE",
    "手提袋": "BAG",
    "相框": "FRAME",
    "兔子": "RABBIT|BUNNY",
    "挂钟": "CLOCK",
    "雨伞": "UMBRELLA|PARASOL",
    "镜子": "MIRROR",
    "热水袋": "HOT WATER BOTTLE",
    "午餐盒": "LUNCH",
    "生日贺卡": "BIRTHDAY|CARD",
    "蛋糕模具": "CAKE|BAK|MOULD",
    "玩具": "TOY|GAME|DOLL|PUZZLE",
    "毛巾": "TOWEL",
}


def titles() -> list[str]:
    """Every product's title, once: the one that its code bears most often."""
    title = pl.col("Description").str.strip_chars()
    products = demo_lines().filter(pl.col("StockCode").str.contains(r"^\d{5}"), title == title.str.to_uppercase())
    counts = products.group_by("StockCode", title).len().sort(["len", "Description"], descending=[True, False])
    best: list[str] = counts.unique("StockCode", keep="first").sort("StockCode")["Description"].to_list()
    return sorted(set(best))


def answers(title: str, words: str) -> bool:
    """Whether a word of ``title`` begins as one of ``words`` does."""
    return re.search(rf"\b({words})", title) is not None
