"""What steers the pools, match, fits and the circuit search."""

from dataclasses import dataclass
from typing import Literal

from drasp.core.tuning import knob

Targets = Literal["hard", "soft", "margins"]
"""What is fitted: the model's predictions by cross entropy, its probabilities by Kullback-Leibler divergence, or a hinge loss on the
margins by which it decides, clipped at `PoolTuning.margin`.

What starts out exact keeps to the second and third; margins say nothing where the prediction is safe, and so are what match asks for.
"""


@dataclass(frozen=True)
class PoolTuning:
    """The sequences that the search fits, chooses and verifies on."""

    fitted_short: int = knob(1200, unit="sequences of the first band", origin="chosen")
    fitted_long: int = knob(1600, unit="sequences of all lengths, of which the low-margin stratum is kept", origin="chosen")
    selected: int = knob(1600, unit="sequences drawn of each band, to choose by", origin="chosen")
    verified: int = knob(4000, unit="sequences drawn of each band, to verify the choice on", origin="measured: benchmarks, unique_copy")
    low_margin_share: int = knob(4, unit="one in so many sequences drawn: the low-margin stratum, kept whole", origin="chosen")
    rest_every: int = knob(3, unit="one in so many of the rest is kept, to fit and to choose by", origin="chosen")
    verified_rest_every: int = knob(6, unit="one in so many of the rest is kept, to verify on", origin="measured: benchmarks, unique_copy")
    short_batch: int = knob(32, unit="sequences at the most", origin="chosen")
    long_batch: int = knob(8, unit="sequences at the most", origin="chosen")
    select_batch: int = knob(100, unit="sequences at the most", origin="chosen")
    verify_batch: int = knob(250, unit="sequences at the most", origin="chosen")
    cells: int = knob(1 << 20, unit="query-key pairs of a batch at the most: some 30 MB a selector under gradients", origin="chosen")
    short_sampled: int = knob(8, unit="one in so many short batches is used for means and gradients", origin="chosen")
    long_sampled: int = knob(24, unit="one in so many long batches is used for means and gradients", origin="chosen")
    fallback: int = knob(100, unit="sequences for the current-token table where the pools could not be drawn", origin="chosen")
    share: float = knob(0.3, unit="of what is left to the search, for drawing; where it would take more, fewer are drawn", origin="chosen")
    trial: int = knob(24, unit="sequences of all lengths, to see what one costs", origin="chosen")
    least: float = knob(0.05, unit="share of the sequences that is drawn at the least", origin="chosen")
    margin: float = knob(1.0, unit="logits beyond which a prediction is safe", origin="chosen")


@dataclass(frozen=True)
class RefitTuning:
    """How the constants of a program or circuit are fitted."""

    targets: Targets = knob("margins", unit="see `Targets`", origin="measured: benchmarks, exact norms")
    steps: int = knob(60, unit="Adam steps a round", origin="chosen")
    rate: float = knob(0.01, unit="learning rate, of multipliers of 1", origin="chosen")
    rounds: int = knob(3, unit="at the most, as long as match gets better fast enough", origin="chosen")
    hopeless: float = knob(0.05, unit="match below the threshold from which a refit does not bring it back", origin="chosen")
    hopeless_refitted: float = knob(0.02, unit="match below the threshold, after a round, that another does not mend", origin="chosen")
    smaller_steps: float = knob(0.3, unit="factor of the rate after a round that made match worse", origin="chosen")
    long: int = knob(1, unit="batches of all lengths a step", origin="chosen")
    final_long: int = knob(4, unit="batches of all lengths a step, for what the search ends with", origin="chosen")
    epsilon: float = knob(1e-6, unit="Adam's epsilon: large, or near-zero gradients walk an exact start away", origin="chosen")


LINEAR_REFIT = RefitTuning(targets="hard", rate=0.003, hopeless=0.1, hopeless_refitted=0.1)
"""From linear norms match may come back from far below; the rate is that of the first prototype."""


@dataclass(frozen=True)
class CircuitTuning:
    """The search for the edges between components that are needed, by hard-concrete gates."""

    stretch_low: float = knob(-0.1, unit="of a gate", origin="Louizos, Welling and Kingma 2018")
    stretch_high: float = knob(1.1, unit="of a gate", origin="Louizos, Welling and Kingma 2018")
    temperature: float = knob(2 / 3, unit="of a gate", origin="Louizos, Welling and Kingma 2018")
    open_at_start: float = knob(3.0, unit="log odds: a gate is all but open", origin="chosen")
    gate_rate: float = knob(0.1, unit="learning rate of the log odds", origin="Huang et al. 2026")
    steps: int = knob(50, unit="Adam steps at each sparsity coefficient", origin="chosen")
    first_coefficient: float = knob(1e-3, unit="nats an edge and scored position: the lowest sparsity coefficient", origin="chosen")
    coefficient_growth: float = knob(1.8, unit="factor from one sparsity coefficient to the next", origin="chosen")
    coefficients: int = knob(10, unit="sparsity coefficients at the most", origin="chosen")
    tried_alone: int = knob(2, unit="edges removed one by one with a refit before it ends", origin="chosen")
    failures: int = knob(3, unit="coefficients in a row that miss the threshold even refitted, before it ends", origin="chosen")
    unit_floor: float = knob(1e-3, unit="least scale of a receiver's constants", origin="chosen")

    def coefficient(self, stage: int) -> float:
        """The sparsity coefficient of a stage, in nats an edge and scored position."""
        return self.first_coefficient * self.coefficient_growth**stage


@dataclass(frozen=True)
class PruneTuning:
    """How lines go."""

    input_cost: float = knob(0.05, unit="statements: of programs with as many lines the one that reads less", origin="chosen")
    division_cost: float = knob(0.1, unit="statements", origin="chosen")
    shares: tuple[float, ...] = knob((0.9, 0.75, 0.5, 0.3, 0.15), unit="of the lowest-ranked points, ablated at once", origin="chosen")
    refitted_shares: tuple[float, ...] = knob((0.6, 0.4, 0.2, 0.1), unit="the same, with a refit", origin="chosen")
    sweep_failures: int = knob(8, unit="removals in a row that need a refit, before no more is tried without", origin="chosen")
    together: tuple[int, ...] = knob((8, 4), unit="removals refitted at once, while there are four times as many", origin="chosen")
    paired: int = knob(12, unit="removals at the most of which pairs are tried: 66 matches", origin="chosen")
    loss_every: int = knob(2, unit="one in so many sampled batches puts removals in order", origin="chosen")
    expanded: int = knob(1500, unit="statements of an expanded circuit at the most: more would take too long line by line", origin="chosen")


@dataclass(frozen=True)
class ValueTuning:
    """The search for what heads move, attention as it is."""

    short_every: int = knob(8, unit="short batches for each that is taken", origin="chosen")
    long_every: int = knob(8, unit="batches of all lengths for each that is taken", origin="chosen")
    loss_every: int = knob(3, unit="one in so many of these puts edges in order", origin="chosen")
    rounds: int = knob(3, unit="times at the most that the edges are put in order anew", origin="chosen")
