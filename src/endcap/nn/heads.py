"""What stands on a model's vectors while it is trained: a word for a token, a class for a text, a smaller space."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class TokenHead(nn.Module):
    """A token's vector to a score for each word: the head of BERT (Devlin et al. 2018, arXiv:1810.04805).

    The words' own vectors are its last matrix, so that it adds little to learn. Costs words x dim a vector: call it
    on the positions that are asked about only.
    """

    def __init__(self, words: nn.Embedding) -> None:
        super().__init__()
        count, dim = words.weight.shape
        self.dense = nn.Linear(dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.bias = nn.Parameter(torch.zeros(count))
        self.words = words

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, dim) to (n, words)."""
        hidden = self.norm(functional.gelu(self.dense(vectors)))
        return functional.linear(hidden, self.words.weight, self.bias)


class ClassHead(nn.Module):
    """A text's vector to a score for each class."""

    def __init__(self, dim: int, classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(dim, classes)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, dim) to (n, classes)."""
        scores: torch.Tensor = self.dense(self.dropout(vectors))
        return scores


class ProjectionHead(nn.Module):
    """A text's vector to a space in which it is compared while it is trained (Chen et al. 2020, arXiv:2002.05709)."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, out))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """(n, dim) to (n, out)."""
        projected: torch.Tensor = self.layers(vectors)
        return projected
