"""Programs with lines that are known to be needless, each the model under study itself: what passes should find is planted."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from drasp.core.budget import Budget
from drasp.core.journal import Journal
from drasp.ir.nodes import Project, Select
from drasp.ir.operators import Dense
from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Study, draw_pools
from drasp.learn.tuning import PoolTuning, RefitTuning
from drasp.model.forward import TorchTransformer
from drasp.model.transformer import Transformer
from drasp.passes.aim import Aim
from drasp.run.gated import Executor
from drasp.tasks.protocol import Sample
from small_models import random_transformer

LETTERS = ("a", "b")
POSITIONS = 24
TUNING = PoolTuning(fitted_short=48, fitted_long=64, selected=160, verified=160, short_batch=16, short_sampled=1, long_sampled=2)
AIM = Aim(0.99, RefitTuning(steps=10, rounds=2))


class Letters:
    """Random letters behind `<bos>`; every position is scored."""

    name = "letters"
    vocabulary = (*LETTERS, "<bos>", "<sep>", "<eos>", "<pad>")

    def __init__(self, predict: str) -> None:
        self.predict = predict

    def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
        ends = 1 + rng.integers(*lengths, count, endpoint=True)
        token_ids = rng.integers(0, len(LETTERS), (count, ends.max()))
        token_ids[:, 0] = self.vocabulary.index("<bos>")
        time = np.arange(ends.max())
        scored = time < ends[:, None]
        offsets = rng.integers(0, POSITIONS - ends.max() + 1, (count, 1))
        return Sample(np.where(scored, token_ids, len(self.vocabulary) - 1), offsets + np.minimum(time, ends[:, None] - 1), scored)

    def right(self, sample: Sample) -> np.ndarray:
        """Nobody knows what is."""
        if self.predict == "next-token":
            return np.full(sample.token_ids.shape, -1)
        return np.zeros((*sample.token_ids.shape, len(self.vocabulary)), dtype=bool)


class ProgramAsModel:
    """A program that is run as the model under study."""

    device = torch.device("cpu")

    def __init__(self, program: Program) -> None:
        self.scored_logits = torch.no_grad()(Executor(program).scored_logits)


@dataclass(frozen=True)
class Planted:
    """A program.

    Attributes:
        body: its lines.
        needed: those that have to survive, by name; all others can go.
        divided: whether one of them has to be divided by something.
    """

    name: str
    predict: str
    body: str
    needed: frozenset[str]
    operators: Mapping[str, np.ndarray] = field(default_factory=dict)
    divided: bool = False

    @property
    def program(self) -> Program:
        """With every matrix dense, as what is lifted from a model has them."""
        names = " ".join(f'"{token}"' if token in LETTERS else token for token in Letters.vocabulary)
        return _dense(parse(f"drasp 1\nvocabulary {names}\npositions {POSITIONS}\npredict {self.predict}\n{self.body}", self.operators))

    def oracle(self, journal: Journal | None = None, lengths: tuple[int, int] = (0, 20)) -> Oracle:
        return oracle_of(ProgramAsModel(self.program), Letters(self.predict), journal, lengths)


def _dense(program: Program) -> Program:
    operators, statements = dict(program.operators), []
    for statement in program.statements:
        if isinstance(statement, Select | Project):
            operators[f"{statement.name}_matrix"] = program.matrix(statement.name)
            statement = replace(statement, op=Dense(f"{statement.name}_matrix"))
        statements.append(statement)
    return program.with_statements(statements, operators)


def oracle_of(
    model: object,
    task: object,
    journal: Journal | None = None,
    lengths: tuple[int, int] = (0, 20),
    seed: int = 0,
    transformer: Transformer | None = None,
) -> Oracle:
    """An oracle with few sequences; a program as model has a Transformer beside it that nothing asks for more than its size."""
    study = Study(transformer or random_transformer(1, 1, 0, positions=POSITIONS), task, model)
    return Oracle(study, draw_pools(study, lengths, seed, TUNING, Budget.of_seconds(), Journal()), seed, TUNING, journal or Journal())


def transformer_oracle(transformer: Transformer, journal: Journal | None = None) -> Oracle:
    """An oracle of a Transformer with as many tokens and positions as the letters have."""
    study = Study(transformer, Letters("next-token-set"), TorchTransformer(transformer))
    return Oracle(study, draw_pools(study, (0, 20), 0, TUNING, Budget.of_seconds(), Journal()), 0, TUNING, journal or Journal())


def random_mlp(name: str, sizes: list[int], strength: float) -> dict[str, np.ndarray]:
    """The tensors of an mlp with inputs of some sizes."""
    rng = np.random.default_rng(0)
    shapes = {f"in.{i}": (size, 4) for i, size in enumerate(sizes)}
    shapes |= {"gain": (4,), "shift": (4,), "w_in": (4, 8), "b_in": (8,), "w_out": (8, 4), "b_out": (4,)}
    tensors = {f"{name}.{part}": rng.normal(size=shape) for part, shape in shapes.items()}
    return tensors | {f"{name}.eps": np.array(1e-5), f"{name}.w_out": strength * tensors[f"{name}.w_out"]}


PLANTED = [
    Planted(
        "the token before, with a touch of everything else",
        "next-token-set",
        """s1 = select(q=pos, k=pos, op=12*(k == q - 1))
