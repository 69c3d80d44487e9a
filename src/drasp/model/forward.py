"""The forward pass of a Transformer in torch, written from its description: the oracle that programs are compared with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from drasp.model.parts.masks import Seen
from drasp.model.parts.mlp import TorchMlp
from drasp.model.parts.norms import TorchNorm
from drasp.model.parts.positions import TorchRotary
from drasp.model.transformer import Block, Transformer
from drasp.model.wiring import Receiver, Sender
from drasp.tasks.protocol import Sample

Part = Sender | Receiver
Hook = Callable[[Part, Tensor], Tensor]
"""Told each head's keys, its values and what it has read (all (batch, time, Dh)), and what each MLP puts out, (batch, time, D).

What it returns is put in its place: so activations are cached, and patched.
"""


def attending(weights: Mapping[Sender, Tensor]) -> Hook:
    """A hook by which some heads attend as given, (batch, time, time), each to its own values."""
    values: dict[Sender, Tensor] = {}

    def hook(part: Part, value: Tensor) -> Tensor:
        if isinstance(part, Receiver):
            if part.kind == "value":
                values[Sender("head", part.layer, part.head)] = value
        elif part in weights:
            return weights[part].to(value.dtype) @ values[part]
        return value

    return hook


@dataclass(frozen=True)
class _Ids:
    """What is run.

    Attributes:
        tokens, positions: (batch, time) integers.
        mask: which keys the positions see.
        note: told what each part of a layer adds to the stream, by its name and the number of the layer.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor | None
    note: Callable[[str, Tensor], None] | None = None


