"""LoRA: instead of a matrix, two thin ones beside it are trained (Hu et al. 2021, arXiv:2106.09685), by peft."""

from __future__ import annotations

import warnings

from peft import LoraConfig, get_peft_model

from endcap.encoders.pretraining.body import Body


def add_lora(body: Body, rank: int) -> None:
    """Freezes ``body`` and puts two matrices of ``rank`` beside each of its linear layers. They begin as nothing."""
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of transformers, about a name that peft asks for
        body.model = get_peft_model(body.model, config)


def merge_lora(body: Body) -> None:
    """Adds what was learnt to the matrices themselves: an ordinary body again."""
    body.model = body.model.merge_and_unload()
