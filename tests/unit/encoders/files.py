"""Pictures and sounds that tests make or read."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DATA = Path(__file__).parents[2] / "data"


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """``image`` as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def shaded(width: int = 120, height: int = 90) -> Image.Image:
    """Dark above, bright below, brightest at the lower right, and no two ends alike; in colour."""
    across, down = np.meshgrid(np.linspace(0, 60, width), np.linspace(0, 190, height))
    return Image.fromarray(((across + down)[..., np.newaxis] * [1.0, 0.6, 0.3]).astype(np.uint8))


def wav(heard: NDArray[np.floating], rate: int = 16_000, channels: int = 1) -> bytes:
    """``heard``, -1 to 1, as a WAV file of 16 bits."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(np.clip(heard, -1, 1) * 32_767, channels).astype("<i2").tobytes())
    return out.getvalue()


def tone(seconds: float = 1.0, rate: int = 16_000, hertz: float = 440.0) -> NDArray[np.float64]:
    """A sine of a third of full scale."""
    return 0.33 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
