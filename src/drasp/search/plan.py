"""The plan of a decompilation: its stages, in order. To change what is tried, change a line here."""

from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from drasp.core.budget import Budget
from drasp.learn.circuit import Edges
from drasp.learn.oracle import Oracle
from drasp.learn.trial import Steps
from drasp.passes.aim import Aim
from drasp.passes.circuit import prune_circuit
from drasp.passes.cut import cut_by_rank
from drasp.passes.eliminate import eliminate
from drasp.passes.linear_norms import linear_norms
from drasp.passes.names_first import names_first
from drasp.passes.pairs import eliminate_pairs
from drasp.passes.sweep import sweep


class Pass(Protocol):
    """From the model (the first pass of a stage) or what the pass before left of it, to what this one leaves."""

    __name__: str

    def __call__(self, subject: Any, oracle: Oracle, aim: Aim, budget: Budget, /) -> Steps[Any]: ...


@dataclass(frozen=True)
class Stage:
    """One way to a program, from the model on.

    Attributes:
        passes: in order; the stage ends where what one leaves does not keep match.
        until: share of the run's budget by which it ends. seconds: of the run, by when it ends at the latest.
        one_layer: whether only models of one layer take it.
        linear: whether norms are linear, which are refitted otherwise.
        slack: match that it gives away. What it finds then only counts where all of it can be named with the match asked for, or where
            nothing else is found.
        named_after: the passes after which it is tried to name all that is left; if that can be done, it ends the search.
        enough: whether the search ends where its result matches on further sequences.
        symbols: whether what it finds is in symbols, so that it ends the search where it is worth having: where it matches `--least`.
    """

    name: str
    passes: tuple[Pass, ...]
    until: float
    seconds: float = inf
    one_layer: bool = False
    linear: bool = False
    slack: float = 0.0
    named_after: tuple[Pass, ...] = ()
    enough: bool = False
    symbols: bool = False

    def takes(self, edges: Edges) -> bool:
        """Whether the stage is one for the model."""
        return not self.one_layer or edges.wired.layers == 1


@dataclass(frozen=True)
class Plan:
    """What a decompilation does, in order.

    Attributes:
        stages: ways to a program; what they find are the candidates.
        chosen, named, measured: shares of the run's budget by which the result is chosen among them, named, and measured.
        reserve: seconds that are left for the evidence, however short the run, but half of it at the most.
        early, early_seconds: by how much naming after a pass may exceed its stage: a share of the budget, so many seconds at the most.
    """

    stages: tuple[Stage, ...]
    chosen: float
    named: float
    measured: float
    reserve: float
    early: float
    early_seconds: float

    @property
    def last(self) -> Stage:
        """The stage that gives nothing away: what is chosen and named must keep its match."""
        return self.stages[-1]

    def until(self, budget: Budget, share: float, seconds: float = inf) -> Budget:
        """The slice of a run's budget that ends at a share of it. In a short run all that comes before the evidence ends sooner, in
        proportion, for its reserve.
        """
        if share <= self.named:
            reserve = min(self.reserve * budget.pace, budget.whole / 2)
            share *= min(1.0, (self.measured - reserve / budget.whole) / self.named)
        return budget.until(share, seconds)


PLAN = Plan(
    stages=(
        Stage("names first", (names_first,), until=0.5, symbols=True),
        # With more layers the errors of linear norms add up.
        Stage(
            "linear norms", (linear_norms, cut_by_rank, eliminate, eliminate_pairs), until=0.75, one_layer=True, linear=True, enough=True
        ),
        # What takes longer is seldom named.
        Stage("loose", (prune_circuit, sweep, eliminate), until=0.42, seconds=60.0, slack=0.02, named_after=(sweep, eliminate)),
        Stage("exact", (prune_circuit, eliminate, eliminate_pairs), until=0.75),
    ),
    chosen=0.84,
    named=0.89,
    measured=0.94,
    reserve=10.0,
    early=0.15,
    early_seconds=30.0,
)
