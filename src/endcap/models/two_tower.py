"""Two towers: the visitor's (a bag of the history, and the profile) and the item's (its id and its features).

Yi, Yang, Hong et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019,
https://doi.org/10.1145/3298689.3346996. What is shared with the models that read the history in its order is theirs.
"""

from __future__ import annotations

from dataclasses import replace

from endcap.features.joined import Features
from endcap.models.sequence import Around, SequenceModel
from endcap.nn.shapes import SequenceSettings


class TwoTower(SequenceModel):
    """Ranks items by the cosine of the two towers' vectors; the order of the history says nothing.

    Whatever ``settings`` name, the body is ``bag``. Time and memory as of ``SequenceModel``; served by ONNX Runtime.
    """

    def __init__(
        self,
        settings: SequenceSettings | None = None,
        features: tuple[Features, ...] = (),
        prices: Features | None = None,
        around: Around | None = None,
    ) -> None:
        settings = settings or SequenceSettings(profile=True)
        super().__init__(replace(settings, body="bag"), features, prices, around)
