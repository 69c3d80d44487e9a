"""Pruning at component level: which embeddings, heads and MLPs each query, key, value, MLP and the output really need.

There are some hundred such edges where the expanded program has thousands of lines. LayerNorm stays exact: what an edge brought is
replaced by its mean in the stream before the norm. First a rising price on every edge turns off what is worth least, with hard-concrete
gates sampled for each sequence (Louizos, Welling and Kingma, "Learning sparse neural networks through L0 regularization", 2018); then
edges go one by one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from drasp.model.transformer import Transformer
from drasp.model.wired import WiredTransformer
from drasp.model.wiring import Wiring
from drasp.passes.context import Context
from drasp.passes.fit import descend
from drasp.passes.pools import Batch
from drasp.passes.prune import SearchSettings, in_chunks, in_rounds
from drasp.run.parallel import in_order

STRETCH_LOW, STRETCH_HIGH, TEMPERATURE = -0.1, 1.1, 2 / 3
OPEN_AT_START = 3.0  # log odds: a gate is all but open
GATE_RATE = 0.1
STEPS_PER_STAGE = 50
PRICES = tuple(1e-3 * 1.8**stage for stage in range(10))  # per edge, in nats a scored position
TRIED_ALONE = 2  # edges that are removed one by one with a refit, before it ends
FAILURES = 3  # stages in a row whose edges miss the threshold even refitted, before it ends


Edges = tuple[int, ...]
"""Edges by their place in `WiredTransformer.edges`, to be removed together."""


@dataclass(frozen=True)
class State:
    """Where the search stands.

    Attributes:
        multipliers: (edges), 0 where an edge is removed.
        constants: (consumers, D), see `WiredTransformer.logits`.
    """

    multipliers: Tensor
    constants: Tensor

    @property
    def kept(self) -> list[bool]:
        return (self.multipliers != 0).tolist()


@dataclass(frozen=True)
class Stage:
    """Where the search stands after some steps at one price; it does not depend on the match that is asked for.

    Attributes:
        odds: (edges), the log odds of the gates.
        refitted: the state as it was last fitted.
    """

    state: State
    odds: Tensor
    refitted: State | None = None


class _Components:
    """The model, edge by edge, and what its edges bring on the average."""

    def __init__(
        self, transformer: Transformer, context: Context, settings: SearchSettings, missed: Callable[[Wiring, float], None]
    ) -> None:
        self.missed = missed
        self.wired = WiredTransformer(transformer, context.device)
        self.context = context
        self.settings = settings
        self.means = self.wired.means([(b.token_ids, b.position_ids, b.scored) for b in context.sample])
        self.rows = torch.tensor([self.wired.row(consumer) for consumer, _ in self.wired.edges], device=context.device)
        spread = torch.zeros(len(self.wired.consumers), device=context.device)
        self.unit = spread.index_add(0, self.rows, self.means.square().mean(1)).sqrt().clamp(min=1e-3)[:, None]

    def start(self) -> State:
        return State(torch.ones(len(self.wired.edges), device=self.context.device), self.wired.biases)

    def without(self, state: State, removed: Sequence[int]) -> State:
        """Edges replaced by their means, and with them those that nothing needs any more."""
        gone = torch.zeros_like(state.multipliers)
        gone[list(removed)] = 1
        gone = gone * state.multipliers
        constants = state.constants.index_add(0, self.rows, gone[:, None] * self.means)
        multipliers = state.multipliers - gone
        _, reached = self.wired.live((multipliers != 0).tolist())
        return State(torch.where(torch.tensor(reached, device=multipliers.device), multipliers, 0.0), constants)

    def logits(self, batch: Batch, multipliers: Tensor, constants: Tensor, kept: Sequence[bool]) -> Tensor:
        live, _ = self.wired.live(kept)
        return self.wired.logits(batch.token_ids, batch.position_ids, batch.scored, multipliers, constants, live)

    @torch.no_grad()
    def match(self, state: State, at_least: float = 0.0) -> float:
        """As `Context.match`, on the selection pool."""
        kept = state.kept
        return self.context.share(lambda batch: self.logits(batch, state.multipliers, state.constants, kept), self.context.select, at_least)

    @torch.no_grad()
    def loss(self, state: State) -> float:
        kept = state.kept
        found = [
            self.context.loss(self.logits(b, state.multipliers, state.constants, kept), b, self.settings.targets).mean()
            for b in self.context.sample
        ]
        return float(torch.stack(found).mean())

    def refit(self, state: State, match: float) -> tuple[State, float]:
        """Multipliers and constants fitted, as long as that is promising; the best, and its match. `match`: of the state."""
        best, best_match = in_rounds(state, match, self._fit, self.match, self.settings)
        if self.settings.promising <= best_match < self.settings.threshold:
            self.missed(self.wired.wiring(best.multipliers, best.constants), best_match)
        return best, best_match

    def _fit(self, state: State, round_: int, rate: float) -> State:
        return State(*self._once("fit of components", lambda: self._fitted(state, self.context.seed + round_, rate)))

    def _once(self, question: str, ask: Callable[[], tuple[Tensor, ...]]) -> list[Tensor]:
        """Tensors through the journal."""
        arrays = self.context.journal.once(question, lambda: [tensor.cpu().numpy() for tensor in ask()])
        return [torch.from_numpy(array).to(self.context.device) for array in arrays]

    def _fitted(self, state: State, seed: int, rate: float) -> tuple[Tensor, Tensor]:
        settings, kept = self.settings, state.kept
        mask = (state.multipliers != 0).float()
        factors = torch.ones_like(state.multipliers, requires_grad=True)
        shifts = torch.zeros_like(state.constants, requires_grad=True)
        optimiser = torch.optim.Adam([factors, shifts], lr=rate, eps=1e-6)
        rng = np.random.default_rng([seed, 7])

        def loss(batch: Batch) -> Tensor:
            found = self.logits(batch, state.multipliers * factors * mask, state.constants + self.unit * shifts, kept)
            return self.context.loss(found, batch, settings.targets).mean()

        for step in range(settings.steps):
            self.context.check_time()
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, 2 * (settings.steps - step) / settings.steps)
            descend(optimiser, loss, self.context.draw(rng, settings.targets))
        return state.multipliers * factors.detach(), state.constants + self.unit * shifts.detach()

    def stage(self, last: Stage, price: float) -> Stage:
        """Some steps at one price, after which the edges that closed are gone."""
        multipliers, constants, odds = self._once("stage", lambda: self._stage(last.state, last.odds, price))
        return Stage(State(multipliers, constants), odds)

    def standing(self, stage: Stage) -> tuple[State, float]:
        """The state to judge a stage by, and its match: as it was last fitted, or else without what was learned of the constants by the
        way, which were for gates half open, unless that is worse.
        """
        if stage.refitted is not None:
            return stage.refitted, self.match(stage.refitted, self.settings.promising)
        plain = self.without(self.start(), [i for i, keep in enumerate(stage.state.kept) if not keep])
        match = self.match(plain, self.settings.promising)
        learned = self.match(stage.state, match)
        return (stage.state, learned) if learned > match else (plain, match)

    def _stage(self, state: State, odds: Tensor, price: float) -> tuple[Tensor, Tensor, Tensor]:
        kept = state.kept
        mask = (state.multipliers != 0).float()
        odds = odds.clone().requires_grad_()
        shifts = torch.zeros_like(state.constants, requires_grad=True)
        optimiser = torch.optim.Adam([{"params": [odds], "lr": GATE_RATE}, {"params": [shifts], "lr": self.settings.rate}], eps=1e-6)
        seed = int(1e6 * price)
        rng = np.random.default_rng([self.context.seed, 8, seed])
        noise = torch.Generator(device=self.context.device).manual_seed(self.context.seed * 10_000 + seed)
        carried = state.multipliers[:, None] * self.means

        def loss(part: tuple[Batch, Tensor, int]) -> Tensor:
            batch, uniform, parts = part
            gates = _gates(odds, uniform) * mask
            removed = (1 - gates)[:, :, None] * carried
            constants = (state.constants + self.unit * shifts).expand(len(gates), -1, -1).index_add(1, self.rows, removed)
            found = self.logits(batch, gates * state.multipliers, constants, kept)
            open_share = torch.sigmoid(odds - TEMPERATURE * float(np.log(-STRETCH_LOW / STRETCH_HIGH)))
            own = self.context.loss(found, batch, "soft").mean()
            return (own + price * (open_share * mask).sum()) / parts

        for step in range(STEPS_PER_STAGE):
            if step % 10 == 0:
                self.context.report(f"price {price:.2g} on {sum(kept)} edges", None)
            batches = self.context.draw(rng, "soft")
            descend(optimiser, loss, [(batch, _noise(batch.sequences, len(odds), noise), len(batches)) for batch in batches])
        odds = odds.detach()
        closed = [i for i, (value, keep) in enumerate(zip(odds.tolist(), kept, strict=True)) if keep and value < 0]
        left = self.without(State(state.multipliers, state.constants + self.unit * shifts.detach()), closed)
        return left.multipliers, left.constants, odds


def prune_components(
    transformer: Transformer,
    context: Context,
    settings: SearchSettings,
    found: Callable[[Wiring], None],
    missed: Callable[[Wiring, float], None] = lambda wiring, match: None,
    stages: list[Stage] | None = None,
) -> None:
    """Looks for wirings with ever fewer edges that still predict what the model predicts, and tells `found` of each.

    Args:
        missed: told of those whose match, which it is given too, fell a little short.
        stages: of an earlier search of the same model with a lower threshold, where this one goes on; those done now are added.
    """
    components = _Components(transformer, context, settings, missed)
    state = components.start()
    for state in _anneal(components, [] if stages is None else stages):
        found(components.wired.wiring(state.multipliers, state.constants))
    for smaller in _eliminate(components, state):
        found(components.wired.wiring(smaller.multipliers, smaller.constants))


def _anneal(components: _Components, stages: list[Stage]) -> Iterator[State]:
    """The states on the way that keep match, ever smaller: of the stages that are known already the last, then of further ones."""
    start = components.start()
    known, failures = len(stages), 0

    def new(number: int) -> bool:
        """Whether there is something new to judge."""
        return number == 0 or stages[number].state.kept != stages[number - 1].state.kept

    for number in filter(new, reversed(range(known))):
        state = _judged(components, stages, number)
        if state is not None:
            yield state
            break
        failures += 1
    for number in range(known, len(PRICES)):
        if failures >= FAILURES:
            return
        last = stages[-1] if stages else Stage(start, torch.full_like(start.multipliers, OPEN_AT_START))
        stages.append(components.stage(last, PRICES[number]))
        if new(number):
            state = _judged(components, stages, number)
            failures = failures + 1 if state is None else 0
            if state is not None:
                yield state


def _judged(components: _Components, stages: list[Stage], number: int) -> State | None:
    """The state of a stage, refitted where that is needed; None where it does not keep match."""
    settings, stage = components.settings, stages[number]
    state, match = components.standing(stage)
    if match < settings.threshold and (stage.refitted is None or match >= settings.promising):
        components.context.report(f"price {PRICES[number]:.2g} on {sum(state.kept)} edges, refitted", None)
        state, match = components.refit(state, match)
        stages[number] = replace(stage, refitted=state)
    return state if match >= settings.threshold else None


def _eliminate(components: _Components, state: State) -> Iterator[State]:
    """Removes edges in order of what they are worth: all that need no refit, then, refitted, several at once or one of the first few.

    What needs more patience is left to the search line by line, which has less to lose at a time.
    """
    settings = components.settings
    failed: list[Sequence[Edges]] = []
    while True:
        yield state
        order = _by_worth(components, state)
        smaller = _sweep(components, state, order)
        for removals in [] if smaller else _attempts(order, failed):
            components.context.report(f"without {sum(map(len, removals))} of {sum(state.kept)} edges, refitted", None)
            left = components.without(state, [i for removal in removals for i in removal])
            candidate, match = components.refit(left, components.match(left, settings.promising))
            if match >= settings.threshold:
                smaller = candidate
                break
            failed.append(removals)
        if smaller is None:
            return
        state = smaller


def _by_worth(components: _Components, state: State) -> list[Edges]:
    """The removals by the loss that each brings for every edge that goes with it."""
    every = _removals(components, state)
    before, edges = components.loss(state), sum(state.kept)

    def worth(removal: Edges) -> float:
        smaller = components.without(state, removal)
        return (components.loss(smaller) - before) / (edges - sum(smaller.kept))

    def ask() -> list[int]:
        worths = []
        for found in in_order(worth, every):
            components.context.check_time()
            worths.append(found)
        return sorted(range(len(every)), key=worths.__getitem__)

    return [every[i] for i in components.context.journal.once("order of edges", ask)]


def _sweep(components: _Components, state: State, order: Sequence[Edges]) -> State | None:
    """Makes the removals that need no refit; None where there is none."""
    threshold = components.settings.threshold

    def without(current: State, removals: Sequence[Edges]) -> State | None:
        smaller = components.without(current, [i for removal in removals for i in removal])
        return smaller if sum(smaller.kept) < sum(current.kept) else None

    return in_chunks(state, order, without, lambda smaller: components.match(smaller, threshold) >= threshold)


def _attempts(order: Sequence[Edges], failed: Sequence[Sequence[Edges]]) -> Iterator[Sequence[Edges]]:
    """What to try with a refit: the half that is worth least, a quarter, and so on; then one by one the first few.

    Args:
        failed: what was tried before; as many at once are not tried again.
    """
    fewest = min((len(removals) for removals in failed if len(removals) > 1), default=len(order))
    count = len(order) // 2
    while count > 1:
        if count < fewest:
            yield [removal for removal in order if len(removal) == 1][:count]
        count //= 2
    yield from ([removal] for removal in [r for r in order if [r] not in failed][:TRIED_ALONE])


def _removals(components: _Components, state: State) -> list[Edges]:
    """Every edge alone, and all edges from one source together."""
    kept = [i for i, keep in enumerate(state.kept) if keep]
    found: list[Edges] = [(i,) for i in kept]
    for source in dict.fromkeys(components.wired.edges[i][1] for i in kept):
        found.append(tuple(i for i in kept if components.wired.edges[i][1] == source))
    return list(dict.fromkeys(found))


def _noise(count: int, edges: int, noise: torch.Generator) -> Tensor:
    return torch.rand(count, edges, generator=noise, device=noise.device).clamp(1e-6, 1 - 1e-6)


def _gates(odds: Tensor, uniform: Tensor) -> Tensor:
    """Gates (count, edges): hard-concrete samples, 0 or 1 with a chance, between them otherwise."""
    soft = torch.sigmoid((uniform.log() - (1 - uniform).log() + odds) / TEMPERATURE)
    return (soft * (STRETCH_HIGH - STRETCH_LOW) + STRETCH_LOW).clamp(0, 1)
