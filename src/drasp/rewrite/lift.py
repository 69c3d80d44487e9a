"""Lift: a Transformer rewritten exactly as a program (after Huang et al., with the norms kept exact by `norm`).

The residual stream is a sum of terms, each a variable times a fixed matrix. A head turns every term it reads into a new one, with the
same variable averaged by attention; an MLP adds one of its own. A norm is linear but for one positive scalar a position, which
is a `norm` of the terms and divides them. Where positions turn queries and keys, a term is paired with the cosines and sines of its
position.
"""

from dataclasses import dataclass, replace

import numpy as np

from drasp.errors import UnsupportedModelError
from drasp.ir.formulas import Arithmetic, Coordinate
from drasp.ir.nodes import ONE_READ, POS, Aggregate, Compute, Mlp, Pair, Prediction, Project, Read, Select, Table
from drasp.ir.nodes import Norm as NormStatement
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.model.parts.norms import Norm
from drasp.model.transformer import Block, FeedForward, Transformer
from drasp.model.wiring import Receiver, Sender, Wiring, component, full_wiring, live_senders
from drasp.rewrite.draft import Draft


@dataclass(frozen=True)
class Term:
    """One summand of the residual stream: what is read and its matrix, of shape (basis, D)."""

    read: Read
    matrix: np.ndarray


def expanded_statements(wiring: Wiring) -> int:
    """How many statements `lift` makes of a wiring, at the most; but for those that turn by position."""
    terms = {Sender("token"): 1, Sender("pos"): 1}
    read: dict[Receiver, int] = {}
    total, live = 2, live_senders(wiring)
    for receiver in wiring.reads:
        read[receiver] = 1 + sum(terms.get(sender, 0) for sender in wiring.reads[receiver])
        if receiver.kind in ("value", "norm") and component(receiver) in live:
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
        elif receiver.kind == "norm":
            total += count + 1
        elif receiver.kind == "mlp":
            total += 1
    return total


def lift(model: Transformer, header: Header, wiring: Wiring | None = None) -> Program:
    """The program that computes exactly what the model computes, or what is left of it with `wiring`.

    Raises:
        UnsupportedModelError: the header's vocabulary or number of positions is not the model's, or it attends to other keys.
    """
    if len(header.vocabulary) != model.vocabulary_size:
        raise UnsupportedModelError(
            f"the model has {model.vocabulary_size} tokens, the task's vocabulary has {len(header.vocabulary)}: they must be the same"
        )
    if len(header.predicted) != model.outputs:
        raise UnsupportedModelError(f"the model has {model.outputs} outputs, the program {len(header.predicted)}: they must be the same")
    if header.positions != model.positions:
        raise UnsupportedModelError(f"the model has {model.positions} positions, the program {header.positions}: they must be the same")
    pad = None if model.padding is None else header.vocabulary[model.padding]
    if (header.bidirectional, header.pad) != (model.bidirectional, pad):
        raise UnsupportedModelError(f"the model's attention is {model.attention}, with padding {pad}; the header says otherwise")
    return _Lift(model, header, full_wiring(model) if wiring is None else wiring).program()


