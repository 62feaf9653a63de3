"""Image files to vectors by a model in ONNX Runtime: one thread, no torch.

Each picture runs by itself, so that its vector is a function of its bytes alone. The default is EfficientNet-Lite0
(Tan & Le 2019, arXiv:1905.11946, without what small devices lack): its last layer before the classes, 1,280 numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from endcap.encoders.folder import MODEL, SPEC, ImageInput, Spec, check_folder, read_folder
from endcap.encoders.onnx import open_session
from endcap.encoders.pictures import pixels
from endcap.encoders.reading import unit
from endcap.errors import InvalidFieldError, ModelError
from endcap.types import FloatArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

IMAGE_EMBEDS = "image_embeds"
"""The output of a model of texts and images that lies in the space of both."""


class OnnxImageEncoder:
    """The encoder in ``folder``. About 12 ms a picture for EfficientNet-Lite0.

    Raises NotFoundError if there is no such folder, ModelError if ``encoder.json`` is damaged or not of images.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spec = read_folder(folder)
        if self._spec.image is None:
            raise ModelError(f"{folder} encodes {self._spec.modality}, not images: name another encoder")
        self._input: ImageInput = self._spec.image
        self._session: InferenceSession | None = None
        self._lock = Lock()

    @property
    def name(self) -> str:
        return self._spec.version

    @property
    def dim(self) -> int:
        return self._spec.dim

    @property
    def joint(self) -> str:
        """The encoder of texts whose vectors lie in the same space; empty where there is none."""
        return self._spec.joint

    def load(self) -> None:
        """Loads the model now instead of at the first picture. Safe to call from a thread, and again.

        Raises ModelError, which names the file, if one was changed, or if the model and ``encoder.json`` do not fit.
        """
        self._loaded()

    def encode(self, images: Sequence[bytes]) -> FloatArray:
        """(n, dim) unit rows; a zero row for a file that cannot be read: ``query`` says why. Raises as ``load``."""
        vectors = np.zeros((len(images), self.dim), np.float32)
        for row, image in enumerate(images):
            try:
                vectors[row] = self.query(image)
            except InvalidFieldError:
                continue
        return vectors

    def query(self, image: bytes) -> FloatArray:
        """(dim,) the vector of a picture that somebody searches with.

        Raises InvalidFieldError, naming ``image``, where ``encode`` gives a zero row; ModelError as ``load`` does.
        """
        return run_image_model(self._loaded(), pixels(image, self._input))

    def _loaded(self) -> InferenceSession:
        with self._lock:
            if self._session is None:
                check_folder(self._folder, self._spec)
                session = image_session(self._folder, self._spec)
                found = run_image_model(session, np.zeros((3, self._input.size, self._input.size), np.float32))
                if found.shape != (self.dim,):
                    raise ModelError(
                        f"{self._folder / MODEL} gives {found.size} dimensions, {SPEC} says {self.dim}: make it again"
                    )
                self._session = session
            return self._session


def image_session(folder: Path, spec: Spec) -> InferenceSession:
    """The model of ``folder``, after a first picture. Raises ModelError if it takes none of the size in ``spec``."""
    session = open_session(folder / MODEL)
    size = spec.image.size if spec.image is not None else 0
    try:
        run_image_model(session, np.zeros((3, size, size), np.float32))
    except Exception as error:  # ONNX Runtime raises a class of its own for each cause
        raise ModelError(
            f"{folder / MODEL} does not take a picture of {size} x {size} pixels ({error!s:.200}): make it again"
        ) from error
    return session


def run_image_model(session: InferenceSession, square: FloatArray) -> FloatArray:
    """(dim,) the unit vector of ``square`` (3, size, size). Raises what ONNX Runtime does, and IndexError."""
    outputs = [one.name for one in session.get_outputs() if len(one.shape or ()) == 2]
    wanted = IMAGE_EMBEDS if IMAGE_EMBEDS in outputs else outputs[0]
    (found,) = session.run([wanted], {session.get_inputs()[0].name: square[np.newaxis]})
    return unit(found[0])
