"""The numbers that steer naming, by what they are about."""

from dataclasses import dataclass, field

from drasp.core.tuning import knob


@dataclass(frozen=True)
class SampleTuning:
    """What a program is named on: sequences of the task from the pools to fit on, and others off it."""

    short_every: int = knob(3, unit="short batches for each that is taken", origin="chosen")
    long_every: int = knob(5, unit="batches of all lengths for each that is taken", origin="chosen")
    head_batches: int = knob(16, unit="batches on which attention is named, about", origin="chosen")
    head_sequences: int = knob(16, unit="sequences of each of these: there are many positions in each", origin="chosen")
    edited_every: int = knob(4, unit="batches for each whose sequences are edited too, a token each", origin="chosen")
    off_sequences: int = knob(60, unit="random strings of each length", origin="chosen")
    off_lengths: tuple[int, ...] = knob((8, 20, 50, 100), unit="symbols of a random string", origin="chosen")
    off_shares: float = knob(0.7, unit="concentration of the Dirichlet distribution of a string's symbols", origin="chosen")
    off_scored: float = knob(0.1, unit="share of a random string's positions that is scored, beside the last", origin="chosen")


@dataclass(frozen=True)
class HeadTuning:
    """Which description of an attention will do."""

    tolerances: tuple[float, ...] = knob(
        (0.05, 0.02, 0.2),
        unit="total variation; for each the shortest description within it is tried, then the closest that will do",
        origin="chosen",
    )
    farthest: float = knob(0.05, unit="total variation beyond which a name describes behaviour only", origin="chosen")


@dataclass(frozen=True)
class FormTuning:
    """How linear threshold functions are fitted and rounded."""

    first_rows: int = knob(300, unit="rows of the first linear program", origin="chosen")
    more_rows: int = knob(200, unit="violated rows that enter it at a time", origin="chosen")
    rounds: int = knob(40, unit="linear programs at the most", origin="chosen")
    sparsity: tuple[float, ...] = knob(
        (0.1, 0.01, 0.001), unit="of one unit of coefficient, against the mean slack off the task", origin="chosen"
    )
    largest_integer: int = knob(24, unit="coefficient", origin="chosen")
    digits: tuple[int, ...] = knob((2, 3, 4), unit="significant digits, tried where no small integers do", origin="chosen")
    agreement_lost: float = knob(
        0.01, unit="share of positions off the task, lost by rounding, or for a shorter form or readout", origin="chosen"
    )
    agreement_enough: float = knob(0.97, unit="share of positions off the task, with which the shorter form is taken", origin="chosen")
    growth: float = knob(
        1.5, unit="of the coefficients together, where a feature is left out: if they must grow more, it mattered", origin="chosen"
    )
    margin_kept: float = knob(0.2, unit="share of the exact form's least margin that rounding keeps", origin="chosen")


@dataclass(frozen=True)
class ReadoutTuning:
    """Which readouts are tried, and which of those that match is taken."""

    off_rows: int = knob(1500, unit="positions off the task", origin="chosen")
    classes_at_most: int = knob(
        6, unit="groups of outputs that are not constant; with more the readout is no matter of a few forms", origin="chosen"
    )
    moduli: tuple[int, ...] = knob((2, 3, 4), unit="positions", origin="chosen")
    concentrated: float = knob(
        0.5, unit="mean weight of the most attended key above which an average is a copy, not a count", origin="chosen"
    )
    leak: float = knob(5e-4, unit="share; what a concentrated average is rounded to: less is a leak of attention", origin="chosen")
    threshold_step: float = knob(0.05, unit="share, between the thresholds tried for a rule", origin="chosen")
    steepness: float = knob(
        100.0, unit="logits per share beyond a rule's threshold: a hundredth outweighs all that is copied", origin="chosen"
    )
    least_agreement: float = knob(
        0.95, unit="share of positions off the task, below which a name describes behaviour only", origin="chosen"
    )
    form: FormTuning = field(default_factory=FormTuning)


@dataclass(frozen=True)
class LineTuning:
    """How single lines are described."""

    digits: tuple[int, ...] = knob((1, 2, 3, 4), unit="significant digits of the entries of a vector", origin="chosen")
    described_at_most: int = knob(400 * 400, unit="pairs of coordinates", origin="chosen")
    sequences_every: int = knob(8, unit="batches for each on which the use of coordinates is counted", origin="chosen")


@dataclass(frozen=True)
class NamingTuning:
    """All of them."""

    samples: SampleTuning = field(default_factory=SampleTuning)
    head: HeadTuning = field(default_factory=HeadTuning)
    readout: ReadoutTuning = field(default_factory=ReadoutTuning)
    line: LineTuning = field(default_factory=LineTuning)
