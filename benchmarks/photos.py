"""What multimodal.py reads: pictures with texts and classes, spoken orders; features made by hand to compare with."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from endcap.catalog.items import Item
from endcap.encoders.pictures import thumbnail
from endcap.types import FloatArray

SIDE, CELL, DIRECTIONS, LEVELS = 96, 16, 9, 4


@dataclass(frozen=True, slots=True)
class Photos:
    """Pictures of items, with what is said of them."""

    images: list[bytes]
    classes: list[str]
    items: list[Item]
    """The title is the text; empty list: there is none."""


@dataclass(frozen=True, slots=True)
class Order:
    """One recording, and what was ordered in it by slot."""

    audio: bytes
    slots: dict[str, str]

    @property
    def title(self) -> str:
        """The ordered item as a line of a menu."""
        order = ("size", "numberOfShots", "roast", "coffeeDrink", "milkAmount", "sugarAmount")
        return " ".join(self.slots[slot] for slot in order if slot in self.slots)


def grocery(folder: Path) -> Photos:
    """81 products with a picture and a description; their classes are coarse, such as Apple."""
    with zipfile.ZipFile(folder / "iconic_81_with_descriptions.zip") as packed:
        rows = list(csv.DictReader(io.TextIOWrapper(packed.open("classes.csv"))))
        images = [packed.read(row["Iconic Image Path (str)"].strip("/")) for row in rows]
        said = [packed.read(row["Product Description Path (str)"].strip("/")).decode() for row in rows]
    names = [row["Class Name (str)"].replace("-", " ") for row in rows]
    items = [Item(name, f"{name}. {text.strip()}") for name, text in zip(names, said, strict=True)]
    return Photos(images, [row["Coarse Class Name (str)"] for row in rows], items)


def clothing(folder: Path) -> Photos:
    """400 photos of clothes by people at home, in 10 classes, without titles."""
    with zipfile.ZipFile(folder / "sample_400_160px.zip") as packed:
        names = sorted(name for name in packed.namelist() if name.endswith(".jpg"))
        return Photos([packed.read(name) for name in names], [name.split("/")[0] for name in names], [])


def fashion(folder: Path) -> Photos:
    """1,400 product photos with titles, in 141 types; colour and usage are their attributes, the type is not."""
    with (folder / "sample_products.csv").open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    with zipfile.ZipFile(folder / "sample_images.zip") as packed:
        images = [packed.read(f"{row['product_id']}.jpg") for row in rows]
    items = [
        Item(row["product_id"], row["title"], attributes={"colour": row["base_colour"], "usage": row["usage"]})
        for row in rows
    ]
    return Photos(images, [row["article_type"] for row in rows], items)


def orders(folder: Path) -> list[Order]:
    """40 spoken coffee orders."""
    labels = json.loads((folder / "labels.json").read_bytes())
    return [
        Order((folder / name).read_bytes(), {slot: value.strip() for slot, value in slots.items()})
        for name, slots in labels.items()
    ]


def by_hand(images: Sequence[bytes]) -> FloatArray:
    """(n, 388) unit rows: histograms of gradients (Dalal & Triggs 2005, without blocks) and of colours, half each."""
    return np.stack([_described(np.asarray(thumbnail(image, SIDE), np.float32)) for image in images])


def _described(picture: FloatArray) -> FloatArray:
    down, across = np.gradient(picture.mean(axis=2))
    strength, angle = np.hypot(down, across), np.arctan2(down, across) % np.pi
    cells = np.arange(SIDE) // CELL * (SIDE // CELL)
    cell = cells[:, np.newaxis] + np.arange(SIDE) // CELL  # (side, side)
    direction = np.minimum((angle / np.pi * DIRECTIONS).astype(int), DIRECTIONS - 1)
    shapes = np.bincount((cell * DIRECTIONS + direction).ravel(), strength.ravel(), (SIDE // CELL) ** 2 * DIRECTIONS)
    level = (picture / 256 * LEVELS).astype(int)
    colour = level @ np.array([LEVELS**2, LEVELS, 1])
    colours = np.sqrt(np.bincount(colour.ravel(), minlength=LEVELS**3))
    parts = [part / max(float(np.linalg.norm(part)), 1e-9) for part in (shapes, colours)]
    found: FloatArray = (np.concatenate(parts) / np.sqrt(2)).astype(np.float32)
    return found
