"""The forward pass of a Transformer in torch, written from its description: the oracle that programs are compared with."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from drasp.model.transformer import LayerNorm, Transformer
from drasp.model.wiring import Receiver, Sender

Part = Sender | Receiver
Hook = Callable[[Part, Tensor], Tensor]
"""Told each head's keys, its values and what it has read (all (batch, time, Dh)), and what each MLP puts out, (batch, time, D).

What it returns is put in its place: so activations are cached, and patched.
"""


@dataclass(frozen=True)
class _TorchBlock:
    norm_attention: tuple[Tensor, Tensor, float]
    norm_mlp: tuple[Tensor, Tensor, float]
    w_attention: Tensor
    b_attention: Tensor
    w_head_out: Tensor
    b_head_out: Tensor
    w_in: Tensor
    b_in: Tensor
    w_out: Tensor
    b_out: Tensor
    heads: int
    scale: float

    def forward(self, stream: Tensor, layer: int, hook: Hook | None = None, scored: Tensor | None = None) -> Tensor:
        """The residual stream (batch, time, D) after this layer; (scored positions, D) where `scored`, (batch, time) booleans, is given."""
        batch, time, _ = stream.shape
        query, key, value = self._mixed(stream)
        if hook is not None:
            key = torch.stack([hook(Receiver("key", layer, head), key[:, head]) for head in range(self.heads)], dim=1)
            value = torch.stack([hook(Receiver("value", layer, head), value[:, head]) for head in range(self.heads)], dim=1)
        read = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=self.scale)
        if hook is not None:
            read = torch.stack([hook(Sender("head", layer, head), read[:, head]) for head in range(self.heads)], dim=1)
        read = read.transpose(1, 2).reshape(batch, time, -1)
        if scored is not None:
            stream, read = stream[scored], read[scored]
        stream = stream + read @ self.w_head_out + self.b_head_out
        hidden = F.gelu(_norm(stream, self.norm_mlp) @ self.w_in + self.b_in, approximate="tanh")
        added = hidden @ self.w_out + self.b_out
        return stream + (added if hook is None else hook(Sender("mlp", layer), added))

    def attention(self, stream: Tensor) -> Tensor:
        """What each head attends to, (batch, H, time, time)."""
        query, key, _ = self._mixed(stream)
        scores = query @ key.transpose(-1, -2) * self.scale
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        return scores.masked_fill(future, -torch.inf).softmax(-1)

    def _mixed(self, stream: Tensor) -> Tensor:
        """Queries, keys and values: (3, batch, H, time, Dh)."""
        batch, time, _ = stream.shape
        mixed = _norm(stream, self.norm_attention) @ self.w_attention + self.b_attention
        return mixed.view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)


def _norm(x: Tensor, norm: tuple[Tensor, Tensor, float]) -> Tensor:
    gain, shift, eps = norm
    return F.layer_norm(x, gain.shape, gain, shift, eps)


class TorchTransformer:
    """A Transformer ready to run: its weights as torch tensors of one dtype on one device."""

    def __init__(self, transformer: Transformer, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"):
        def tensor(array: np.ndarray) -> Tensor:
            return torch.tensor(array, dtype=dtype, device=device)

        def norm(given: LayerNorm) -> tuple[Tensor, Tensor, float]:
            return tensor(given.gain), tensor(given.shift), given.eps

        self.device = torch.device(device)
        self.layers, self.heads = len(transformer.blocks), transformer.heads
        self._token_embedding = tensor(transformer.token_embedding)
        self._position_embedding = tensor(transformer.position_embedding)
        self._unembedding = tensor(transformer.unembedding)
        self._norm_final = norm(transformer.norm_final)
        self._blocks = [
            _TorchBlock(
                norm_attention=norm(block.norm_attention),
                norm_mlp=norm(block.norm_mlp),
                # One matrix for the queries, keys and values of all heads: (D, 3 * H * Dh).
                w_attention=tensor(
                    np.concatenate([np.concatenate(list(w), axis=1) for w in (block.w_query, block.w_key, block.w_value)], axis=1)
                ),
                b_attention=tensor(np.concatenate([b.reshape(-1) for b in (block.b_query, block.b_key, block.b_value)])),
                w_head_out=tensor(block.w_head_out.reshape(-1, transformer.width)),
                b_head_out=tensor(block.b_head_out),
                w_in=tensor(block.w_in),
                b_in=tensor(block.b_in),
                w_out=tensor(block.w_out),
                b_out=tensor(block.b_out),
                heads=block.w_query.shape[0],
                scale=scale,
            )
            for block, scale in zip(transformer.blocks, transformer.score_scale, strict=True)
        ]

    @torch.no_grad()
    def __call__(self, token_ids: np.ndarray | Tensor, position_ids: np.ndarray | Tensor | None = None, hook: Hook | None = None) -> Tensor:
        """Logits (batch, time, V) for integers (batch, time); `position_ids` default to 0..T-1. Attention is causal."""
        return self._logits(token_ids, position_ids, hook)

    @torch.no_grad()
    def scored_logits(self, token_ids: Tensor, position_ids: Tensor, scored: Tensor) -> Tensor:
        """Logits (scored positions, V) for tensors (batch, time), `scored` of booleans: what they alone need of the last layer."""
        return self._logits(token_ids, position_ids, scored=scored)

    @torch.no_grad()
    def attention(self, token_ids: np.ndarray | Tensor, position_ids: np.ndarray | Tensor | None = None) -> dict[Sender, Tensor]:
        """For each head what each query attends to, (batch, time, time)."""
        stream = self._embedded(token_ids, position_ids)
        found = {}
        for layer, block in enumerate(self._blocks):
            weights = block.attention(stream)
            found.update({Sender("head", layer, head): weights[:, head] for head in range(self.heads)})
            stream = block.forward(stream, layer)
        return found

    def _logits(
        self,
        token_ids: np.ndarray | Tensor,
        position_ids: np.ndarray | Tensor | None,
        hook: Hook | None = None,
        scored: Tensor | None = None,
    ) -> Tensor:
        stream = self._embedded(token_ids, position_ids)
        for layer, block in enumerate(self._blocks):
            stream = block.forward(stream, layer, hook, scored if layer == self.layers - 1 else None)
        return _norm(stream, self._norm_final) @ self._unembedding

    def _embedded(self, token_ids: np.ndarray | Tensor, position_ids: np.ndarray | Tensor | None) -> Tensor:
        tokens = torch.as_tensor(token_ids, dtype=torch.long, device=self.device)
        if position_ids is None:
            positions = torch.arange(tokens.shape[1], device=self.device).expand_as(tokens)
        else:
            positions = torch.as_tensor(position_ids, dtype=torch.long, device=self.device)
        return F.embedding(tokens, self._token_embedding) + F.embedding(positions, self._position_embedding)


def forward(
    transformer: Transformer,
    token_ids: np.ndarray | Tensor,
    position_ids: np.ndarray | Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Logits (batch, time, V) of one batch; for several batches make one `TorchTransformer` and call it."""
    return TorchTransformer(transformer, dtype, device)(token_ids, position_ids)
