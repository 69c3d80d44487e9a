"""Small random Transformers, for tests that need weights and no training; and searches with few sequences."""

from dataclasses import replace

import numpy as np

from drasp.evidence.gather import EvidenceTuning
from drasp.evidence.schema import KINDS
from drasp.ir.program import Header
from drasp.learn.tuning import PoolTuning
from drasp.model.transformer import Block, LayerNorm, Transformer
from drasp.search.settings import Tuning

FEW = EvidenceTuning(kinds=tuple(replace(kind, tuning=replace(kind.tuning, most=min(kind.tuning.most, 500))) for kind in KINDS))
LITTLE = Tuning(pools=PoolTuning(fitted_short=200, fitted_long=200, selected=160, verified=160), evidence=FEW)
"""For what does not hang on how many sequences there are."""


def random_transformer(layers: int, heads: int, seed: int, width: int = 8, vocabulary: int = 6, positions: int = 20) -> Transformer:
    """Weights large enough that every part matters."""
    rng = np.random.default_rng(seed)
    head, hidden = width // heads, 4 * width

    def matrix(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) * 0.5

    def norm() -> LayerNorm:
        return LayerNorm(1 + matrix(width), matrix(width), 1e-5)

    blocks = tuple(
        Block(
            norm_attention=norm(),
            norm_mlp=norm(),
            w_query=matrix(heads, width, head),
            w_key=matrix(heads, width, head),
            w_value=matrix(heads, width, head),
            b_query=matrix(heads, head),
            b_key=matrix(heads, head),
            b_value=matrix(heads, head),
            w_head_out=matrix(heads, head, width),
            b_head_out=matrix(width),
            w_in=matrix(width, hidden),
            b_in=matrix(hidden),
            w_out=matrix(hidden, width),
            b_out=matrix(width),
        )
        for _ in range(layers)
    )
    token_embedding = matrix(vocabulary, width)
    scales = (1 / np.sqrt(head),) * layers
    return Transformer(token_embedding, matrix(positions, width), token_embedding.T, blocks, norm(), scales, "random")


def header(model: Transformer, predict: str = "next-token-set") -> Header:
    """A header that fits the model: letters, then the special tokens."""
    letters = tuple("abcdefghij"[: model.vocabulary_size - 4])
    return Header((*letters, "<bos>", "<sep>", "<eos>", "<pad>"), model.positions, predict)


def random_tokens(model: Transformer, seed: int, batch: int = 4, time: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Random sequences at random offsets; the last ones end in padding, whose position id is repeated."""
    rng = np.random.default_rng(seed)
    token_ids = rng.integers(0, model.vocabulary_size, (batch, time))
    ends = rng.integers(time // 2, time + 1, batch)
    offsets = rng.integers(0, model.positions - time + 1, batch)
    token_ids[np.arange(time) >= ends[:, None]] = model.vocabulary_size - 1
    return token_ids, offsets[:, None] + np.minimum(np.arange(time), ends[:, None] - 1)
