"""The columns of a table as numbers: categories by number, figures centred and scaled; learnt once, then the same.

A category that was not there to be learnt from, and one that is missing, is number 0, "unknown". A figure that is
missing counts as the mean; where some were missing already in what was learnt from, a second column says so. Figures
further from the mean than ``FAR`` standard deviations are brought to there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from endcap.types import FloatArray, IntArray

FAR = 10.0
NUMERIC_SHARE = 0.9
"""Of a column's values that must be numbers for it to hold figures; the others then are missing."""
WORDY_SHARE = 0.5
"""A column of text in which more values than this are different from all before them says nothing of a new row."""
FEW = 20
"""Values, up to which nothing is too wordy."""


class Category(msgspec.Struct, frozen=True):
    """A column that is looked up."""

    name: str
    values: tuple[str, ...]
    """Each one's number is its place, from 1."""


class Figure(msgspec.Struct, frozen=True):
    """A column that is reckoned with."""

    name: str
    mean: float
    scale: float
    """One standard deviation."""
    gaps: bool
    """Whether some were missing: then a column of its own says where."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A table as a model takes it."""

    codes: IntArray
    """(n, categories), at least one column."""
    numbers: FloatArray
    """(n, width), at least one column."""
    unknown: dict[str, int]
    """By column of categories that has any: the rows whose value is unknown or missing."""
    missing: dict[str, int]
    """By column of figures that has any: the rows without a number."""


class Coding(msgspec.Struct, frozen=True):
    """How the columns of a table become numbers."""

    categories: tuple[Category, ...]
    figures: tuple[Figure, ...]

    @property
    def names(self) -> list[str]:
        """The columns that a table must have."""
        return [one.name for one in self.categories] + [one.name for one in self.figures]

    @property
    def sizes(self) -> list[int]:
        """How many numbers each column of ``codes`` has."""
        return [len(one.values) + 1 for one in self.categories] or [1]

    @property
    def width(self) -> int:
        """How many columns ``numbers`` has."""
        return sum(1 + one.gaps for one in self.figures) or 1

    def without(self, values: Collection[str]) -> Coding:
        """The same, to which ``values`` of any column are unknown; the other numbers stay what they are."""
        categories = [
            Category(one.name, tuple(f"\0{at}" if value in values else value for at, value in enumerate(one.values)))
            for one in self.categories
        ]
        return Coding(tuple(categories), self.figures)

    def encode(self, frame: pl.DataFrame) -> Coded:
        """``frame`` must have the columns ``names``, of any type. One of zeros stands where a kind has none."""
        n, unknown, missing = frame.height, dict[str, int](), dict[str, int]()
        codes = np.zeros((n, len(self.sizes)), np.int32)
        for place, category in enumerate(self.categories):
            codes[:, place] = _numbered(frame[category.name], category.values)
            if none := int((codes[:, place] == 0).sum()):
                unknown[category.name] = none
        numbers: list[FloatArray] = []
        for figure in self.figures:
            values = figures_of(frame[figure.name])
            gone = np.isnan(values)
            scaled = np.clip((values - figure.mean) / figure.scale, -FAR, FAR)
            numbers.append(np.where(gone, 0.0, scaled).astype(np.float32))
            if figure.gaps:
                numbers.append(gone.astype(np.float32))
            if gone.any():
                missing[figure.name] = int(gone.sum())
        return Coded(codes, np.column_stack(numbers or [np.zeros(n, np.float32)]), unknown, missing)


@dataclass(frozen=True, slots=True)
class Learnt:
    """A coding, and what was left out of it."""

    coding: Coding
    left_out: dict[str, str]
    """By column: why."""


def learn_coding(frame: pl.DataFrame, ids: Sequence[str] = (), categorical: Collection[str] = ()) -> Learnt:
    """How to encode tables like ``frame``. ``ids`` come first; they and ``categorical`` are categories in any case.

    Of the other columns those that hold numbers are figures, and the rest categories; a column that always says the
    same, or hardly ever the same twice, is left out.
    """
    categories, figures, left_out = list[Category](), list[Figure](), dict[str, str]()
    for name in (*ids, *(name for name in frame.columns if name not in ids)):
        looked_up = name in ids or name in categorical
        numbers = None if looked_up else _as_figures(frame[name])
        made = _category(name, as_text(frame[name]), looked_up) if numbers is None else _figure(name, numbers)
        if isinstance(made, str):
            left_out[name] = made
        elif isinstance(made, Category):
            categories.append(made)
        else:
            figures.append(made)
    return Learnt(Coding(tuple(categories), tuple(figures)), left_out)


def as_text(column: pl.Series) -> pl.Series:
    """``column`` as text: 5.0 is the category 5, nothing and spaces are null."""
    if column.dtype.is_float():
        whole = column.is_finite() & (column == column.round()) & (column.abs() < 2.0**53)
        texts = pl.select(
            pl.when(whole)
            .then(column.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(column.fill_nan(None).cast(pl.String))
        ).to_series()
        return texts.alias(column.name)
    text = column.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def figures_of(column: pl.Series) -> NDArray[np.float64]:
    """(n,) ``column`` as numbers, NaN for what is none, or not finite."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    values = column.cast(pl.Float64, strict=False).to_numpy().astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _as_figures(column: pl.Series) -> NDArray[np.float64] | None:
    """(n,) where ``column`` holds figures."""
    if column.dtype == pl.Boolean or column.dtype.is_numeric():
        return figures_of(column)
    there = as_text(column).is_not_null().to_numpy()
    values = figures_of(column)
    written = there & ~np.isnan(values)
    return values if written.any() and written.sum() >= NUMERIC_SHARE * there.sum() else None


def _category(name: str, texts: pl.Series, whatever: bool) -> Category | str:
    there = texts.drop_nulls()
    values = there.unique().sort()
    if not whatever and len(values) < 2:
        return "it is always the same"
    if not whatever and len(there) > FEW and len(values) > WORDY_SHARE * len(there):
        return "it is hardly ever the same twice"
    return Category(name, tuple(values.to_list()))


def _figure(name: str, values: NDArray[np.float64]) -> Figure | str:
    gone = np.isnan(values)
    there = values[~gone]
    spread = float(there.std()) if there.size else 0.0
    if not spread > 1e-12 * max(float(np.abs(there).max(initial=0.0)), 1e-300):
        return "it is always the same"
    return Figure(name, float(there.mean()), spread, bool(gone.any()))


def _numbered(column: pl.Series, values: Sequence[str]) -> IntArray:
    """(n,) the place of each in ``values``, from 1; 0 for another."""
    numbers = pl.DataFrame(
        {"value": list(values), "number": np.arange(1, len(values) + 1, dtype=np.int32)},
        schema={"value": pl.String, "number": pl.Int32},
    )
    asked = as_text(column).alias("value").to_frame()
    found = asked.join(numbers, on="value", how="left", maintain_order="left")["number"]
    return found.fill_null(0).to_numpy().astype(np.int32)
