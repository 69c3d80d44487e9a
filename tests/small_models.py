"""Small random Transformers, for tests that need weights and no training; and searches with few sequences."""

from dataclasses import replace

import numpy as np

from drasp.evidence.gather import EvidenceTuning
from drasp.evidence.schema import KINDS
from drasp.ir.program import Header
from drasp.learn.tuning import PoolTuning
from drasp.model.parts.positions import sinusoidal
from drasp.model.transformer import Block, FeedForward, LayerNorm, Norm, RMSNorm, Rotary, Transformer
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
            mlp=FeedForward(matrix(width, hidden), matrix(hidden, width), matrix(hidden), matrix(width)),
        )
        for _ in range(layers)
    )
    token_embedding = matrix(vocabulary, width)
    table = matrix(positions, width)
    return Transformer(token_embedding, token_embedding.T, blocks, table, norm(), sha256="random")


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


def random_parts(layers: int, seed: int, **parts: object) -> Transformer:
    """A small random Transformer of the parts asked for: `norm`, `order`, `final`, `mlp`, `position`, `attention`, `biases`,
    `outputs`.
    """
    chosen = {"norm": "layer", "order": "pre", "final": True, "mlp": "gelu", "position": "learned", "attention": "causal"}
    chosen |= {"biases": True, "outputs": None, **parts}
    rng = np.random.default_rng(seed)
    vocabulary, positions, width, heads, head, hidden = 6, 16, 8, 2, 4, 7

    outputs = chosen["outputs"] or vocabulary

    def matrix(*shape: int) -> np.ndarray:
        return rng.normal(size=shape) * 0.5

    def bias(*shape: int) -> np.ndarray:
        return matrix(*shape) if chosen["biases"] else np.zeros(0)

    def norm() -> Norm:
        kind = {"layer": LayerNorm, "rms": RMSNorm, "none": Norm}[chosen["norm"]]
        return kind(1 + matrix(width), bias(width), 0.01) if kind is not Norm else Norm()

    def mlp() -> FeedForward | None:
        if chosen["mlp"] is None:
            return None
        activation, *gated = str(chosen["mlp"]).split()
        gate = {"w_gate": matrix(width, hidden), "b_gate": bias(hidden)} if gated else {}
        return FeedForward(matrix(width, hidden), matrix(hidden, width), bias(hidden), bias(width), activation, **gate)

    def block() -> Block:
        weights = {name: matrix(heads, width, head) for name in ("w_query", "w_key", "w_value")}
        biases = {name: bias(heads, head) for name in ("b_query", "b_key", "b_value")}
        out = {"w_head_out": matrix(heads, head, width), "b_head_out": bias(width)}
        return Block(**weights, **biases, **out, norm_attention=norm(), norm_mlp=norm(), mlp=mlp(), order=chosen["order"])

    tables = {"learned": matrix(positions, width), "sinusoidal": sinusoidal(positions, width)}
    rotaries = {"rotary": Rotary(2, 100.0), "rotary interleaved": Rotary(4, 100.0, interleaved=True)}
    return Transformer(
        token_embedding=matrix(vocabulary, width),
        unembedding=matrix(width, outputs),
        blocks=tuple(block() for _ in range(layers)),
        position_embedding=tables.get(chosen["position"], np.zeros(0)),
        norm_final=norm() if chosen["final"] else Norm(),
        unembedding_bias=bias(outputs),
        rotary=rotaries.get(chosen["position"]),
        positions=positions,
        attention="causal" if chosen["attention"] == "causal" else "bidirectional",
        padding=0 if chosen["attention"] == "padded" else None,
    )
