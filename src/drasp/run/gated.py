"""The torch executor: a program as a differentiable function, each of its parts with a multiplier.

It means what `drasp.run.meaning` says, and is tested against it. The search needs more: to ablate parts, wholly or in part, and to know
how much that costs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from drasp.core.parallel import go_on
from drasp.ir.activations import ACTIVATIONS
from drasp.ir.formulas import TESTS, Apply, Arithmetic, Coordinate, Formula, Negate, Number
from drasp.ir.labels import Label
from drasp.ir.nodes import (
    Aggregate,
    Case,
    Compare,
    Compute,
    Harden,
    Mlp,
    Norm,
    Pair,
    Prediction,
    Project,
    Read,
    Select,
    Sharpen,
    Statement,
    Table,
)
from drasp.ir.norms import NORMS
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.run.gram import gram_factor


@dataclass(frozen=True)
class AblationPoint:
    """A part of a program that can be ablated.

    Attributes:
        statement: its name.
        part: `line`, what a select or project adds; `input`, what one input adds to an mlp or norm; `division`, the divisor of one read;
            `total`, the logits or the summed inputs of an mlp or norm, which is only observed.
        slot: which input or read; 0 for a line.
    """

    statement: str
    part: str
    slot: int = 0


@dataclass(frozen=True)
class Mask:
    """How much is left of each ablation point: it adds `m * value + (1 - m) * mean`.

    At m = 0 that is mean ablation (as in Wang et al., "Interpretability in the wild", 2022); between, it has a gradient in m.

    Attributes:
        points: the column of each point's m; the points that are missing are at 1.
        multipliers: m, (points) or (batch, points).
        means: what replaces each point: for a line or input its mean; for a division, 1/n by coordinate of a one-hot variable, or a
            scalar. In a projection it is always a scalar: all that reaches the logits keeps its proportions. Missing: zero.
        constants: added to the logits ("prediction") or to the summed inputs of an mlp or norm (by its name).
    """

    points: Mapping[AblationPoint, int]
    multipliers: Tensor
    means: Mapping[AblationPoint, Tensor] = field(default_factory=dict)
    constants: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class _Value:
    """A variable: hot indices (batch, time), or dense coordinates (batch, time, size)."""

    size: int
    ids: Tensor | None = None
    dense: Tensor | None = None

    def times(self, matrix: Tensor) -> Tensor:
        if self.ids is not None:
            return torch.nn.functional.embedding(self.ids, matrix)  # several times as fast as matrix[ids]
        assert self.dense is not None
        return self.dense @ matrix

    def last(self, count: int) -> "_Value":
        """Its last `count` positions."""
        return _Value(
            self.size,
            None if self.ids is None else self.ids[:, -count:],
            None if self.dense is None else self.dense[:, -count:],
        )

    def coordinates(self, dtype: torch.dtype) -> Tensor:
        if self.dense is not None:
            return self.dense
        assert self.ids is not None
        return torch.nn.functional.one_hot(self.ids, self.size).to(dtype)


Observer = Callable[[AblationPoint, Tensor, Tensor | None], None]


class Executor:
    """Runs one program on one device.

    Args:
        program: what to run; the operators that the search makes, and symbolic selectors, can be ablated.
        dtype: torch.float32 or torch.float64.
    """

    def __init__(self, program: Program, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.program = program
        self.device = torch.device(device)
        self.dtype = dtype
        self._tensors: dict[str, Tensor] = {name: self._tensor(array) for name, array in program.operators.items()}
        self.matrices: dict[str, Tensor] = {}
        self.elsewhere = read_elsewhere(program)
        for statement in program.statements:
            if isinstance(statement, Norm) and isinstance(statement.op, Dense):
                self.matrices[statement.name] = self._tensor(gram_factor(program.matrix(statement.name)))
            elif isinstance(statement, Select | Project | Table | Compare | Norm):
                dense = self._tensors.get(statement.op.name) if isinstance(statement.op, Dense) else None
                self.matrices[statement.name] = self._tensor(program.matrix(statement.name)) if dense is None else dense

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=self.dtype, device=self.device)

    def input_width(self, statement: Norm | Mlp) -> int:
        """The size of the sum of the inputs of an mlp or norm."""
        matrix = self._tensors[f"{statement.op}.in.0"] if isinstance(statement, Mlp) else self.matrices[statement.name]
        return matrix.shape[1]

    def logits(self, token_ids: Tensor, position_ids: Tensor, mask: Mask | None = None, observe: Observer | None = None) -> Tensor:
        """Logits (batch, time, outputs) for integer tensors (batch, time).

        `observe` is called with each point, what it adds, and for a division the hot indices of the variable divided (None if not one-hot).
        """
        return _Run(self, (token_ids, position_ids), mask, observe).logits()

    def attention(self, token_ids: Tensor, position_ids: Tensor) -> dict[tuple[str, ...], Tensor]:
        """For each sum of selectors what its averages attend to, (batch, time, time); the uniform average of no selectors is left out."""
        run = _Run(self, (token_ids, position_ids))
        run.logits()
        return {selectors: weights for (selectors, _), weights in run.attention.items()}

    def uniform(self, token_ids: Tensor) -> Tensor:
        """The uniform average over the keys that each query sees, (batch or 1, time, time)."""
        hidden = hidden_keys(self.program.header, token_ids)
        zeros = torch.zeros(1, *token_ids.shape[1:] * 2, device=self.device)
        return (zeros if hidden is None else torch.where(hidden, -torch.inf, zeros)).softmax(-1)

    def scored_logits(self, token_ids: Tensor, position_ids: Tensor, scored: Tensor, mask: Mask | None = None) -> Tensor:
        """Logits (scored positions, outputs), where `scored` marks them, (batch, time): what no other position reads is computed from
        the first scored position on.
        """
        last = since_first(scored)
        return _Run(self, (token_ids, position_ids), mask, last=last).logits()[scored[:, -last:]]


def since_first(scored: Tensor) -> int:
    """How many positions there are from the first that is scored in any sequence, for booleans (batch, time)."""
    return scored.shape[1] - int(scored.any(0).int().argmax())


def hidden_keys(header: Header, token_ids: Tensor) -> Tensor | None:
    """Which keys a query does not see, (batch or 1, time, time) booleans; None where it sees all."""
    time = token_ids.shape[1]
    future = None
    if not header.bidirectional:
        future = torch.ones(time, time, dtype=torch.bool, device=token_ids.device).triu(1)[None]
    real = None if header.pad is None else token_ids != header.vocabulary.index(header.pad)
    if real is None or real.all():
        return future
    others = real.any(1, keepdim=True).expand_as(real) if header.bidirectional else real.cumsum(1) > 0
    padding = ~real[:, None, :] & others[:, :, None]
    return padding if future is None else padding | future


def read_elsewhere(program: Program) -> frozenset[str]:
    """The variables that other positions read, through attention."""
    found: set[str] = set()
    for statement in reversed(program.statements):
        if isinstance(statement, Aggregate):
            selectors = [s for s in map(program.by_name.__getitem__, statement.selectors) if isinstance(s, Select)]
            reads = [statement.value, *(s.key for s in selectors)]
            if statement.name in found:
                reads += [s.query for s in selectors]
        elif statement.name in found:
            reads = list(statement.reads)
        else:
            continue
        found.update(variable for read in reads for variable in read.variables())
    return frozenset(found)


class _Run:
    """One forward pass.

    Args:
        ids: of the tokens and of the positions, each (batch, time).
        last: at how many positions, the last ones, the variables are computed that no other position reads; None: at all.
    """

    def __init__(
        self,
        executor: Executor,
        ids: tuple[Tensor, Tensor],
        mask: Mask | None = None,
        observe: Observer | None = None,
        last: int | None = None,
    ) -> None:
        token_ids, position_ids = ids
        self.program = executor.program
        self.tensors = executor._tensors
        self.matrices = executor.matrices
        self.dtype = executor.dtype
        self.device = executor.device
        self.mask = mask
        self.observe = observe
        bases = self.program.bases
        self.batch, self.time = token_ids.shape
        self.elsewhere = executor.elsewhere
        self.last = self.time if last is None else last
        self.count = self.time  # at how many positions the present statement is computed
        self.values: dict[str, _Value] = {
            "token": _Value(bases["token"].size, ids=token_ids),
            "pos": _Value(bases["pos"].size, ids=position_ids),
            "one": _Value(1, ids=torch.zeros_like(token_ids)),
        }
        self.projections: dict[str, Tensor] = {}
        self.attention: dict[tuple[tuple[str, ...], int], Tensor] = {}
        self.hidden = hidden_keys(self.program.header, token_ids)

    def logits(self) -> Tensor:
        for statement in self.program.statements:
            go_on()
            self.count = self.time if statement.name in self.elsewhere else self.last
            if isinstance(statement, Aggregate):
                self.values[statement.name] = self._aggregate(statement)
            elif isinstance(statement, Project):
                self.projections[statement.name] = self._ablated(
                    AblationPoint(statement.name, "line"), self._times(statement, 0, self.matrices[statement.name])
                )
            elif isinstance(statement, Norm):
                self.values[statement.name] = self._norm(statement)
            elif isinstance(statement, Mlp):
                self.values[statement.name] = self._mlp(statement)
            elif isinstance(statement, Table):
                dense = self._times(statement, 0, self.matrices[statement.name])
                self.values[statement.name] = _Value(dense.shape[-1], dense=dense)
            elif isinstance(statement, Prediction):
                size = len(self.program.header.predicted)
                zero = torch.zeros(self.batch, self.count, size, device=self.device, dtype=self.dtype)
                return self._constant("prediction", sum((self.projections[name] for name in statement.logits), zero))
            elif not isinstance(statement, Select):
                self.values[statement.name] = self._elementwise(statement)
        raise AssertionError("a program ends with its prediction")

    def _ablated(self, point: AblationPoint, value: Tensor, ids: Tensor | None = None) -> Tensor:
        if self.observe is not None:
            self.observe(point, value, ids)
        if self.mask is None or point not in self.mask.points:
            return value
        m = self.mask.multipliers[..., self.mask.points[point]]
        m = m.reshape(-1, *[1] * (value.dim() - 1))
        mean = self.mask.means.get(point)
        if mean is None:
            return m * value
        if ids is not None:
            mean = mean[ids]
        return m * value + (1 - m) * mean

    def _constant(self, name: str, value: Tensor) -> Tensor:
        if self.observe is not None:
            self.observe(AblationPoint(name, "total"), value, None)
        if self.mask is None or name not in self.mask.constants:
            return value
        return value + self.mask.constants[name]

    def _value(self, variable: str) -> _Value:
        """A variable at the positions of the present statement."""
        return self.values[variable].last(self.count)

    def _scale(self, statement: Statement, slot: int, count: int) -> Tensor | None:
        """What the read's variable is multiplied by at the last `count` positions, (batch, count): None or 1 over its divisor."""
        read = statement.reads[slot]
        if read.over is None:
            return None
        divisor = self.values[read.over].last(count).coordinates(self.dtype)[..., 0]
        inverse = torch.where(divisor == 0, 0, 1 / divisor)
        ids = None if isinstance(statement, Project) else self.values[read.variable].last(count).ids
        return self._ablated(AblationPoint(statement.name, "division", slot), inverse, ids)

    def _times(self, statement: Statement, slot: int, matrix: Tensor) -> Tensor:
        product = self._value(statement.reads[slot].variable).times(matrix)
        scale = self._scale(statement, slot, self.count)
        return product if scale is None else product * scale[..., None]

    def _scores(self, selectors: tuple[str, ...]) -> Tensor:
        """The summed scores at the present statement's positions, (batch, count, time).

        What is compared with the same keys is added up before it meets them.
        """
        wanted: dict[tuple[str, str | None, str], Tensor] = {}
        scales: dict[tuple[str, str | None, str], Tensor | None] = {}
        for name in selectors:
            statement = self.program.by_name[name]
            assert isinstance(statement, Select)
            alone = self.mask is not None and AblationPoint(name, "division", 1) in self.mask.points
            group = (statement.key.variable, statement.key.over, name if alone else "")
            left = self._ablated(AblationPoint(name, "line"), self._times(statement, 0, self.matrices[statement.name]))
            wanted[group] = wanted[group] + left if group in wanted else left
            scales[group] = self._scale(statement, 1, self.time)
        total: Tensor | None = None
        for group, left in wanted.items():
            key = self.values[group[0]]
            if key.ids is not None:
                scores = left.gather(2, key.ids[:, None, :].expand(-1, self.count, -1))
            else:
                scores = left @ key.coordinates(self.dtype).transpose(1, 2)
            scale = scales[group]
            if scale is not None:
                scores = scores * scale[:, None, :]
            total = scores if total is None else total + scores
        return torch.zeros(1, self.count, self.time, device=self.device, dtype=self.dtype) if total is None else total

    def _aggregate(self, statement: Aggregate) -> _Value:
        value = self.values[statement.value.variable]
        dense = value.coordinates(self.dtype)
        scale = self._scale(statement, 0, self.time)
        if scale is not None:
            dense = dense * scale[..., None]
        if not statement.selectors and not self.program.header.bidirectional and self.program.header.pad is None:
            counts = torch.arange(1, self.time + 1, device=self.device, dtype=self.dtype)
            return _Value(value.size, dense=dense.cumsum(1) / counts[:, None])
        place = statement.selectors, self.count
        if place not in self.attention:
            scores = self._scores(statement.selectors)
            if self.hidden is not None:
                scores = torch.where(self.hidden[:, -self.count :], -torch.inf, scores)
            self.attention[place] = scores.softmax(-1)
        return _Value(value.size, dense=self.attention[place] @ dense)

    def _inputs(self, statement: Norm | Mlp, matrices: Sequence[Tensor]) -> Tensor:
        parts = [
            self._ablated(AblationPoint(statement.name, "input", slot), self._times(statement, slot, matrix))
            for slot, matrix in enumerate(matrices)
        ]
        return self._constant(statement.name, torch.stack(parts).sum(0) if len(parts) > 1 else parts[0])

    def _norm(self, statement: Norm) -> _Value:
        factor = self.matrices[statement.name]
        if not isinstance(statement.op, Dense):  # it may have negative squares, and so no factor
            inputs = torch.cat([self._read(read) for read in statement.inputs], -1)
            return _Value(1, dense=(inputs @ factor * inputs).sum(-1, keepdim=True).clamp(min=0).sqrt())
        sizes = [self.program.bases[r.variable].size for r in statement.inputs]
        total = self._inputs(statement, factor.split(sizes))
        sigma = (total.square().sum(-1, keepdim=True) + self.program.norm_eps(statement)).sqrt()
        return _Value(1, dense=sigma)

    def _mlp(self, statement: Mlp) -> _Value:
        op, tensors, act = statement.op, self.tensors, ACTIVATIONS[statement.act].torch
        normed = self._normed(statement, self._inputs(statement, [tensors[f"{op}.in.{i}"] for i in range(len(statement.inputs))]))
        hidden = normed @ tensors[f"{op}.w_in"] + tensors[f"{op}.b_in"]
        gated = f"{op}.w_gate" in tensors
        hidden = act(normed @ tensors[f"{op}.w_gate"] + tensors[f"{op}.b_gate"]) * hidden if gated else act(hidden)
        dense = hidden @ tensors[f"{op}.w_out"] + tensors[f"{op}.b_out"]
        return _Value(dense.shape[-1], dense=dense)

    def _normed(self, statement: Mlp, total: Tensor) -> Tensor:
        op, tensors, kind = statement.op, self.tensors, NORMS[statement.norm]
        if kind.centred:
            total = total - total.mean(-1, keepdim=True)
        if not kind.scaled:
            return total
        sigma = tensors.get(f"{op}.sigma")
        if sigma is None:
            sigma = (total.square().mean(-1, keepdim=True) + tensors[f"{op}.eps"]).sqrt()
        return total / sigma * tensors[f"{op}.gain"] + tensors[f"{op}.shift"]

    def _elementwise(self, statement: Statement) -> _Value:
        if isinstance(statement, Harden):
            dense = self._read(statement.input)
            return _Value(dense.shape[-1], ids=dense.argmax(-1))
        if isinstance(statement, Sharpen):
            positive = self._read(statement.input).clamp(min=0)
            powers = _divide(positive, positive.amax(-1, keepdim=True)) ** statement.power
            return _Value(powers.shape[-1], dense=_divide(powers, powers.sum(-1, keepdim=True)))
        if isinstance(statement, Pair):
            product = self._read(statement.first)[..., :, None] * self._read(statement.second)[..., None, :]
            return _Value(product.shape[-1] * product.shape[-2], dense=product.flatten(2))
        if isinstance(statement, Compare):
            dense = (self._times(statement, 0, self.matrices[statement.name]) * self._read(statement.second)).sum(-1, keepdim=True)
            return _Value(1, dense=dense)
        if isinstance(statement, Compute):
            return _Value(len(statement.formulas), dense=torch.stack([self._formula(f) for f in statement.formulas], -1))
        assert isinstance(statement, Case)
        total = torch.zeros(self.batch, self.count, device=self.device, dtype=self.dtype)
        for label, formula in statement.branches:
            total = total + self._coordinate(statement.input, label) * self._formula(formula)
        return _Value(1, dense=total[..., None])

    def _read(self, read: Read) -> Tensor:
        """A variable as it is read, (batch, count, size)."""
        dense = self._value(read.variable).coordinates(self.dtype)
        return dense if read.over is None else _divide(dense, self._value(read.over).coordinates(self.dtype))

    def _coordinate(self, read: Read, label: Label) -> Tensor:
        return self._read(read)[..., self.program.header.axis(self.program.bases[read.variable]).index(label)]

    def _formula(self, formula: Formula) -> Tensor:
        if isinstance(formula, Number):
            return torch.full((self.batch, self.count), formula.value, device=self.device, dtype=self.dtype)
        if isinstance(formula, Coordinate):
            return self._coordinate(formula.read, formula.label)
        if isinstance(formula, Arithmetic):
            return _ARITHMETIC[formula.operator](self._formula(formula.left), self._formula(formula.right))
        if isinstance(formula, Apply):
            return _FUNCTIONS[formula.function]([self._formula(argument) for argument in formula.arguments])
        if isinstance(formula, Negate):
            return -self._formula(formula.operand)
        axis = self.program.header.axis(self.program.bases[formula.read.variable])
        places = [axis.index(label) for label in formula.labels]
        return torch.from_numpy(TESTS[formula.name].compute(self._read(formula.read).detach().cpu().numpy(), *places)).to(
            self.device, self.dtype
        )


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """0 where the denominator is 0."""
    return torch.where(denominator == 0, 0, numerator / denominator)


_ARITHMETIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"+": torch.add, "-": torch.sub, "*": torch.mul, "/": _divide}
_FUNCTIONS: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "relu": lambda x: ACTIVATIONS["relu"].torch(x[0]),
    "gelu": lambda x: ACTIVATIONS["gelu"].torch(x[0]),
    "step": lambda x: (x[0] > 0).to(x[0].dtype),
    "sign": lambda x: x[0].sign(),
    "min": lambda x: torch.stack(x).amin(0),
    "max": lambda x: torch.stack(x).amax(0),
}


def ablation_points(program: Program) -> list[AblationPoint]:
    """Every ablation point of a program, in the order of its statements."""
    found: list[AblationPoint] = []
    for statement in program.statements:
        found += [AblationPoint(statement.name, "division", i) for i, read in enumerate(statement.reads) if _divided(read)]
        if isinstance(statement, Select | Project):
            found.append(AblationPoint(statement.name, "line"))
        elif isinstance(statement, Norm | Mlp):
            found += [AblationPoint(statement.name, "input", i) for i in range(len(statement.inputs))]
    return found


def _divided(read: Read) -> bool:
    return read.over is not None
