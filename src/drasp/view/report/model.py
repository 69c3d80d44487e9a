"""A Transformer as the data that `model.js` runs."""

import base64
import zlib
from typing import Any

import numpy as np

from drasp.errors import DraspError
from drasp.evidence.schema import Evidence
from drasp.ir.program import Program
from drasp.model.parts.norms import Norm
from drasp.model.transformer import Block, FeedForward, Transformer

Json = dict[str, Any]

LARGEST = 1_000_000  # bytes of weights in single precision


def check_model(model: Transformer, program: Program, evidence: Evidence | None) -> None:
    """Raises DraspError where it is not the model that the program was found for."""
    header = program.header
    if evidence is not None and evidence.model.sha256 != model.sha256:
        raise DraspError(f"the program was found for a model with the SHA-256 {evidence.model.sha256}, this one has {model.sha256}")
    if (model.vocabulary_size, model.outputs, model.positions) != (len(header.vocabulary), len(header.predicted), header.positions):
        raise DraspError("the model has another number of tokens, outputs or positions than the program, and so is not its model")


def model_data(model: Transformer) -> Json:
    """A model for the page of its program: the parts of `Transformer`, with weights in single precision.

    Raises:
        DraspError: it is too large for a page.
    """
    weights = _Weights()
    data: Json = {
        "bidirectional": model.bidirectional,
        "pad": model.padding,
        "tokens": weights.packed(model.token_embedding),
        "places": weights.packed(model.position_embedding) if model.embeds_positions else None,
        "rotary": None if model.rotary is None else {**vars(model.rotary)},
        "blocks": [_block(block, weights) for block in model.blocks],
        "norm": _norm(model.norm_final, weights),
        "outputs": _affine(model.unembedding, model.unembedding_bias, weights),
    }
    if weights.bytes > LARGEST:
        raise DraspError(f"the model's weights take {weights.bytes:,} bytes; a page carries a model of {LARGEST:,} at the most")
    return data


class _Weights:
    """Counts what is packed."""

    bytes = 0

    def packed(self, array: np.ndarray) -> Json:
        """(rows, columns), or one row; little-endian, compressed by zlib, in base64."""
        single = np.atleast_2d(array).astype("<f4")
        self.bytes += single.nbytes
        return {"rows": len(single), "columns": single.shape[1], "data": base64.b64encode(zlib.compress(single.tobytes())).decode()}


def _affine(weight: np.ndarray, bias: np.ndarray, weights: _Weights) -> Json:
    return {"weight": weights.packed(weight), "bias": weights.packed(bias)}


def _norm(norm: Norm, weights: _Weights) -> Json:
    gains = {"gain": weights.packed(norm.gain), "shift": weights.packed(norm.shift)} if norm.kind.scaled else {}
    return {"centred": norm.kind.centred, "scaled": norm.kind.scaled, "eps": norm.eps, **gains}


def _block(block: Block, weights: _Weights) -> Json:
    inputs = [("query", block.w_query, block.b_query), ("key", block.w_key, block.b_key), ("value", block.w_value, block.b_value)]
    heads = [
        {name: _affine(w[head], b[head], weights) for name, w, b in inputs} | {"out": weights.packed(block.w_head_out[head])}
        for head in range(len(block.w_query))
    ]
    return {
        "order": block.order,
        "scale": block.scale,
        "heads": heads,
        "bias": weights.packed(block.b_head_out),
        "normAttention": _norm(block.norm_attention, weights),
        "normMlp": _norm(block.norm_mlp, weights),
        "mlp": None if block.mlp is None else _mlp(block.mlp, weights),
    }


def _mlp(mlp: FeedForward, weights: _Weights) -> Json:
    return {
        "act": mlp.activation,
        "in": _affine(mlp.w_in, mlp.b_in, weights),
        "gate": _affine(mlp.w_gate, mlp.b_gate, weights) if mlp.gated else None,
        "out": _affine(mlp.w_out, mlp.b_out, weights),
    }
