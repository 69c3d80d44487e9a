"""The numbers that steer naming, by what they are about. Each has its unit, and where it comes from: "chosen" where no measurement decides
between it and its neighbours.
"""

from dataclasses import dataclass, field

from drasp.core.tuning import knob
from drasp.learn.tuning import RefitTuning, ValueTuning


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
class RegressionTuning:
    """How a distribution is explained by a few terms.

    Attributes:
        tried: how many of the most promising terms are fitted, to take the best.
        floor: of a term's variance where nothing is known, that its curvature counts at the least: what is all but decided has none.
        number_cost: how much worse a term counts for each of its numbers.
    """

    terms: int = knob(6, unit="terms", origin="chosen")
    enough: float = knob(0.0003, unit="nats of divergence, at which no further term is sought", origin="chosen")
    gain: float = knob(0.003, unit="share of the divergence without any term, that a further term must take away", origin="chosen")
    tried: int = knob(4, unit="terms", origin="chosen")
    floor: float = knob(0.02, unit="share", origin="chosen")
    number_cost: float = knob(0.03, unit="share a number", origin="chosen")
    newton_steps: int = knob(25, unit="steps", origin="chosen")
    step_at_most: float = knob(4.0, unit="nats", origin="chosen")
    step_at_least: float = knob(1e-3, unit="nats, at which the fit ends", origin="chosen")
    ridge: float = knob(1e-5, unit="1 / nats squared, which keeps a strength that decides all from growing without end", origin="chosen")


@dataclass(frozen=True)
class AttentionTuning:
    """How a head's attention is described.

    Attributes:
        queries: how many rows of attention are looked at.
        rare: one query more at a special token for every so many: such tokens often follow a rule of their own.
        near: total variation at which no further term is sought.
        transport: of total variation, that dropping or rounding a term may add.
        factors: by which each strength may change, as the least cross entropy is not quite the least distance.
        grids: to which strengths are rounded, the coarsest first.
        small_vocabulary: up to how many symbols each pair of tokens is a term of its own.
        shifts: the distances between query and key that are tried.
        moduli: the moduli of positions that are tried.
    """

    queries: int = knob(400, unit="queries", origin="chosen")
    rare: int = knob(4, unit="queries", origin="chosen")
    near: float = knob(0.003, unit="total variation", origin="chosen")
    transport: float = knob(0.01, unit="total variation", origin="chosen")
    factors: tuple[float, ...] = knob((1.0, 0.7, 0.85, 1.2, 1.5, 2.0), unit="factor", origin="chosen")
    grids: tuple[float, ...] = knob((5.0, 1.0, 0.5, 0.1, 0.01), unit="nats", origin="chosen")
    small_vocabulary: int = knob(10, unit="symbols", origin="chosen")
    shifts: range = knob(range(9), unit="positions", origin="chosen")
    moduli: range = knob(range(2, 5), unit="modulus", origin="chosen")
    regression: RegressionTuning = field(default_factory=RegressionTuning)


@dataclass(frozen=True)
class HeadTuning:
    """Which description of an attention will do."""

    tolerances: tuple[float, ...] = knob(
        (0.05, 0.02, 0.2),
        unit="total variation; for each the shortest description within it is tried, then the closest that will do",
        origin="chosen",
    )
    farthest: float = knob(0.05, unit="total variation beyond which a name describes behaviour only", origin="chosen")
    attention: AttentionTuning = field(default_factory=AttentionTuning)


@dataclass(frozen=True)
class InsideTuning:
    """How heads are described from the model's own attention.

    Attributes:
        near: total variation within which the shortest description is taken; the next where the readout does not match behind it.
        exact: how a head is described that is not faithful so: what counts by thresholds of one part in the length takes it.
    """

    near: tuple[float, ...] = knob((0.05, 0.02, 0.005), unit="total variation", origin="chosen")
    alike: float = knob(0.01, unit="total variation that a head may lose by sharing another's description", origin="chosen")
    attention: AttentionTuning = field(default_factory=AttentionTuning)
    exact: AttentionTuning = AttentionTuning(
        near=0.0002,
        transport=0.0001,
        factors=(1.0,),
        grids=(1.0, 0.1, 0.01, 0.001),
        regression=RegressionTuning(terms=12, enough=1e-8, gain=1e-7, number_cost=0.0),
    )


@dataclass(frozen=True)
class LogitTuning:
    """How a readout is named as a sum of projections."""

    rows: int = knob(800, unit="positions at the most", origin="chosen")
    least: int = knob(300, unit="positions at the least", origin="chosen")
    cells: float = knob(1e8, unit="terms times positions times tokens at the most: some 400 MB", origin="chosen")


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
    noise: float = knob(0.03, unit="share of positions at the most that a form may have wrong, as the model errs there", origin="chosen")
    soft_rows: int = knob(2000, unit="positions on which it is found out which these are", origin="chosen")
    soft_margin: float = knob(0.1, unit="of the margin of all others, below which a position is left out", origin="chosen")
    soft_sparsity: float = knob(1e-5, unit="slack a coefficient", origin="chosen")
    growth: float = knob(
        1.5, unit="of the coefficients together, where a feature is left out: if they must grow more, it mattered", origin="chosen"
    )
    margin_kept: float = knob(0.2, unit="share of the exact form's least margin that rounding keeps", origin="chosen")


