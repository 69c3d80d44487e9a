"""Causal pruning: turn parts of the program off, each replaced by its mean, as long as the program predicts what the model predicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeVar

import numpy as np
import torch

from drasp.ir.nodes import Aggregate, Mlp, Norm, Prediction
from drasp.ir.program import Program
from drasp.passes.context import Context, Targets
from drasp.passes.fit import fit, importance, stand_ins
from drasp.rewrite.ablate import Ablation, ablate
from drasp.run.gated import Executor, Site, sites
from drasp.run.parallel import in_order

INPUT_COST = 0.05  # of a statement: between programs of as many lines, the one that reads less
DIVISION_COST = 0.1
SHARES = (0.9, 0.75, 0.5, 0.3, 0.15)  # of the lowest-ranked sites, tried to be removed at once
SWEEP_FAILURES = 8  # removals in a row that need a refit, after which those that cost more loss are not tried without
REFITTED_SHARES = (0.6, 0.4, 0.2, 0.1)
SMALLER_STEPS = 0.3


State = TypeVar("State")
Item = TypeVar("Item")
Removal = frozenset[tuple[str, str, str]]
"""Sites by statement, part and what they read: names that hold while the program shrinks."""


@dataclass(frozen=True)
class SearchSettings:
    """How hard to try.

    Attributes:
        targets: what is fitted, see `Targets`.
        threshold: match on the selection pool, in the worst band, that a smaller program must reach.
        steps, rate, rounds: of each refit: Adam steps, learning rate, how often it goes on where match is still short.
        hopeless: match so far below the threshold is not worth a refit. From an exact start match falls little by little; from linear norms
            it may come back from nothing.
        hopeless_refitted: after a round, so far below is not worth another.
    """

    targets: Targets
    threshold: float
    steps: int = 60
    rate: float = 0.003
    rounds: int = 3
    hopeless: float = 0.1
    hopeless_refitted: float = 0.1

    @property
    def promising(self) -> float:
        """The match from which a refit may bring it back."""
        return self.threshold - self.hopeless


def complexity(program: Program) -> float:
    """Statements, with a little for every input and divisor, so that ties go to the simpler program."""
    inputs = sum(len(s.inputs) for s in program.statements if isinstance(s, Norm | Mlp))
    divisions = sum(read.over is not None for s in program.statements for read in s.reads)
    return len(program.statements) + INPUT_COST * inputs + DIVISION_COST * divisions


def linearise(program: Program, context: Context, settings: SearchSettings) -> Program:
    """Every divisor replaced by a constant, by token or position where it divides a one-hot variable."""
    means = stand_ins(program, context, context.sample)
    return ablate(program, Ablation({s: 0.0 for s in sites(program) if s.part == "division"}, means))


def fit_constants(program: Program, context: Context, settings: SearchSettings) -> Program:
    """Fits where match is short of the threshold."""
    if context.match(program, context.select, settings.threshold) >= settings.threshold:
        return program
    return refit(program, context, settings)[0]


def refit(program: Program, context: Context, settings: SearchSettings) -> tuple[Program, float]:
    """The program with its constants fitted, as long as that is promising; and its match."""

    def once(last: Program, round_: int, rate: float) -> Program:
        return fit(last, context, settings.targets, settings.steps, rate, context.seed + round_)

    def match(fitted: Program, at_least: float) -> float:
        return context.match(fitted, context.select, at_least)

    unfitted = match(program, settings.promising)
    return in_rounds(program, unfitted, once, match, settings)


def in_rounds(
    start: State,
    unfitted: float,
    fit: Callable[[State, int, float], State],
    match: Callable[[State, float], float],
    settings: SearchSettings,
) -> tuple[State, float]:
    """Fits round by round: until match holds, is hopeless, or gets better too slowly for the rounds that are left. The best, and its match.

    Where the first round makes it worse, as it does what is all but exact, the next begins anew with smaller steps.

    Args:
        unfitted: the match of the start, or an upper bound where that is hopeless.
        fit: from a state, the number of the round and the learning rate to the next state.
        match: of a state; where it is below its second argument, an upper bound will do.
    """
    best, best_match, rate = start, unfitted, settings.rate
    for round_ in range(settings.rounds):
        fitted = fit(best, round_, rate)
        now = match(fitted, settings.promising)
        gain = now - best_match
        if gain > 0:
            best, best_match = fitted, now
        else:
            rate *= SMALLER_STEPS
        needed = settings.threshold - best_match
        if needed <= 0 or needed > settings.hopeless_refitted or (round_ > 0 and gain * (settings.rounds - 1 - round_) < needed):
            break
    return best, best_match


def cut_by_rank(program: Program, context: Context, settings: SearchSettings) -> Program:
    """Ranks the sites and removes the lowest of them together, as many as match bears; then again, until few can go."""
    while True:
        ranked = _ranked(program, context, settings)
        means = stand_ins(program, context, context.sample)
        smaller = _cut(program, ranked, means, context, settings, SHARES, refitted=False) or _cut(
            program, ranked, means, context, settings, REFITTED_SHARES, refitted=True
        )
        if smaller is None:
            return program
        program = smaller
        context.found(program)


def _cut(
    program: Program,
    ranked: list[Site],
    means: Mapping[Site, np.ndarray],
    context: Context,
    settings: SearchSettings,
    shares: Sequence[float],
    refitted: bool,
) -> Program | None:
    """The program without the largest share of the lowest-ranked sites that match bears; None where it bears none."""
    for share in shares:
        count = int(share * len(ranked))
        if count < 2:
            return None
        context.report(f"removing {count} of {len(ranked)} parts{', refitted' if refitted else ''}", program)
        smaller = ablate(program, Ablation(dict.fromkeys(ranked[:count], 0.0), means))
        if refitted:
            smaller, match = refit(smaller, context, settings)
        else:
            match = context.match(smaller, context.select, settings.threshold)
        if match >= settings.threshold and complexity(smaller) < complexity(program):
            return smaller
    return None


def _ranked(program: Program, context: Context, settings: SearchSettings) -> list[Site]:
    found = importance(program, context, context.sample)
    return sorted(found, key=lambda site: found[site])


def sweep(program: Program, context: Context, settings: SearchSettings) -> Program:
    """Removes, in the order of what each removal is worth, all that match bears without a refit."""
    while (smaller := _sweep(program, _by_loss(program, context, settings), context, settings)) is not None:
        program = smaller
    return program


def eliminate(program: Program, context: Context, settings: SearchSettings) -> Program:
    """Removes one thing after the other until every single removal, refitted, costs too much: the result is 1-minimal.

    What failed is put off, and tried again when nothing else is left to try.
    """
    failed: set[Removal] = set()
    while True:
        order = _by_loss(program, context, settings)
        smaller = _sweep(program, order, context, settings)
        put_off = [removal for removal in order if removal in failed]
        if smaller is None:
            smaller = _refitted(program, [r for r in order if r not in failed], context, settings, failed)
        if smaller is None:
            smaller = _refitted(program, put_off, context, settings, failed)
        if smaller is None:
            return program
        program = smaller


def _by_loss(program: Program, context: Context, settings: SearchSettings) -> list[Removal]:
    """The removals that make the program simpler, by loss for what they save."""
    every = removals(program)

    def ask() -> list[int]:
        means = stand_ins(program, context, context.sample)

        def cost(removal: Removal) -> float:
            smaller = _without(program, removal, means)
            saved = complexity(program) - complexity(smaller)
            return _loss(smaller, context, settings) / saved if saved > 0 else inf

        costs = []
        for found in in_order(cost, every):
            context.check_time()
            costs.append(found)
        return sorted((i for i in range(len(every)) if costs[i] < inf), key=costs.__getitem__)

    return [every[i] for i in context.journal.once("order of removals", ask)]


def _sweep(program: Program, order: list[Removal], context: Context, settings: SearchSettings) -> Program | None:
    """Makes the removals that need no refit; None if there is none."""
    means = stand_ins(program, context, context.sample)

    def without(current: Program, removals: Sequence[Removal]) -> Program | None:
        together = frozenset(identity for removal in removals for identity in removal)
        context.report(f"without {_describe(together)}", current)
        smaller = _without(current, together, means)
        return smaller if complexity(smaller) < complexity(current) else None

    def keeps(smaller: Program) -> bool:
        nonlocal means
        if context.match(smaller, context.select, settings.threshold) < settings.threshold:
            return False
        means = stand_ins(smaller, context, context.sample)
        context.found(smaller)
        return True

    return in_chunks(program, order, without, keeps)


def in_chunks(
    start: State, order: Sequence[Item], without: Callable[[State, Sequence[Item]], State | None], keeps: Callable[[State], bool]
) -> State | None:
    """Removes items in order, as many at once as match bears, until some in a row fail; None if all do.

    Args:
        without: what is left of a state without some items; None where that is no simpler.
        keeps: whether a state still matches.
    """
    current, pending = start, list(order)
    failures = 0
    chunk = max(1, len(pending) // 2)
    while pending and failures < SWEEP_FAILURES:
        smaller = without(current, pending[:chunk])
        if smaller is not None and keeps(smaller):
            current = smaller
            pending = pending[chunk:]
            chunk *= 2
            failures = 0
        elif chunk > 1 and smaller is not None:
            chunk //= 2
        else:
            pending = pending[chunk:]
            failures += smaller is not None
    return None if current is start else current


def _refitted(program: Program, order: list[Removal], context: Context, settings: SearchSettings, failed: set[Removal]) -> Program | None:
    """The program after the first removal that match bears with a refit; those that it does not bear are added to `failed`."""
    means = stand_ins(program, context, context.sample)
    for count in (8, 4):  # several at once first, while there are many
        if len(order) >= 4 * count:
            together = frozenset(identity for removal in order[:count] for identity in removal)
            smaller = _if_matching(program, together, means, context, settings)
            if smaller is not None:
                return smaller
    for removal in order:
        smaller = _if_matching(program, removal, means, context, settings)
        if smaller is not None:
            return smaller
        failed.add(removal)
    return None


def _if_matching(
    program: Program, removal: Removal, means: Mapping[Site, np.ndarray], context: Context, settings: SearchSettings
) -> Program | None:
    context.report(f"without {_describe(removal)}, refitted", program)
    smaller, match = refit(_without(program, removal, means), context, settings)
    if match < settings.threshold or complexity(smaller) >= complexity(program):
        return None
    context.found(smaller)
    return smaller


def _without(program: Program, removal: Removal, means: Mapping[Site, np.ndarray]) -> Program:
    turned = {site: 0.0 for site in sites(program) if identity(program, site) in removal}
    return ablate(program, Ablation(turned, means))


def identity(program: Program, site: Site) -> tuple[str, str, str]:
    """What tells a site from all others, whichever slot it has by now: its statement, part, and what it reads."""
    if site.part == "line":
        return site.statement, site.part, ""
    statement = program.by_name[site.statement]
    slot = statement.reads[site.slot].variable if isinstance(statement, Norm | Mlp) else str(site.slot)
    return site.statement, site.part, slot


@torch.no_grad()
def _loss(program: Program, context: Context, settings: SearchSettings) -> float:
    executor = Executor(program, context.device)
    batches = context.sample[::2]  # to put removals in order, fewer will do
    losses = [context.loss(executor.scored_logits(b.token_ids, b.position_ids, b.scored), b, settings.targets).mean() for b in batches]
    return float(torch.stack(losses).mean())


def removals(program: Program) -> list[Removal]:
    """Everything that can be removed in one step: each site; each variable, norm and head with all its sites."""
    every = sites(program)
    groups = [[site] for site in every]
    for statement in program.statements:
        if isinstance(statement, Prediction):
            continue
        if isinstance(statement, Aggregate):
            groups.append([s for s in every if s.part == "line" and s.statement in statement.selectors])
        reading = _reading(program, statement.name)
        groups.append([s for s in every if s.part != "division" and (s.statement, s.slot) in reading])
        groups.append([s for s in every if s.part == "division" and program.by_name[s.statement].reads[s.slot].over == statement.name])
    found = [frozenset(identity(program, s) for s in group) for group in groups if group]
    return list(dict.fromkeys(found))


def _reading(program: Program, variable: str) -> set[tuple[str, int]]:
    """The lines and inputs that read a variable or an average of it; a line counts as slot 0 whichever side reads."""
    found = set()
    for statement in program.statements:
        for slot, read in enumerate(statement.reads):
            if read.variable == variable:
                if isinstance(statement, Aggregate):
                    found |= _reading(program, statement.name)
                else:
                    found.add((statement.name, slot if isinstance(statement, Norm | Mlp) else 0))
    return found


def _describe(removal: Removal) -> str:
    names = sorted({statement for statement, _, _ in removal})
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
