"""Lift: a Transformer rewritten exactly as a program (after Huang et al., with LayerNorm kept exact by `norm`).

The residual stream is a sum of terms, each a variable times a fixed matrix. A head turns every term it reads into a new one, with the
same variable averaged by attention; an MLP adds one of its own. LayerNorm is linear but for one positive scalar a position, which
is a `norm` of the terms and divides them.
"""

from dataclasses import dataclass

import numpy as np

from drasp.errors import UnsupportedModelError
from drasp.ir.nodes import ONE_READ, Aggregate, Mlp, Norm, Prediction, Project, Read, Select
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.model.transformer import Block, LayerNorm, Transformer
from drasp.model.wiring import Receiver, Sender, Wiring, component, full_wiring, live_senders
from drasp.rewrite.draft import Draft


@dataclass(frozen=True)
class Term:
    """One summand of the residual stream: a variable and its matrix, of shape (basis, D)."""

    variable: str
    matrix: np.ndarray


def expanded_statements(wiring: Wiring) -> int:
    """How many statements `lift` makes of a wiring, at the most."""
    terms = {Sender("token"): 1, Sender("pos"): 1}
    read: dict[Receiver, int] = {}
    total, live = 2, live_senders(wiring)
    for receiver in sorted(wiring.reads, key=lambda c: (c.layer, c.kind in ("mlp", "output"))):
        read[receiver] = 1 + sum(terms.get(sender, 0) for sender in wiring.reads[receiver])
        if receiver.kind == "value" and component(receiver) in live:
            terms[component(receiver)] = read[receiver]
        elif receiver.kind == "mlp" and component(receiver) in live:
            terms[component(receiver)] = 1
    for receiver, count in read.items():
        if receiver.kind == "output":
            total += count + 1
        elif component(receiver) not in live:
            continue
        elif receiver.kind == "query":
            keys, values = (read[Receiver(kind, receiver.layer, receiver.head)] for kind in ("key", "value"))
            total += (count + 1) * keys + values + 3
        elif receiver.kind == "mlp":
            total += 1
    return total


def lift(model: Transformer, header: Header, wiring: Wiring | None = None) -> Program:
    """The program that computes exactly what the model computes, or what is left of it with `wiring`.

    Raises:
        UnsupportedModelError: the header's vocabulary or number of positions is not the model's.
    """
    if len(header.vocabulary) != model.vocabulary_size:
        raise UnsupportedModelError(
            f"the model has {model.vocabulary_size} tokens, the task's vocabulary has {len(header.vocabulary)}: they must be the same"
        )
    if header.positions != model.positions:
        raise UnsupportedModelError(f"the model has {model.positions} positions, the program {header.positions}: they must be the same")
    return _Lift(model, header, full_wiring(model) if wiring is None else wiring).program()