class _Lift:
    """The program under construction, and the terms and the constant vector that each sender adds to the stream."""

    def __init__(self, model: Transformer, header: Header, wiring: Wiring) -> None:
        self.model = model
        self.wiring = wiring
        self.draft = Draft(header)
        self.terms = {
            Sender("token"): [Term(Read("token"), model.token_embedding)],
            Sender("pos"): [Term(Read("pos"), model.position_embedding)],
        }
        self.constants: dict[Sender, np.ndarray] = {}
        self.norms: dict[tuple[object, ...], str] = {}
        self.no_norm = Norm().of_width(model.width, "no norm")

    def program(self) -> Program:
        live = live_senders(self.wiring)
        for layer, block in enumerate(self.model.blocks):
            for head in range(self.model.heads):
                if Sender("head", layer, head) in live:
                    self._add_head(layer, head, block)
            if Sender("norm", layer, 0) in live:
                self._add_norm(Receiver("norm", layer, 0), block.norm_attention)
            if Sender("mlp", layer) in live:
                assert block.mlp is not None
                self._add_mlp(layer, block.mlp, self.no_norm if block.order == "post" else block.norm_mlp)
            if Sender("norm", layer, 1) in live:
                self._add_norm(Receiver("norm", layer, 1), block.norm_mlp)
        self._add_output()
        return self.draft.build()

    def _stream(self, receiver: Receiver) -> list[Term]:
        """The terms that a receiver reads, the constant one last."""
        constant = self.wiring.constants[receiver]
        found = []
        for sender, multiplier in self.wiring.reads[receiver].items():
            found += [Term(term.read, multiplier * term.matrix) for term in self.terms[sender]]
            constant = constant + multiplier * self.constants.get(sender, np.zeros(1))
        return [*found, Term(ONE_READ, constant[None])] if constant.any() or not found else found

    def _normed(self, receiver: Receiver, norm: Norm) -> list[Term]:
        """The terms that a receiver reads behind a norm, which is linear but for what divides them; but for its shift."""
        terms = self._stream(receiver)
        if not norm.kind.scaled:
            return [Term(term.read, norm.linear(term.matrix)) for term in terms]
        scalar = self._norm(terms, norm)
        return [Term(self._divided(term.read, scalar), norm.linear(term.matrix)) for term in terms]

    def _norm(self, terms: list[Term], norm: Norm) -> str:
        """The scalar of a norm of these terms; receivers that read the same share it."""
        key = (norm.kind.centred, norm.eps, *((term.read, term.matrix.tobytes()) for term in terms))
        if key not in self.norms:
            name = f"n{len(self.norms)}"
            stacked = np.concatenate([t.matrix - t.matrix.mean(axis=1, keepdims=True) if norm.kind.centred else t.matrix for t in terms])
            gram = stacked @ stacked.T / stacked.shape[1]
            op = f"G{len(self.norms)}"
            self.draft.add(NormStatement(name, tuple(t.read for t in terms), Dense(op)), {op: gram, f"{op}.eps": np.asarray(norm.eps)})
            self.norms[key] = name
        return self.norms[key]

    def _divided(self, read: Read, scalar: str) -> Read:
        """What is read, divided by one scalar more."""
        if read.over is None:
            return replace(read, over=scalar)
        name = f"{read.over}_{scalar}"
        if name not in self.draft.statements:
            factors = (Coordinate(Read(part), 0) for part in (read.over, scalar))
            self.draft.add(Compute(name, (Arithmetic("*", *factors),)))
        return replace(read, over=name)

    def _turned(self, term: Term) -> Term:
        """A query's or key's term (basis, Dh) turned by the position, where the model does that."""
        rotary = self.model.rotary
        if rotary is None:
            return term
        if "turn" not in self.draft.statements:
            self.draft.add(Table("turn", POS, Dense("R")), {"R": rotary.features(self.model.positions)})
        name = "turn"
        if term.read.variable != "one":
            name = f"turn_{term.read.variable}"
            if name not in self.draft.statements:
                self.draft.add(Pair(name, Read(term.read.variable), Read("turn")))
        return Term(replace(term.read, variable=name), rotary.turned(term.matrix))

    def _add_head(self, layer: int, head: int, block: Block) -> None:
        """The head's selectors and averages."""
        norm, label = self.no_norm if block.order == "post" else block.norm_attention, f"{layer}_{head}"
        query_terms, key_terms, value_terms = (self._normed(Receiver(kind, layer, head), norm) for kind in ("query", "key", "value"))
        queries = [Term(t.read, t.matrix @ block.w_query[head] * block.scale) for t in query_terms]
        queries.append(Term(ONE_READ, (norm.shift @ block.w_query[head] + block.b_query[head])[None] * block.scale))
        keys = [Term(t.read, t.matrix @ block.w_key[head]) for t in key_terms]
        if self.model.rotary is not None:  # else what is the same for all keys does not matter
            keys.append(Term(ONE_READ, (norm.shift @ block.w_key[head] + block.b_key[head])[None]))
        selectors: list[str] = []
        turned = [self._turned(key) for key in keys]
        for query in map(self._turned, queries):
            for key in turned:
                name = f"s{label}_{len(selectors)}"
                op = "A" + name[1:]
                self.draft.add(Select(name, query.read, key.read, Dense(op)), {op: query.matrix @ key.matrix.T})
                selectors.append(name)
        sender = Sender("head", layer, head)
        self.terms[sender] = []
        for index, term in enumerate(value_terms):
            name = f"a{label}_{index}"
            self.draft.add(Aggregate(name, tuple(selectors), term.read))
            self.terms[sender].append(Term(Read(name), term.matrix @ block.w_value[head] @ block.w_head_out[head]))
        self.constants[sender] = (norm.shift @ block.w_value[head] + block.b_value[head]) @ block.w_head_out[head]

    def _add_norm(self, receiver: Receiver, norm: Norm) -> None:
        """A norm of the stream itself: all that follow read it."""
        self.terms[component(receiver)] = self._normed(receiver, norm)
        self.constants[component(receiver)] = norm.shift

    def _add_mlp(self, layer: int, mlp: FeedForward, norm: Norm) -> None:
        name, op = f"m{layer}", f"M{layer}"
        read = self._stream(Receiver("mlp", layer))
        tensors: dict[str, np.ndarray] = {f"in.{i}": t.matrix for i, t in enumerate(read)}
        if norm.kind.scaled:
            tensors |= {"gain": norm.gain, "shift": norm.shift, "eps": np.asarray(norm.eps)}
        tensors |= {"w_in": mlp.w_in, "b_in": mlp.b_in, "w_out": mlp.w_out, "b_out": mlp.b_out}
        if mlp.gated:
            tensors |= {"w_gate": mlp.w_gate, "b_gate": mlp.b_gate}
        statement = Mlp(name, tuple(t.read for t in read), op, mlp.activation, norm.name)
        self.draft.add(statement, {f"{op}.{part}": tensor for part, tensor in tensors.items()})
        self.terms[Sender("mlp", layer)] = [Term(Read(name), np.eye(self.model.width))]

    def _add_output(self) -> None:
        model, final = self.model, self.model.norm_final
        terms = self._normed(Receiver("output", len(model.blocks)), final)
        projections = [Term(t.read, t.matrix @ model.unembedding) for t in terms]
        projections.append(Term(ONE_READ, (final.shift @ model.unembedding + model.unembedding_bias)[None]))
        for index, term in enumerate(projections):
            self.draft.add(Project(f"logits{index}", term.read, Dense(f"B{index}")), {f"B{index}": term.matrix})
        self.draft.add(Prediction(tuple(f"logits{index}" for index in range(len(projections)))))
