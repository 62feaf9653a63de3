"""Endcap inside a Python program, without a server: items and events in, a list out.

Run it with the home folder to make as its argument: python examples/embedded.py /tmp/camping-shop
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

import endcap

HERE = Path(__file__).parent / "first-shop"


def main(home: str) -> None:
    """Fills the shop at ``home``, trains, and prints a list for one user."""
    shop = endcap.open(home)
    shop.add_items(pl.read_csv(HERE / "items.csv"))
    shop.add_events(pl.read_csv(HERE / "events.csv").filter(pl.col("time") < "2099"))
    shop.train()
    print(shop.recommend(user_id="ada", k=3))  # noqa: T201  # an example is there to be looked at


if __name__ == "__main__":
    main(sys.argv[1])