@dataclass(frozen=True)
class ReadoutTuning:
    """Which readouts are tried, and which of those that match is taken."""

    fit_work: float = knob(100.0, unit="work that each linear program is counted as", origin="chosen: some 30 ms")
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
class NamesTuning:
    """How a whole model is named, before anything is pruned."""

    values: ValueTuning = field(default_factory=ValueTuning)
    inside: InsideTuning = field(default_factory=InsideTuning)
    logits: LogitTuning = field(default_factory=LogitTuning)
    readout_seconds: float = knob(60.0, unit="seconds at the most for the readout behind one description of all heads", origin="chosen")
    fit: RefitTuning = field(default_factory=lambda: RefitTuning(targets="hard", steps=100, rate=0.03, rounds=6))
    digits: int = knob(3, unit="significant digits of what was fitted", origin="chosen")
    swapped_readout: ReadoutTuning = ReadoutTuning(form=FormTuning(sparsity=(1e-3, 1e-4, 1e-5), agreement_enough=1.0, agreement_lost=0.002))
    swapped: float = knob(0.96, unit="agreement after swaps that change something", origin="chosen: the evidence asks for .95 of others")
    faithful_seconds: float = knob(120.0, unit="seconds at the most to make a program say what the model does inside", origin="chosen")
    faithful_match: float = knob(0.005, unit="match that a program may lose for that, of as much as is asked", origin="chosen")
    faithful_worth: int = knob(
        9, unit="numbers, a statement counts two, that a program may be longer for each kind of faith", origin="chosen"
    )


@dataclass(frozen=True)
class OperatorTuning:
    """How a dense operator is described.

    Attributes:
        terms: of one sum, at the most.
        unexplained: 1 - weighted R squared at which nothing more is sought.
        least_gain: of R squared, by one more term.
        numbers_worth: a term must divide what is unexplained by exp(its numbers / this).
        fitted_cost: what the numbers of a set or relation made to fit count, as it fits noise too.
        positive_worth: what a positive strength is worth, as it reads better.
        rectangles: sets of rows and columns that are tried at a time.
        starts: first terms that are tried.
        of_each_family: candidates that are looked at.
        swap_gain: of what is unexplained, by which another term must be better.
        rounding: of R squared, lost by rounding all strengths.
        rounding_slack: times what was unexplained before, that may be so after, besides `rounding`.
        grids: to which strengths are rounded, the coarsest first.
        digits: significant ones, where no grid is fine enough.
        table_at_most: entries of a table, pairs of a relation.
        terms_with_table: terms beside which a table is tried, at the most.
        table_tolerances: of the largest entry: what a table leaves out.
        small: pairs of coordinates up to which relations and tables are tried.
        overrides: rows with a sum of their own, at the most.
        overrides_tried: sets of rows, each with the first term of the rest.
        row_error: of a row that another sum is to replace, where that is to be short.
        term_cost: what a term adds to the length of a description, besides its numbers.
        least_error: differences of error below it do not count.
        moduli: those that are tried.
        relation_rows: of a block of rows and columns that is written as a relation, at the most.
    """

    terms: int = knob(6, unit="terms", origin="chosen")
    unexplained: float = knob(5e-4, unit="share", origin="chosen")
    least_gain: float = knob(1e-3, unit="share", origin="chosen")
    numbers_worth: float = knob(20.0, unit="numbers a nat", origin="chosen")
    fitted_cost: float = knob(2.0, unit="numbers", origin="chosen")
    positive_worth: float = knob(0.01, unit="numbers", origin="chosen")
    rectangles: int = knob(3, unit="candidates", origin="chosen")
    starts: int = knob(4, unit="candidates", origin="chosen")
    of_each_family: int = knob(2, unit="candidates", origin="chosen")
    swap_gain: float = knob(1e-3, unit="share", origin="chosen")
    rounding: float = knob(2.5e-4, unit="share", origin="chosen")
    rounding_slack: float = knob(1.05, unit="factor", origin="chosen")
    grids: tuple[float, ...] = knob((1.0, 0.5, 0.1, 0.01), unit="strength", origin="chosen")
    digits: int = knob(3, unit="digits", origin="chosen")
    table_at_most: int = knob(40, unit="numbers", origin="chosen")
    terms_with_table: int = knob(2, unit="terms", origin="chosen")
    table_tolerances: tuple[float, ...] = knob((0.02, 0.05, 0.1, 0.2, 0.4), unit="share", origin="chosen")
    small: int = knob(1600, unit="pairs", origin="chosen")
    overrides: int = knob(3, unit="rows", origin="chosen")
    overrides_tried: int = knob(5, unit="sets of rows", origin="chosen")
    row_error: float = knob(0.02, unit="share", origin="chosen")
    term_cost: float = knob(0.5, unit="numbers", origin="chosen")
    least_error: float = knob(1e-4, unit="share", origin="chosen")
    moduli: range = knob(range(2, 13), unit="modulus", origin="chosen")
    relation_rows: int = knob(8, unit="rows", origin="chosen")


@dataclass(frozen=True)
class LineTuning:
    """How single lines are described."""

    digits: tuple[int, ...] = knob((1, 2, 3, 4), unit="significant digits of the entries of a vector", origin="chosen")
    described_at_most: int = knob(400 * 400, unit="pairs of coordinates", origin="chosen")
    sequences_every: int = knob(8, unit="batches for each on which the use of coordinates is counted", origin="chosen")
    operator: OperatorTuning = field(default_factory=OperatorTuning)


@dataclass(frozen=True)
class NamingTuning:
    """All of them."""

    samples: SampleTuning = field(default_factory=SampleTuning)
    head: HeadTuning = field(default_factory=HeadTuning)
    readout: ReadoutTuning = field(default_factory=ReadoutTuning)
    line: LineTuning = field(default_factory=LineTuning)
