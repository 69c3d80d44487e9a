"""A compiler from D-RASP to the weights of a GPT-2, LayerNorm included: models of which the program is known.

Every variable has coordinates of its own in the residual stream, each of them twice, the second time negated, so that the mean which
LayerNorm takes off is 0. One more pair holds a constant c that outweighs all others: with s the sum of the squares of the other
coordinates, LayerNorm divides by sqrt(2 (c^2 + s) / D), D the width. A token and a position add 1 each to s, any other variable between 0
and 1 (a share of each token, or a step). The gain is that root for s in the middle, so whatever is read has a relative error of n / (4 c^2)
at the most, n the number of these other variables: 6e-5 for four of them and c = 128. (The eps of 1e-5 is a millionth of that root.) Single
precision adds c 2^-24 = 8e-6 to what is read.

Queries hold x A for each selector of a head, keys the variables that are asked for, values what is averaged. An MLP computes steps: for a
linear form f that is never nearer to 0 than a margin, step(f) = (gelu(k f + 1) - gelu(k f - 1)) / 2 with k the margin's eightfold inverse,
where gelu is 0 or linear but for 1e-9. The unembedding is not tied to the embedding.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from drasp.errors import DraspError
from drasp.ir.formulas import Apply, Arithmetic, Coordinate, Formula, Negate, Number
from drasp.ir.nodes import Aggregate, Compute, Prediction, Project, Select
from drasp.ir.program import Program
from drasp.model.transformer import Block, FeedForward, LayerNorm, Transformer

CONSTANT = 128.0
EPS = 1e-5
STEEP = 8.0
NEAREST = 0.005
"""How near to 0 the forms of steps may come."""

Form = Mapping[tuple[str, str | int], float]
"""A linear form: for each variable and coordinate a coefficient; of `one` the constant."""


def compile_program(program: Program, margin: float = NEAREST) -> Transformer:
    """The Transformer that computes a program, in single precision.

    Args:
        program: of selects, aggregates, projections and steps of linear forms, nothing dense and nothing divided; causal.
        margin: how near to 0 the forms come at the nearest.

    Raises:
        DraspError: a statement is of another kind.
    """
    for statement in program.statements:
        steps = isinstance(statement, Compute) and all(isinstance(f, Apply) and f.function == "step" for f in statement.formulas)
        if not isinstance(statement, Select | Aggregate | Project | Prediction) and not steps:
            raise DraspError(f"{statement.name} cannot be compiled: selects, aggregates, projections and steps of linear forms can")
        if any(read.over for read in statement.reads):
            raise DraspError(f"{statement.name} cannot be compiled: it divides what it reads")
    return _Compiler(program, margin).transformer()


def heads_of(program: Program) -> list[list[Aggregate]]:
    """For each layer the averages of a program that are computed there, each by the head of its place in the list."""
    times = _times(program)
    averages = [s for s in program.statements if isinstance(s, Aggregate)]
    layers = (max(times.values()) + 1) // 2
    return [[s for s in averages if times[s.name] == 2 * layer + 1] for layer in range(layers)]


def _times(program: Program) -> dict[str, int]:
    """When each variable is there: token, position and constant at 0, what the attention of layer n computes at 2n+1, what its MLP does at
    2n+2.
    """
    times = {"token": 0, "pos": 0, "one": 0}
    for statement in program.statements:
        if isinstance(statement, Aggregate):
            selects = [program.by_name[name] for name in statement.selectors]
            last = max(times[read.variable] for part in (statement, *selects) for read in part.reads)
            times[statement.name] = last + 1 + last % 2
        elif isinstance(statement, Compute):
            last = max(times[read.variable] for read in statement.reads)
            times[statement.name] = last + 2 - last % 2
    return times


@dataclass(frozen=True)
class _Place:
    """The coordinates of a variable, and when it is there."""

    start: int
    size: int
    time: int


class _Compiler:
    """The residual stream, and what is read from it and written to it."""

    def __init__(self, program: Program, margin: float) -> None:
        self.program, self.margin = program, margin
        self.places: dict[str, _Place] = {}
        start = 0
        for name, time in _times(program).items():
            size = program.bases[name].size
            self.places[name] = _Place(start, size, time)
            start += size
        self.half = start
        self.heads = heads_of(program)

    def transformer(self) -> Transformer:
        """The whole model."""
        program, places = self.program, self.places
        positions = self._written("pos", np.eye(places["pos"].size)) + CONSTANT * self._written("one", np.ones((1, 1)))
        width = self.half  # of a head: it can ask for any variable
        blocks = tuple(self._block(layer, width) for layer in range(max(len(self.heads), 1)))
        unembedding = np.zeros((2 * self.half, len(program.header.vocabulary)))
        for statement in program.statements:
            if isinstance(statement, Project):
                unembedding += self._read(statement.input.variable) @ program.matrix(statement.name)
        tokens = self._written("token", np.eye(places["token"].size))
        tokens, positions, unembedding = (array.astype(np.float32) for array in (tokens, positions, unembedding))
        return Transformer(tokens, unembedding, blocks, positions, self._norm(2 * len(blocks) + 1), sha256="planted")

    def _read(self, variable: str) -> np.ndarray:
        """What takes a variable out of the normed stream: (D, size). Both its copies are read, which cancels an error in the mean."""
        return self._written(variable, np.eye(self.places[variable].size)).T / (2 * CONSTANT if variable == "one" else 2)

    def _written(self, variable: str, matrix: np.ndarray) -> np.ndarray:
        """Rows that are to be a variable's value, in the stream: (rows, D)."""
        place = self.places[variable]
        found = np.zeros((len(matrix), 2 * self.half))
        found[:, place.start : place.start + place.size] = matrix
        found[:, self.half + place.start : self.half + place.start + place.size] = -matrix
        return found

    def _norm(self, time: int) -> LayerNorm:
        """The LayerNorm of what is there before a time: its gain undoes the division."""
        others = sum(place.time < time for place in self.places.values()) - 3
        root = np.sqrt(2 * (CONSTANT**2 + 2 + others / 2) / (2 * self.half))
        return LayerNorm(np.full(2 * self.half, root, np.float32), eps=EPS)

    def _block(self, layer: int, width: int) -> Block:
        """One layer; `width` is that of a head."""
        count = max(len(heads) for heads in self.heads) if self.heads else 1
        shape = (count, 2 * self.half, width)
        query, key, value = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        out = np.zeros((count, width, 2 * self.half))
        for number, head in enumerate(self.heads[layer] if self.heads else ()):
            at = 0
            for variable, asked in self._asked(head).items():
                size = self.places[variable].size
                query[number][:, at : at + size] = asked * np.sqrt(width)
                key[number][:, at : at + size] = self._read(variable)
                at += size
            size = self.places[head.name].size
            value[number][:, :size] = self._read(head.value.variable)
            out[number][:size] = self._written(head.name, np.eye(size))
        w_in, b_in, w_out = self._mlp(2 * layer + 2)
        query, key, value, out = (array.astype(np.float32) for array in (query, key, value, out))
        mlp = FeedForward(w_in.astype(np.float32), w_out.astype(np.float32), b_in.astype(np.float32))
        norms = [self._norm(2 * layer + time) for time in (1, 2)]
        return Block(query, key, value, out, norm_attention=norms[0], norm_mlp=norms[1], mlp=mlp)

    def _asked(self, head: Aggregate) -> dict[str, np.ndarray]:
        """For each variable of the keys what the queries ask of it: (D, size)."""
        asked: dict[str, np.ndarray] = {}
        for name in head.selectors:
            select = self.program.by_name[name]
            assert isinstance(select, Select)
            scores = self._read(select.query.variable) @ self.program.matrix(name)
            asked[select.key.variable] = asked.get(select.key.variable, 0) + scores
        return asked

    def _mlp(self, time: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The steps that are there from a time on: w_in, b_in, w_out, two hidden units each; two idle ones where there is no step."""
        w_in, b_in, w_out = [np.zeros((2 * self.half, 2))], [np.zeros(2)], [np.zeros((2, 2 * self.half))]
        for statement in self.program.statements:
            if isinstance(statement, Compute) and self.places[statement.name].time == time:
                for number, formula in enumerate(statement.formulas):
                    assert isinstance(formula, Apply)
                    steep = self._direction(linear(formula.arguments[0])) * STEEP / self.margin
                    w_in.append(np.stack([steep, steep], axis=1))
                    b_in.append(np.array([1.0, -1.0]))
                    unit = self._written(statement.name, np.eye(self.places[statement.name].size)[number : number + 1])
                    w_out.append(np.concatenate([unit, -unit]) / 2)
        return np.concatenate(w_in, axis=1), np.concatenate(b_in), np.concatenate(w_out)

    def _direction(self, form: Form) -> np.ndarray:
        """What a form reads: (D)."""
        found = np.zeros(2 * self.half)
        for (variable, label), coefficient in form.items():
            axis = self.program.header.axis(self.program.bases[variable])
            index = 0 if variable == "one" else axis.index(label)
            found += coefficient * self._read(variable)[:, index]
        return found


def linear(formula: Formula) -> dict[tuple[str, str | int], float]:
    """A formula as a linear form.

    Raises:
        DraspError: it is none.
    """
    if isinstance(formula, Number):
        return {("one", 0): formula.value}
    if isinstance(formula, Coordinate):
        return {(formula.read.variable, formula.label): 1.0}
    if isinstance(formula, Negate):
        return _scaled(linear(formula.operand), -1.0)
    if isinstance(formula, Arithmetic) and formula.operator in ("+", "-"):
        right = _scaled(linear(formula.right), 1.0 if formula.operator == "+" else -1.0)
        left = linear(formula.left)
        return {key: left.get(key, 0.0) + right.get(key, 0.0) for key in (*left, *right)}
    if isinstance(formula, Arithmetic) and formula.operator == "*" and isinstance(formula.left, Number):
        return _scaled(linear(formula.right), formula.left.value)
    raise DraspError(f"{formula.text()} is no sum of coordinates with coefficients before them")


def _scaled(form: Form, factor: float) -> dict[tuple[str, str | int], float]:
    return {key: factor * value for key, value in form.items()}