class _TorchBlock:
    """One layer.

    Args:
        like: of the type wanted, and where that is.
    """

    def __init__(self, given: Block, turn: TorchRotary | None, like: Tensor) -> None:
        self.norm_attention, self.norm_mlp = TorchNorm(given.norm_attention, like), TorchNorm(given.norm_mlp, like)
        self.heads, self.scale, self.order, self.turn = given.w_query.shape[0], given.scale, given.order, turn
        # One matrix for the queries, keys and values of all heads: (D, 3 * H * Dh).
        stacked = [np.concatenate(list(w), axis=1) for w in (given.w_query, given.w_key, given.w_value)]
        self.sizes = [w.shape[1] for w in stacked]
        self.w_attention = like.new_tensor(np.concatenate(stacked, axis=1))
        self.b_attention = like.new_tensor(np.concatenate([b.reshape(-1) for b in (given.b_query, given.b_key, given.b_value)]))
        self.w_head_out = like.new_tensor(given.w_head_out.reshape(-1, given.w_head_out.shape[2]))
        self.b_head_out = like.new_tensor(given.b_head_out)
        self.mlp = None if given.mlp is None else TorchMlp(given.mlp, like)

    def forward(self, stream: Tensor, ids: _Ids, layer: int, hook: Hook | None = None, scored: Tensor | None = None) -> Tensor:
        """The residual stream (batch, time, D) after this layer; (scored positions, D) where `scored`, (batch, time) booleans, is given."""
        batch, time, _ = stream.shape
        query, key, value = self._mixed(stream, ids)
        if hook is not None:
            key = torch.stack([hook(Receiver("key", layer, head), key[:, head]) for head in range(self.heads)], dim=1)
            value = torch.stack([hook(Receiver("value", layer, head), value[:, head]) for head in range(self.heads)], dim=1)
        read = F.scaled_dot_product_attention(query, key, value, ids.mask, is_causal=ids.mask is None, scale=self.scale)
        if hook is not None:
            read = torch.stack([hook(Sender("head", layer, head), read[:, head]) for head in range(self.heads)], dim=1)
        read = read.transpose(1, 2).reshape(batch, time, -1)
        if scored is not None:
            stream, read = stream[scored], read[scored]
        before = stream
        stream = stream + read @ self.w_head_out + self.b_head_out
        if ids.note is not None:
            ids.note(f"attention {layer}", stream - before)
        if self.order == "post":
            before = stream = self.norm_attention(stream)
        elif self.order == "pre":
            before = stream
        if self.mlp is None:
            return stream
        added = self.mlp(before if self.order == "post" else self.norm_mlp(before))
        if ids.note is not None:
            ids.note(f"mlp {layer}", added)
        stream = stream + (added if hook is None else hook(Sender("mlp", layer), added))
        return self.norm_mlp(stream) if self.order == "post" else stream

    def attention(self, stream: Tensor, ids: _Ids) -> Tensor:
        """What each head attends to, (batch, H, time, time)."""
        query, key, _ = self._mixed(stream, ids)
        scores = query @ key.transpose(-1, -2) * self.scale
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        hidden = future if ids.mask is None else ~ids.mask
        return scores.masked_fill(hidden, -torch.inf).softmax(-1)

    def _mixed(self, stream: Tensor, ids: _Ids) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values: (batch, H, time, Dh) each."""
        batch, time, _ = stream.shape
        read = stream if self.order == "post" else self.norm_attention(stream)
        mixed = (read @ self.w_attention + self.b_attention).split(self.sizes, dim=-1)
        query, key, value = (part.view(batch, time, self.heads, -1).transpose(1, 2) for part in mixed)
        if self.turn is not None:
            query, key = (self.turn(part, ids.positions[:, None]) for part in (query, key))
        return query, key, value


class TorchTransformer:
    """A Transformer ready to run: its weights as torch tensors of one dtype on one device."""

    def __init__(self, transformer: Transformer, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"):
        like = torch.empty(0, dtype=dtype, device=device)
        self.device = torch.device(device)
        self.layers, self.heads = len(transformer.blocks), transformer.heads
        self._token_embedding = like.new_tensor(transformer.token_embedding)
        self._position_embedding = like.new_tensor(transformer.position_embedding) if transformer.embeds_positions else None
        self._unembedding = like.new_tensor(transformer.unembedding)
        self._unembedding_bias = like.new_tensor(transformer.unembedding_bias) if transformer.unembedding_bias.any() else None
        self._norm_final = TorchNorm(transformer.norm_final, like)
        self._seen = Seen(transformer)
        turn = None if transformer.rotary is None else TorchRotary(transformer.rotary, transformer.positions, like)
        self._blocks = [_TorchBlock(block, turn, like) for block in transformer.blocks]

    @torch.no_grad()
    def __call__(self, token_ids: np.ndarray | Tensor, position_ids: np.ndarray | Tensor | None = None, hook: Hook | None = None) -> Tensor:
        """Logits (batch, time, outputs) for integers (batch, time); `position_ids` default to 0..T-1."""
        return self._logits(token_ids, position_ids, hook)

    @torch.no_grad()
    def scored_logits(self, token_ids: Tensor, position_ids: Tensor, scored: Tensor) -> Tensor:
        """Logits (scored positions, outputs) for tensors (batch, time), `scored` of booleans: what they alone need of the last layer."""
        return self._logits(token_ids, position_ids, scored=scored)

    @torch.no_grad()
    def attention(self, token_ids: np.ndarray | Tensor, position_ids: np.ndarray | Tensor | None = None) -> dict[Sender, Tensor]:
        """For each head what each query attends to, (batch, time, time)."""
        ids = self._ids(token_ids, position_ids)
        stream = self._embedded(ids)
        found = {}
        for layer, block in enumerate(self._blocks):
            weights = block.attention(stream, ids)
            found.update({Sender("head", layer, head): weights[:, head] for head in range(self.heads)})
            stream = block.forward(stream, ids, layer)
        return found

    def activation_cache(self, sample: Sample) -> dict[Part, Tensor]:
        """Every head's keys, values and what it has read, and what every MLP puts out."""
        cache: dict[Part, Tensor] = {}

        def hook(part: Part, value: Tensor) -> Tensor:
            cache[part] = value
            return value

        self(*sample[:2], hook)
        return cache

    def patched_logits(self, sample: Sample, values: Mapping[Part, Tensor]) -> np.ndarray:
        """Logits (scored positions, outputs) under activation patching: some parts put out other values than their own.

        (Vig et al., "Causal mediation analysis for interpreting neural NLP", 2020; Meng et al., "Locating and editing factual associations
        in GPT", 2022.)
        """
        logits = self(*sample[:2], lambda part, value: values.get(part, value))
        return logits[torch.as_tensor(sample.scored, device=self.device)].cpu().numpy()

    @torch.no_grad()
    def steps(self, token_ids: Tensor) -> dict[str, Tensor]:
        """Everything on the way, (batch, time, D) each, in order: `embedding`; of each layer what attention and MLP add to the stream
        (`attention 0`, `mlp 0`), and the stream behind it (`layer 0`); the final norm (`norm`); and the logits (`output`).
        """
        found: dict[str, Tensor] = {}
        ids = replace(self._ids(token_ids, None), note=found.__setitem__)
        stream = found["embedding"] = self._embedded(ids)
        for layer, block in enumerate(self._blocks):
            stream = found[f"layer {layer}"] = block.forward(stream, ids, layer)
        normed = found["norm"] = self._norm_final(stream)
        found["output"] = self._unembedded(normed)
        return found

    def _logits(
        self,
        token_ids: np.ndarray | Tensor,
        position_ids: np.ndarray | Tensor | None,
        hook: Hook | None = None,
        scored: Tensor | None = None,
    ) -> Tensor:
        ids = self._ids(token_ids, position_ids)
        stream = self._embedded(ids)
        for layer, block in enumerate(self._blocks):
            stream = block.forward(stream, ids, layer, hook, scored if layer == self.layers - 1 else None)
        return self._unembedded(self._norm_final(stream))

    def _unembedded(self, normed: Tensor) -> Tensor:
        logits = normed @ self._unembedding
        return logits if self._unembedding_bias is None else logits + self._unembedding_bias

    def _ids(self, token_ids: np.ndarray | Tensor, position_ids: np.ndarray | Tensor | None) -> _Ids:
        tokens = torch.as_tensor(token_ids, dtype=torch.long, device=self.device)
        if position_ids is None:
            positions = torch.arange(tokens.shape[1], device=self.device).expand_as(tokens)
        else:
            positions = torch.as_tensor(position_ids, dtype=torch.long, device=self.device)
        return _Ids(tokens, positions, self._seen.mask(tokens, tokens.shape[1]))

    def _embedded(self, ids: _Ids) -> Tensor:
        stream = F.embedding(ids.tokens, self._token_embedding)
        return stream if self._position_embedding is None else stream + F.embedding(ids.positions, self._position_embedding)


def forward(
    transformer: Transformer,
    token_ids: np.ndarray | Tensor,
    position_ids: np.ndarray | Tensor | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Logits (batch, time, outputs) of one batch; for several batches make one `TorchTransformer` and call it."""
    return TorchTransformer(transformer, dtype, device)(token_ids, position_ids)
