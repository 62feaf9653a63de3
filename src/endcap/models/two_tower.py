"""Two towers: the visitor's (a bag of the history, and the profile) and the item's (its id and its features).

Yi, Yang, Hong et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019,
https://doi.org/10.1145/3298689.3346996. What is shared with the models that read the history in its order is theirs.
"""

from __future__ import annotations

from dataclasses import replace

from endcap.models.sequence import SequenceModel
from endcap.nn.shapes import SequenceSettings


class TwoTower(SequenceModel):
    """Ranks items by the cosine of the two towers' vectors; the order of the history says nothing.

    Whatever ``settings`` name, the body is ``bag``. Time and memory as of ``SequenceModel``; served by ONNX Runtime.
    """

    @staticmethod
    def _built(settings: SequenceSettings | None) -> SequenceSettings:
        return replace(settings or SequenceSettings(profile=True), body="bag")