s2 = select(q=token, k=token, op={"a": {"a": 0.02}, "b": {"a": -0.01}})
s3 = select(k=pos, op=0.001*last)
a1 = aggregate(s=s1+s2+s3, v=token)
a2 = aggregate(s=[], v=pos)
logits1 = project(inp=a1, op=8*(out == inp) - 4)
logits2 = project(inp=token, op=0.01*(out == inp))
logits3 = project(inp=a2, op={3: {"a": 0.02}, 4: {"b": -0.02}})
logits4 = project(inp=pos, op={5: {"b": 0.03}})
prediction = sigmoid(logits1 + logits2 + logits3 + logits4)
""",
        frozenset({"s1", "a1", "logits1", "prediction"}),
    ),
    Planted(
        "the more frequent letter, with a copy that adds next to nothing",
        "next-token",
        """s1 = select(k=pos, op=0.01*last)
a1 = aggregate(s=[], v=token)
a2 = aggregate(s=s1, v=token)
logits1 = project(inp=a1, op={"a": {"a": 8}, "b": {"b": 8.5}})
logits2 = project(inp=a2, op=0.02*(out == inp))
logits3 = project(inp=pos, op={5: {"b": 0.01}, 6: {"a": 0.01}})
logits4 = project(inp=token, op={"b": {"a": 0.01}})
prediction = softmax(logits1 + logits2 + logits3 + logits4)
""",
        frozenset({"a1", "logits1", "prediction"}),
    ),
    Planted(
        "a divisor that is all but constant, and an mlp that adds next to nothing",
        "next-token-set",
        """s1 = select(q=pos, k=pos, op=6*(k == q - 1))
a1 = aggregate(s=s1, v=token)
a2 = aggregate(s=[], v=token)
n1 = norm(a1, a2, op=G)
m1 = mlp(a1, a2, op=M)
logits1 = project(inp=a1 / n1, op=B)
logits2 = project(inp=m1, op=C)
prediction = sigmoid(logits1 + logits2)
""",
        frozenset({"s1", "a1", "logits1", "prediction"}),
        {
            "G": np.diag([1.0] * 6 + [1e-3] * 6),
            "G.eps": np.array(1e-5),
            "B": 8 * np.eye(6) - 4,
            "C": np.random.default_rng(1).normal(size=(4, 6)),
            **random_mlp("M", [6, 6], 0.01),
        },
    ),
    Planted(
        "a divisor that is needed: only it tells how long the sequence is",
        "next-token-set",
        """s1 = select(k=pos, op=0.01*last)
a1 = aggregate(s=[], v=token)
a2 = aggregate(s=s1, v=token)
n1 = norm(a1, op=G)
logits1 = project(inp=one / n1, op=B)
logits2 = project(inp=token, op=0.01*(out == inp))
logits3 = project(op={"a": -6, "b": 9, <bos>: -1, <sep>: -1, <eos>: -1, <pad>: -1})
logits4 = project(inp=a2, op=0.01*(out == inp))
prediction = sigmoid(logits1 + logits2 + logits3 + logits4)
""",
        frozenset({"a1", "n1", "logits1", "logits3", "prediction"}),
        {
            "G": np.diag([0.0, 0.0, 1.0, 0.0, 0.0, 0.0]),
            "G.eps": np.array(1e-5),
            "B": np.array([[1.0, -1.0, 0.0, 0.0, 0.0, 0.0]]) * 0.83,
        },
        divided=True,
    ),
]
"""Each with lines that nothing needs, and those that have to survive."""
