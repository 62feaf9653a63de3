"""The probability of a label for rows of a table: what ``endcap train --labelled`` leaves.

By ONNX Runtime, without torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from endcap.encoders.onnx import open_session
from endcap.errors import DataError, ModelError, NotFoundError
from endcap.features.columns import Coding

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CARD, NETWORK = "model.json", "model.onnx"
ROWS = 65_536
"""That are computed at once."""


class Card(msgspec.Struct, frozen=True):
    """What a folder of a tabular model says of itself."""

    name: str
    label: str
    positive_from: float | None
    """Labels were numbers, and from this one on they counted as 1; None: they were 0 and 1."""
    coding: Coding
    rows: dict[str, int]
    """In ``training``, ``validation``, ``test`` and ``refused``."""
    refused: dict[str, int]
    """By reason: rows."""
    split: str
    """``time`` or ``hash``: what decided where a row belongs."""
    settings: dict[str, object]
    """That it was trained with, the seed among them."""
    left_out: dict[str, str]
    """By column: why it is no feature."""
    history: list[dict[str, float]]
    """By epoch, from 1: loss, accuracy and AUC on training and validation."""
    best_epoch: int
    """Whose weights these are, counted from 1: the one of the least loss on validation."""
    test: dict[str, float]
    """``loss`` (nats), ``accuracy`` at 0.5 and ``auc`` on the test part; ``base_loss``: of always saying the share of
    ones among the rows that were learnt from."""
    sha256: str
    """Of the network."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a model says of n rows."""

    probability: NDArray[np.float32]
    """(n,)."""
    unknown: Mapping[str, int]
    """By column: rows whose id or category is missing or was not there in training; "unknown" has its own vector."""
    missing: Mapping[str, int]
    """By column: rows without a number; they count as the mean."""


class Tabular:
    """Ready to predict; made by ``open``."""

    def __init__(self, card: Card, session: InferenceSession) -> None:
        self.card = card
        self._session = session

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """The model in ``folder``.

        Raises NotFoundError if there is none, ModelError if it is damaged or there is no ONNX Runtime.
        """
        folder = Path(folder)
        card = read_card(folder)
        try:
            data = (folder / NETWORK).read_bytes()
        except OSError as error:
            raise ModelError(f"{folder / NETWORK} cannot be read ({error.strerror}): train the model again") from error
        if hashlib.sha256(data).hexdigest() != card.sha256:
            raise ModelError(f"{folder / NETWORK} is damaged (its SHA-256 differs): train the model again")
        return cls(card, open_network(data, folder / NETWORK))

    def predict(self, table: Any) -> NDArray[np.float32]:
        """(n,) the probability that each row of ``table`` has the label 1.

        ``table``: a polars or pandas frame, or any Arrow table, with the columns that the model was trained on; other
        ones are not looked at. Raises DataError if it is none, or lacks a column.
        """
        return self.judge(table).probability

    def judge(self, table: Any) -> Predicted:
        """The same, and what of it was unknown. Raises as ``predict``."""
        frame = _frame(table)
        missing = [name for name in self.card.coding.names if name not in frame.columns]
        if missing:
            raise DataError(
                f"the table has no column {missing[0]!r:.80}; the model {self.card.name} needs "
                f"{', '.join(self.card.coding.names)[:300]}"
            )
        coded = self.card.coding.encode(frame)
        return Predicted(run(self._session, coded.codes, coded.numbers), coded.unknown, coded.missing)


def read_card(folder: Path) -> Card:
    """What ``folder`` says of itself. Raises NotFoundError, ModelError."""
    path = folder / CARD
    try:
        return msgspec.json.decode(path.read_bytes(), type=Card)
    except OSError as error:
        raise NotFoundError(f"there is no trained table in {folder}: endcap train --labelled makes one") from error
    except msgspec.MsgspecError as error:
        raise ModelError(f"{path} is damaged ({error}): train the model again") from error


def pack_card(card: Card) -> bytes:
    """``card`` as ``read_card`` reads it."""
    return msgspec.json.format(msgspec.json.encode(card)) + b"\n"


def open_network(data: bytes, path: Path) -> InferenceSession:
    """The network ``data`` on one thread; ``path`` says where it is from. Raises ModelError."""
    return open_session(
        data, str(path), "train the model again", "prediction needs ONNX Runtime: pip install 'endcap[onnx]'"
    )


def run(session: InferenceSession, codes: NDArray[np.int32], numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n,) what the network says of n rows."""
    found = [np.zeros(0, np.float32)]
    for start in range(0, len(codes), ROWS):
        part = slice(start, start + ROWS)
        given = {"codes": codes[part].astype(np.int64), "numbers": numbers[part]}
        found.append(session.run(None, given)[0])
    return np.concatenate(found)


def _frame(table: Any) -> pl.DataFrame:
    if isinstance(table, pl.DataFrame):
        return table
    try:
        return pl.DataFrame(table)
    except (TypeError, ValueError, ImportError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"a {type(table).__name__} is no table ({error}): give polars, pandas or an Arrow table"
        ) from error
