"""Pruning a transformer: single weights by their size, or whole heads of attention by what they contribute.

Weights that are zero save nothing where products are dense, as they are in ONNX Runtime: the file has the same size and
takes the same time. Heads that are gone are smaller matrices. (Han et al., "Learning both weights and connections for
efficient neural networks", NeurIPS 2015; Michel et al., "Are sixteen heads really better than one?", NeurIPS 2019.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from endcap.errors import ModelError
from endcap.types import IntArray

Run = Callable[[], None]
"""Sends typical texts through the transformer."""


class _Mask(nn.Module):
    """Holds weights at zero, however the others are trained."""

    kept: torch.Tensor

    def __init__(self, kept: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.kept


def mask_weights(model: nn.Module, share: float) -> None:
    """Puts the ``share`` of the weights in ``model``'s linear layers that are nearest to 0 to 0, where they stay."""
    layers = [one for one in model.modules() if isinstance(one, nn.Linear)]
    sizes = torch.cat([one.weight.detach().abs().flatten() for one in layers])
    edge = sizes.kthvalue(max(1, round(share * sizes.numel()))).values
    for one in layers:
        mask = _Mask((one.weight.detach().abs() > edge).to(one.weight.dtype))
        parametrize.register_parametrization(one, "weight", mask)


def bake_masks(model: nn.Module) -> float:
    """Makes the zeros of ``mask_weights`` ordinary weights. The share of them in the linear layers."""
    zeros = total = 0
    for one in model.modules():
        if isinstance(one, nn.Linear) and parametrize.is_parametrized(one, "weight"):
            parametrize.remove_parametrizations(one, "weight")
            zeros, total = zeros + int((one.weight == 0).sum()), total + one.weight.numel()
    return zeros / max(total, 1)


def prune_heads(model: nn.Module, share: float, run: Run) -> list[IntArray]:
    """Takes the ``share`` of the heads out of each layer of a BERT that contribute least to what ``run`` brings.

    A head's contribution is the mean length of what it adds to a token. At least one stays. Returns which stay, by
    layer. Such a model is no longer what a ``config.json`` of transformers can say. Raises ModelError for another kind
    of transformer.
    """
    layers = _attention(model)
    contributions = _contributions(layers, run)
    kept = []
    for layer, found in zip(layers, contributions, strict=True):
        count = max(1, round((1 - share) * found.numel()))
        stay = found.argsort(descending=True)[:count].sort().values
        _keep_heads(layer, stay)
        kept.append(stay.numpy().astype("int32"))
    return kept


def _attention(model: nn.Module) -> list[Any]:
    try:
        layers = [layer.attention for layer in model.encoder.layer]  # type: ignore[union-attr]
        for layer in layers:
            assert all(isinstance(one, nn.Linear) for one in (layer.self.query, layer.self.key, layer.self.value))
            assert isinstance(layer.output.dense, nn.Linear)
    except (AttributeError, TypeError, AssertionError) as error:
        raise ModelError(
            f"{type(model).__name__} has no heads that can be taken out here: it takes a BERT, RoBERTa or XLM-R"
        ) from error
    return layers


def _contributions(layers: Sequence[Any], run: Run) -> list[torch.Tensor]:
    """By layer (heads,): summed over all tokens, the length of what each head adds."""
    sums = [torch.zeros(layer.self.num_attention_heads) for layer in layers]

    def listen(place: int, layer: Any) -> Any:
        heads, size = layer.self.num_attention_heads, layer.self.attention_head_size

        def add(_module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            parts = given[0].detach()
            parts = parts.view(*parts.shape[:2], heads, size)  # (texts, tokens, heads, size)
            weight = layer.output.dense.weight.detach().view(-1, heads, size)  # (dim, heads, size)
            added = torch.einsum("nths,dhs->nthd", parts, weight)
            sums[place] += added.norm(dim=-1).sum((0, 1)).cpu()

        return layer.output.dense.register_forward_pre_hook(add)

    handles = [listen(place, layer) for place, layer in enumerate(layers)]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return sums


def _keep_heads(layer: Any, heads: torch.Tensor) -> None:
    size = layer.self.attention_head_size
    rows = (heads[:, None] * size + torch.arange(size)).flatten()
    for name in ("query", "key", "value"):
        setattr(layer.self, name, _some(getattr(layer.self, name), rows, 0))
    layer.output.dense = _some(layer.output.dense, rows, 1)
    layer.self.num_attention_heads = len(heads)
    layer.self.all_head_size = len(rows)


def _some(linear: nn.Linear, rows: torch.Tensor, axis: int) -> nn.Linear:
    """``linear`` with only ``rows`` of what it gives (axis 0) or takes (axis 1)."""
    weight = linear.weight.detach().index_select(axis, rows)
    made = nn.Linear(weight.shape[1], weight.shape[0], linear.bias is not None)
    made.weight.data.copy_(weight)
    if linear.bias is not None:
        made.bias.data.copy_(linear.bias.detach()[rows] if axis == 0 else linear.bias.detach())
    return made
