"""Eight-bit weights for a model in ONNX, by ONNX Runtime's quantiser.

Only products with a weight are quantised, not those of attention with itself. Dynamic: the scale of what comes in is
measured at each product. Static: it is fixed beforehand, from texts that are typical (Jacob et al., "Quantization and
training of neural networks for efficient integer-arithmetic-only inference", CVPR 2018): no measuring when it serves,
but a text unlike those is cut off at the edge of the scale.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quant_pre_process,
    quantize_dynamic,
    quantize_static,
)

Given = Mapping[str, NDArray[np.int64]]
"""What a model is run on, by the names of its inputs."""
OPERATORS = ["MatMul", "Gemm", "Gather"]


def quantise_dynamic(source: Path, out: Path) -> None:
    """``source`` with weights of eight bits, a scale to each column, as ``out``."""
    with _prepared(source) as ready:
        quantize_dynamic(
            ready,
            out,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


def quantise_static(source: Path, out: Path, typical: Sequence[Given]) -> None:
    """The same with fixed scales for what comes in: the least and the greatest value that ``typical`` brings about."""
    with _prepared(source) as ready:
        quantize_static(
            ready,
            out,
            _Reader(iter(typical)),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"MatMulConstBOnly": True},
        )


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # of a library without types
    def __init__(self, typical: Iterator[Given]) -> None:
        self._typical = typical

    def get_next(self) -> Given | None:
        return next(self._typical, None)


@contextmanager
def _prepared(source: Path) -> Iterator[Path]:
    """``source`` simplified, in a folder that is gone afterwards."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # the quantiser advises about itself, through the root logger
    try:
        with TemporaryDirectory() as work, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quant_pre_process(source, Path(work) / source.name, skip_symbolic_shape=True)
            yield Path(work) / source.name
    finally:
        logging.root.setLevel(level)
