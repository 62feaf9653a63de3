"""The optimisers: gradient descent, SGD with momentum, Adam, AdamW, as torch has them."""

from __future__ import annotations

from torch import nn, optim

from endcap.nn.settings import Settings


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """By name, what a training changes; what is shared between two places once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def make_optimizer(model: nn.Module, settings: Settings) -> optim.Optimizer:
    """For everything in ``model`` that is to be trained. Vectors (biases, scales of norms) are not decayed."""
    trained = trained_parameters(model).values()
    groups = [
        {"params": [one for one in trained if one.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [one for one in trained if one.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "adam":
        return optim.Adam(groups, lr=settings.learning_rate)
    if settings.optimizer == "adamw":
        return optim.AdamW(groups, lr=settings.learning_rate)
    return optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum * (settings.optimizer == "sgd"))


def set_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """The learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate
