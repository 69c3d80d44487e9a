"""Whether what a program says of a model's heads is what they do: its attention patched into the model, its averages swapped in both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from torch import Tensor

from drasp.core.budget import Budget
from drasp.ir.nodes import Aggregate, Select
from drasp.ir.program import Program
from drasp.learn.circuit import Edges
from drasp.learn.pools import Batch
from drasp.learn.values import Attended, Patched, by_halves
from drasp.model.forward import attending
from drasp.model.frozen import FrozenTransformer
from drasp.model.wiring import Sender, swapped_parts
from drasp.naming.judged import Judged, Swap, as_sets, predicted
from drasp.run.gated import Executor
from drasp.run.swaps import SWAPS, SwapKind
from drasp.tasks.protocol import Sample

StandsFor = Mapping[str, Sequence[Sender]]
"""For each average of a program the heads of the model that it stands for."""


@dataclass(frozen=True)
class _Swapped:
    """Sequences and as many others, and what the model predicts on the former before and after its heads are swapped with the latter:
    booleans (scored positions, outputs).
    """

    base: Sample
    other: Sample
    kind: SwapKind
    before: np.ndarray
    after: np.ndarray

    @property
    def moved(self) -> np.ndarray:
        """(scored positions), whether the model predicts something else."""
        return (self.before != self.after).any(1)

    def judged(self, names: tuple[str, ...]) -> Judged:
        """What a program with these averages is judged by."""
        every = max(1, int((~self.moved).sum()) // int(self.moved.sum()))
        taken = self.moved | (np.cumsum(~self.moved) % every == 0)
        scored = self.base.scored.copy()
        scored[self.base.scored] = taken
        return Judged(self.base._replace(scored=scored), self.after[taken], Swap(self.other, names, self.kind))


@dataclass(frozen=True)
class Faith:
    """Asks a model on some sequences, each question once.

    Attributes:
        attended: the sequences for patching. swapping: those for swaps.
    """

    edges: Edges
    frozen: FrozenTransformer
    attended: Sequence[Attended]
    swapping: Sequence[Batch]
    budget: Budget
    _patched: dict[Any, float] = field(default_factory=dict)
    _swapped: dict[tuple[tuple[Sender, ...], SwapKind], list[_Swapped]] = field(default_factory=dict)

    @property
    def _half(self) -> int:
        """Of each half of those for patching, the shorter and the longer ones."""
        return sum(part.batch.sequences for part in self.attended) // 2

    def wanted(self, program: Program) -> float:
        """How often the program predicts what the model predicts on the sequences for patching, less a standard error."""
        executor = Executor(program, self.edges.oracle.device)

        def logits(part: Attended) -> Tensor:
            self.budget.spend(len(program.statements))
            return executor.scored_logits(part.batch.token_ids, part.batch.position_ids, part.batch.scored)

        match = by_halves(self.edges.oracle, self.attended, logits)
        return match - sqrt(match * (1 - match) / self._half)

    def patched(self, program: Program, stands_for: StandsFor) -> Patched:
        """The model with the heads that a program's averages stand for patched, and those that it lacks ablated."""
        selectors = {s.name: s.selectors for s in program.statements if isinstance(s, Aggregate)}
        heads = {head: selectors[name] for name, heads in stands_for.items() if name in selectors for head in heads}
        lacking = [i for i, (_, sender) in enumerate(self.edges.wired.edges) if sender.kind == "head" and sender not in heads]
        return Patched(self.edges.without(self.edges.whole, lacking), self.edges.oracle, self.frozen, heads)

    def patched_match(self, program: Program, stands_for: StandsFor) -> float:
        """How often the model predicts the same so, or with one attention alone in place, whichever is less; it hangs on the program's
        attention alone.
        """
        patched = self.patched(program, stands_for)
        about = tuple(s for s in program.statements if isinstance(s, Select | Aggregate)), tuple(sorted(patched.heads.items()))
        if about not in self._patched:
            alone = {selectors: [h for h in patched.heads if patched.heads[h] == selectors] for selectors in patched.heads.values()}
            below = {s: heads for s, heads in alone.items() if min(heads).layer < self.edges.wired.layers - 1}
            shares = [self._alone(program, selectors, heads) for selectors, heads in below.items()]
            self._patched[about] = min([patched.match(program, self.attended, self.budget), *shares])
        return self._patched[about]

    def _alone(self, program: Program, selectors: tuple[str, ...], heads: Sequence[Sender]) -> float:
        """How often the model predicts the same with one attention in place: what attends above it may then attend elsewhere."""
        study, executor = self.edges.oracle.study, Executor(program, self.edges.oracle.device)

        def logits(part: Attended) -> Tensor:
            batch = part.batch
            self.budget.spend(len(program.statements) + study.work)
            found = executor.attention(batch.token_ids, batch.position_ids)
            weights = found.get(selectors, executor.uniform(batch.token_ids)).expand(batch.sequences, -1, -1)
            return study.oracle(batch.token_ids, batch.position_ids, attending(dict.fromkeys(heads, weights)))[batch.scored]

        return by_halves(self.edges.oracle, self.attended, logits)

    def steady(self, program: Program) -> bool:
        """Whether it predicts the same in single and in double precision: a tie that rounding breaks is no prediction."""
        executor, predict = Executor(program, self.edges.oracle.device), program.header.predict
        for batch in self.swapping:
            self.budget.spend(2 * len(program.statements))
            single = executor.scored_logits(batch.token_ids, batch.position_ids, batch.scored).cpu().numpy()
            if (as_sets(single, predict) != predicted(program, batch.sample)).any():
                return False
        return True

    def swaps(self, program: Program, stands_for: StandsFor, kind: SwapKind) -> list[Judged]:
        """Sequences with averages swapped, those of the same heads together, and what the model predicts then: where the swap changes that,
        and at about as many other positions.
        """
        return [s.judged(names) for heads, names in _groups(program, stands_for) for s in self._of(heads, kind) if s.moved.any()]

    def swap_match(self, program: Program, stands_for: StandsFor) -> float:
        """Of the predictions that a swap changes, in the program or in the model, the share that are alike after it: of the kind of swap
        after which more are, of the averages for which that is lowest.
        """
        shares = [1.0]
        for heads, names in _groups(program, stands_for):
            found = (self._alike(program, heads, names, kind) for kind in SWAPS)
            shares.append(max((share for share in found if share is not None), default=1.0))
        return min(shares)

    def _alike(self, program: Program, heads: tuple[Sender, ...], names: tuple[str, ...], kind: SwapKind) -> float | None:
        """None where no swap changes anything."""
        changed = alike = 0
        for part in self._of(heads, kind):
            self.budget.spend(3 * len(program.statements))
            before, after = predicted(program, part.base), predicted(program, part.base, Swap(part.other, names, kind))
            moved = (before != after).any(1) | part.moved
            changed += int(moved.sum())
            alike += int((after == part.after).all(1)[moved].sum())
        return alike / changed if changed else None

    def _of(self, heads: tuple[Sender, ...], kind: SwapKind) -> list[_Swapped]:
        if (heads, kind) not in self._swapped:
            self._swapped[heads, kind] = [found for batch in self.swapping if (found := self._one(batch, heads, kind)) is not None]
        return self._swapped[heads, kind]

    def _one(self, batch: Batch, heads: tuple[Sender, ...], kind: SwapKind) -> _Swapped | None:
        base, other = batch.sample.paired()
        if not len(base.token_ids):
            return None
        study = self.edges.oracle.study
        self.budget.spend(3 * study.work)
        cache = study.oracle.activation_cache(other)
        taken = {part: cache[part] for part in swapped_parts(heads, kind)}
        before, after = (as_sets(study.oracle.patched_logits(base, values), study.task.predict) for values in ({}, taken))
        return _Swapped(base, other, kind, before, after)


def _groups(program: Program, stands_for: StandsFor) -> list[tuple[tuple[Sender, ...], tuple[str, ...]]]:
    """The averages that the program has, by the heads that they stand for."""
    found: dict[tuple[Sender, ...], list[str]] = {}
    for name, heads in stands_for.items():
        if name in program.by_name:
            found.setdefault(tuple(heads), []).append(name)
    return [(heads, tuple(names)) for heads, names in found.items()]
