"""One of two processes that train together, started by its test; it leaves its weights."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from tests.unit.nn.lines import SETTINGS, Plain, network

from endcap.nn.devices import is_first, joined
from endcap.nn.training import Around, train

SHARED = replace(SETTINGS, epochs=3, batch_size=4, optimizer="sgd")


def main(folder: Path) -> None:
    """Trains, and writes what came of it."""
    with joined():
        first, model = is_first(), network(0.0)
        found = train(model, Plain(), SHARED, Around(folder / "work"))
    save_file(model.state_dict(), folder / f"{0 if first else 1}.safetensors")
    if first:
        (folder / "history").write_text(repr([round(one.loss, 5) for one in found.history]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
