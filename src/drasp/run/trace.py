"""What a program computes on one sequence, as data and as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drasp.errors import DraspError
from drasp.ir.basis import Basis
from drasp.ir.labels import label_text
from drasp.ir.program import Program
from drasp.run.numpy_fast import Array, evaluate

COORDINATES, KEYS = 8, 4  # how many coordinates of a variable, and keys of an attention, the text shows
NEARLY_ZERO, UNSEEN = 1e-3, 0.005  # what the text leaves out: coordinates, weights of attention


@dataclass(frozen=True, eq=False)
class SequenceTrace:
    """Everything a program computes on one sequence.

    Attributes:
        program: what ran.
        tokens: (time) the sequence.
        positions: (time) the position ids.
        variables: for each variable that a statement assigns, (time, size of its basis).
        attention: for each aggregate its weights, query by key: (time, time).
        projections: for each projection what it adds to the logits, (time, outputs).
        logits: (time, outputs).
        predictions: (time) what is predicted, or the set of what may come next.
    """

    program: Program
    tokens: tuple[str, ...]
    positions: tuple[int, ...]
    variables: Mapping[str, Array]
    attention: Mapping[str, Array]
    projections: Mapping[str, Array]
    logits: Array
    predictions: tuple[str | frozenset[str], ...]

    def coordinates(self, name: str) -> tuple[str, ...]:
        """What the coordinates of a variable or projection are called, as they are written in a program.

        Raises:
            DraspError: there is no such variable or projection.
        """
        if name not in self.variables and name not in self.projections:
            raise DraspError(f"there is no variable {name}; there are {', '.join([*self.variables, *self.projections])}")
        axis = self.program.header.axis(self._basis(name))
        return tuple(label_text(axis.label(index)) for index in axis.ids)

    def _basis(self, name: str) -> Basis:
        return self.program.header.output if name in self.projections else self.program.bases[name]

    def predicted(self, index: int) -> str:
        """A prediction as text: a token or an output, or a set of them in their order."""
        found = self.predictions[index]
        if isinstance(found, str):
            return found
        return "{" + ", ".join(token for token in self.program.header.predicted if token in found) + "}"

    def values_text(self, name: str, index: int) -> str:
        """The largest coordinates of a variable or projection at one position: `a 0.5, <bos> 0.5`."""
        vector = (self.projections if name in self.projections else self.variables)[name][index]
        axis = self.program.header.axis(self._basis(name))
        order = [i for i in sorted(range(len(vector)), key=lambda i: -abs(vector[i])) if abs(vector[i]) > NEARLY_ZERO]
        shown = [f"{_coordinate(axis.label(i))} {vector[i]:.3g}" for i in sorted(order[:COORDINATES])]
        return (", ".join(shown) or "0") + " ..." * (len(order) > COORDINATES)

    def attends_text(self, name: str, index: int) -> str:
        """The keys that an aggregate attends to most from one position: `<bos>@0 0.50, a@1 0.50`."""
        weights = self.attention[name][index]
        top = sorted(range(len(weights)), key=lambda j: -weights[j])[:KEYS]
        return ", ".join(f"{self.tokens[j]}@{self.positions[j]} {weights[j]:.2f}" for j in top if weights[j] > UNSEEN)

    def text(self, details: bool = True) -> str:
        """A line for each position: its id, the token and what is predicted; with `details` the variables below it."""
        width = max(map(len, self.tokens))
        lines = []
        for index, token in enumerate(self.tokens):
            lines += [""] * details + [f"{self.positions[index]:>4}  {token:<{width}}  ->  {self.predicted(index)}"]
            for name in [*self.variables, *self.projections] if details else ():
                lines.append(f"      {name}: {self.values_text(name, index)}")
                if name in self.attention:
                    lines.append(f"          attends to {self.attends_text(name, index)}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__


def _coordinate(label: Any) -> str:
    """A coordinate without quotes: `a`, `[0]`, `(a, [3])`."""
    if isinstance(label, tuple):
        return f"({', '.join(map(_coordinate, label))})"
    return label if isinstance(label, str) else f"[{label}]"


def trace(program: Program, tokens: str | Sequence[str | int], offset: int = 0) -> SequenceTrace:
    """Runs a program on one sequence.

    Args:
        tokens: tokens or their ids, or tokens separated by spaces as one string; nothing is added to them.
        offset: the first position id.

    Raises:
        DraspError: there is no token, an unknown one, or more than the program has positions for.
    """
    vocabulary = program.header.vocabulary
    sequence = tokens.split() if isinstance(tokens, str) else list(tokens)
    if not sequence:
        raise DraspError("there is no token: give at least one")
    ids = [_id(token, vocabulary) for token in sequence]
    if offset < 0 or offset + len(ids) > program.header.positions:
        raise DraspError(f"{len(ids)} tokens from position {offset} on reach beyond the program's {program.header.positions} positions")
    positions = offset + np.arange(len(ids))
    found = evaluate(program, np.array([ids]), positions[None])
    logits, names = found.logits[0], program.header.predicted
    if program.header.predict == "next-token":
        predictions: tuple[str | frozenset[str], ...] = tuple(names[i] for i in logits.argmax(-1))
    else:
        predictions = tuple(frozenset(names[i] for i in np.flatnonzero(row > 0)) for row in logits)
    return SequenceTrace(
        program,
        tuple(vocabulary[i] for i in ids),
        tuple(positions.tolist()),
        {name: value[0] for name, value in found.values.items()},
        {name: weights[0] for name, weights in found.attention.items()},
        {name: value[0] for name, value in found.projections.items()},
        logits,
        predictions,
    )


def _id(token: object, vocabulary: tuple[str, ...]) -> int:
    if isinstance(token, str) and token in vocabulary:
        return vocabulary.index(token)
    if isinstance(token, int | np.integer) and not isinstance(token, bool) and 0 <= token < len(vocabulary):
        return int(token)
    raise DraspError(f"unknown token {token!r}; the program's vocabulary is {short_list(vocabulary)}")


def short_list(tokens: Sequence[str]) -> str:
    """A vocabulary in one line; of a long one the first and the last tokens."""
    return " ".join(tokens) if len(tokens) <= 16 else f"{' '.join(tokens[:3])} ... {' '.join(tokens[-6:])}"