class _Lift:
    """The program under construction, and the terms and the constant vector that each sender adds to the stream."""

    def __init__(self, model: Transformer, header: Header, wiring: Wiring) -> None:
        self.model = model
        self.wiring = wiring
        self.draft = Draft(header)
        self.terms = {
            Sender("token"): [Term("token", model.token_embedding)],
            Sender("pos"): [Term("pos", model.position_embedding)],
        }
        self.constants: dict[Sender, np.ndarray] = {}
        self.norms: dict[tuple[tuple[str, bytes], ...], str] = {}

    def program(self) -> Program:
        live = live_senders(self.wiring)
        for layer, (block, scale) in enumerate(zip(self.model.blocks, self.model.score_scale, strict=True)):
            for head in range(self.model.heads):
                if Sender("head", layer, head) in live:
                    self._add_head(layer, head, block, scale)
            if Sender("mlp", layer) in live:
                self._add_mlp(layer, block)
        self._add_output()
        return self.draft.build()

    def _stream(self, receiver: Receiver) -> list[Term]:
        """The terms that a receiver reads, the constant one last."""
        constant = self.wiring.constants[receiver]
        found = []
        for sender, multiplier in self.wiring.reads[receiver].items():
            found += [Term(term.variable, multiplier * term.matrix) for term in self.terms[sender]]
            constant = constant + multiplier * self.constants.get(sender, np.zeros(1))
        return [*found, Term("one", constant[None])] if constant.any() or not found else found

    def _norm(self, terms: list[Term], eps: float) -> str:
        """The norm of these terms; receivers that read the same share it."""
        key = tuple((term.variable, term.matrix.tobytes()) for term in terms)
        if key not in self.norms:
            name = f"n{len(self.norms)}"
            stacked = np.concatenate([t.matrix - t.matrix.mean(axis=1, keepdims=True) for t in terms])
            gram = stacked @ stacked.T / stacked.shape[1]
            op = f"G{len(self.norms)}"
            self.draft.add(Norm(name, tuple(Read(t.variable) for t in terms), Dense(op)), {op: gram, f"{op}.eps": np.asarray(eps)})
            self.norms[key] = name
        return self.norms[key]

    def _add_head(self, layer: int, head: int, block: Block, scale: float) -> None:
        """The head's selectors and averages."""
        norm, label = block.norm_attention, f"{layer}_{head}"
        query_terms, key_terms, value_terms = (self._stream(Receiver(kind, layer, head)) for kind in ("query", "key", "value"))
        query_norm, key_norm, value_norm = (self._norm(terms, norm.eps) for terms in (query_terms, key_terms, value_terms))
        queries = [(Read(t.variable, query_norm), _linear(t.matrix, norm) @ block.w_query[head] * scale) for t in query_terms]
        queries.append((ONE_READ, (norm.shift @ block.w_query[head] + block.b_query[head])[None] * scale))
        selectors: list[str] = []
        for query_read, query in queries:
            for key_term in key_terms:
                name = f"s{label}_{len(selectors)}"
                op = "A" + name[1:]
                key = _linear(key_term.matrix, norm) @ block.w_key[head]
                self.draft.add(Select(name, query_read, Read(key_term.variable, key_norm), Dense(op)), {op: query @ key.T})
                selectors.append(name)
        sender = Sender("head", layer, head)
        self.terms[sender] = []
        for index, term in enumerate(value_terms):
            name = f"a{label}_{index}"
            self.draft.add(Aggregate(name, tuple(selectors), Read(term.variable, value_norm)))
            self.terms[sender].append(Term(name, _linear(term.matrix, norm) @ block.w_value[head] @ block.w_head_out[head]))
        self.constants[sender] = (norm.shift @ block.w_value[head] + block.b_value[head]) @ block.w_head_out[head]

    def _add_mlp(self, layer: int, block: Block) -> None:
        name, op = f"m{layer}", f"M{layer}"
        read = self._stream(Receiver("mlp", layer))
        self.draft.add(
            Mlp(name, tuple(Read(t.variable) for t in read), op),
            {f"{op}.in.{i}": t.matrix for i, t in enumerate(read)}
            | {f"{op}.gain": block.norm_mlp.gain, f"{op}.shift": block.norm_mlp.shift, f"{op}.eps": np.asarray(block.norm_mlp.eps)}
            | {f"{op}.w_in": block.w_in, f"{op}.b_in": block.b_in, f"{op}.w_out": block.w_out, f"{op}.b_out": block.b_out},
        )
        self.terms[Sender("mlp", layer)] = [Term(name, np.eye(self.model.width))]

    def _add_output(self) -> None:
        final = self.model.norm_final
        terms = self._stream(Receiver("output", len(self.model.blocks)))
        norm = self._norm(terms, final.eps)
        projections = [(Read(t.variable, norm), _linear(t.matrix, final) @ self.model.unembedding) for t in terms]
        projections.append((ONE_READ, (final.shift @ self.model.unembedding)[None]))
        for index, (read, matrix) in enumerate(projections):
            self.draft.add(Project(f"logits{index}", read, Dense(f"B{index}")), {f"B{index}": matrix})
        self.draft.add(Prediction(tuple(f"logits{index}" for index in range(len(projections)))))


def _linear(matrix: np.ndarray, norm: LayerNorm) -> np.ndarray:
    """The linear part of LayerNorm: centring, then the gain."""
    return (matrix - matrix.mean(axis=-1, keepdims=True)) * norm.gain
