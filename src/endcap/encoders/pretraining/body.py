"""The transformer that is trained, with its tokenizer: made anew, or opened from a Hugging Face folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, BertModel
from transformers.utils import logging

from endcap.encoders.pretraining.corpus import Corpus, Marks, as_batch, in_length_order, tokenize
from endcap.errors import ModelError
from endcap.nn.devices import device_of, moved
from endcap.types import FloatArray

Pooling = Literal["mean", "cls"]
MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ENCODED_AT_ONCE = 64
_SPACE = "\u2581"  # how a piece says that a word begins


@dataclass(frozen=True, slots=True)
class Size:
    """Of a transformer that begins with random weights."""

    layers: int
    dim: int
    heads: int
    words: int
    """Pieces that the tokenizer learns, at most."""


SIZES = {
    "tiny": Size(2, 128, 2, 8_000),
    "small": Size(4, 256, 4, 16_000),
    "base": Size(6, 384, 12, 30_000),
    "large": Size(12, 768, 12, 30_000),
}


class Body(nn.Module):
    """Texts to vectors: a transformer of the library of that name, and how its tokens' vectors become one.

    A body of which nothing is trained computes as it does at serving, without dropout.
    """

    def __init__(self, model: Any, pooling: Pooling) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    @property
    def dim(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def words(self) -> nn.Embedding:
        """(pieces, dim): the vectors that a piece begins with."""
        found: nn.Embedding = self.model.get_input_embeddings()
        return found

    def train(self, mode: bool = True) -> Body:
        """Dropout is on only where something is trained."""
        super().train(mode and any(one.requires_grad for one in self.parameters()))
        return self

    def forward(self, ids: torch.Tensor, attention: torch.Tensor, segments: torch.Tensor | None = None) -> torch.Tensor:
        """(n, tokens) to (n, tokens, dim)."""
        known = getattr(self.model.config, "type_vocab_size", 0)
        more = {"token_type_ids": segments} if segments is not None and known > 1 else {}
        states: torch.Tensor = self.model(input_ids=ids, attention_mask=attention, **more).last_hidden_state
        return states

    def pooled(self, ids: torch.Tensor, attention: torch.Tensor, segments: torch.Tensor | None = None) -> torch.Tensor:
        """(n, tokens) to (n, dim), not of unit length."""
        states = self(ids, attention, segments)
        first: torch.Tensor = states[:, 0]
        if self.pooling == "cls":
            return first
        weights = attention.unsqueeze(2).to(states.dtype)
        mean: torch.Tensor = (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        return mean

    def vectors(self, corpus: Corpus, pad: int) -> FloatArray:
        """(n, dim) of all texts, as they are served but not yet of unit length."""
        was, found = self.training, np.zeros((len(corpus), self.dim), np.float32)
        self.eval()
        with torch.inference_mode():
            for rows in in_length_order(corpus, ENCODED_AT_ONCE):
                batch = moved(as_batch(corpus.padded(rows, pad), pad), device_of(self))
                found[rows] = self.pooled(**batch).float().cpu().numpy()
        self.train(was)
        return found

    def encode(self, corpus: Corpus, pad: int) -> FloatArray:
        """(n, dim) unit rows of all texts."""
        found = self.vectors(corpus, pad)
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return found


@dataclass(frozen=True, slots=True)
class Manner:
    """How an encoder reads a text."""

    name: str
    """Of the encoder that it is the manner of."""
    max_tokens: int
    pooling: Pooling = "mean"
    prefix: str = ""
    query_prefix: str | None = None
    lower: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """What a training begins from."""

    body: Body
    tokenizer: Tokenizer
    marks: Marks
    manner: Manner

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> Corpus:
        """``texts`` as the encoder reads them, cut to ``max_tokens`` where it would read more."""
        read = [self.read(text) for text in texts]
        return tokenize(self.tokenizer, read, min(max_tokens, self.manner.max_tokens))

    def read(self, text: str) -> str:
        """``text`` as it goes to the tokenizer."""
        whole = self.manner.prefix + text
        return whole.lower() if self.manner.lower else whole


def learn_pieces(texts: Sequence[str], count: int) -> Tokenizer:
    """A tokenizer of at most ``count`` pieces of ``texts``, lower-cased; a Chinese character is a word by itself.

    Byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909). The same texts give the same pieces: WordPiece, as the
    library trains it, numbers them in a random order, and which characters a limit leaves out is decided here.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=MARKS[1]))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.BertNormalizer(lowercase=True), normalizers.Replace(Regex(" +"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Punctuation()]
    )
    often = Counter(_SPACE)
    for text in texts:
        often.update(tokenizer.normalizer.normalize_str(text))
    letters = sorted(often, key=lambda letter: (-often[letter], letter))[: count // 2]
    trainer = trainers.BpeTrainer(
        vocab_size=count,
        special_tokens=list(MARKS),
        initial_alphabet=letters,
        limit_alphabet=len(letters),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(mark, tokenizer.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", ends)
    return tokenizer


def from_scratch(texts: Sequence[str], size: str, max_tokens: int, seed: int, causal: bool = False) -> Start:
    """A body of random weights, and pieces learnt from ``texts``. ``causal``: no piece sees those behind it."""
    chosen = SIZES[size]
    tokenizer = learn_pieces(texts, chosen.words)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=chosen.dim,
        num_hidden_layers=chosen.layers,
        num_attention_heads=chosen.heads,
        intermediate_size=4 * chosen.dim,
        max_position_embeddings=max_tokens,
        pad_token_id=0,
        is_decoder=causal,
        use_cache=False,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(config, add_pooling_layer=False)
    return Start(Body(model, "mean"), tokenizer, _marks(tokenizer), Manner("random weights", max_tokens))


def start_from(folder: Path, manner: Manner, causal: bool = False) -> Start:
    """The body and the tokenizer of a Hugging Face folder. Nothing is downloaded, none of its code is run.

    Raises ModelError if they cannot be read.
    """
    try:
        with _quiet():
            return _opened(folder, manner, causal)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise ModelError(
            f"{folder} cannot be trained further ({error!s:.300}): give weights and tokenizer as transformers does"
        ) from error


def _opened(folder: Path, manner: Manner, causal: bool) -> Start:
    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
    if causal:
        config.is_decoder, config.use_cache = True, False
    model: Any = AutoModel.from_pretrained(folder, config=config, local_files_only=True, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # what is served does not read it
    return Start(Body(model, manner.pooling), tokenizer, _marks(tokenizer), manner)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' bars, and without its report of layers that a folder does not have and nobody reads."""
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _marks(tokenizer: Tokenizer) -> Marks:
    def of(*names: str, default: int | None = None) -> int:
        found = next((number for name in names if (number := tokenizer.token_to_id(name)) is not None), default)
        if found is None:
            raise ModelError(f"the tokenizer has none of {', '.join(names)}: its texts cannot be padded and masked")
        return found

    unknown = of("[UNK]", "<unk>", "<|endoftext|>")
    return Marks(
        pad=of("[PAD]", "<pad>", "<|endoftext|>"),
        unknown=unknown,
        begin=of("[CLS]", "<s>", "<|endoftext|>"),
        end=of("[SEP]", "</s>", "<|endoftext|>"),
        mask=of("[MASK]", "<mask>", default=unknown),
    )
