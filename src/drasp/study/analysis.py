"""What all models of a study say together: whether exactly those that generalise have short programs, beside rival predictors."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from drasp.study.row import Row

RESAMPLES = 2_000
LEAST_CASES = 2
"""Models of each kind, below which nothing is said of how well they are told apart."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, by a bootstrap over tasks: models of one task are alike."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Predictor:
    """What may tell the models that generalise from the others.

    Attributes:
        score: the higher, the more it speaks for it; None where it is not known.
        needs: what it takes to know it.
    """

    name: str
    needs: str
    score: Callable[[Row], float | None]


def _program(row: Row) -> float:
    return -float(row.statements or 0) if row.has_program else -inf


def _smallest(row: Row) -> float:
    return -inf if row.smallest_statements is None else -float(row.smallest_statements)


def _negative(value: float | None) -> float | None:
    return None if value is None else -value


PROGRAM = Predictor("a short program in symbols, the fewer statements the better", "sequences of all lengths, unlabelled", _program)
PREDICTORS = (
    PROGRAM,
    Predictor(
        "the same, of models that are right on .9 at 0-50",
        "sequences of all lengths, short ones labelled",
        lambda row: _program(row) if row.learned else -inf,
    ),
    Predictor("any program that matches as asked, the fewer statements the better", "sequences of all lengths, unlabelled", _smallest),
    Predictor(
        "the program of short sequences is right on longer ones",
        "short sequences unlabelled, answers of longer ones",
        lambda row: row.predicted_101_150,
    ),
    Predictor("accuracy at 0-50", "short sequences, labelled", lambda row: row.accuracy_0_50),
    Predictor("margin at 0-50", "short sequences, unlabelled", lambda row: row.margin),
    Predictor("norm of the weights, the smaller the better", "the weights", lambda row: _negative(row.weight_norm)),
    Predictor("the task has a program in C-RASP", "the literature", lambda row: None if row.crasp is None else float(row.crasp)),
)


@dataclass(frozen=True)
class Ranking:
    """How well a predictor tells the models that generalise from those that do not.

    Attributes:
        auc: None where there are too few models of a kind. learned: the same among the models that have learned the lengths that they were
            trained on; others do not generalise whatever they are, and what is next to nothing has a short program too.
        points: of the ROC curve: the shares of those that do not and of those that do generalise that are above a threshold.
    """

    predictor: Predictor
    models: int
    auc: Estimate | None
    learned: Estimate | None
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Counts:
    """Models by whether they generalise and whether they have a short program in symbols."""

    both: int
    generalise_only: int
    program_only: int
    neither: int


@dataclass(frozen=True)
class Prediction:
    """How well programs of short sequences say what their models do on longer ones.

    Attributes:
        models: that were predicted.
        correlation: of the accuracy at 101-150 said with the one there is, across models; `trivial` says that it is as at 0-50. None where
            one of them does not vary. error, trivial_error: the mean distance of the two.
        judged: models with longer sequences of both kinds, right and wrong. balanced: balanced accuracy of "the model fails here" on
            them, the mean over models; `longer`: of the guess that it fails on the longer half.
    """

    models: int
    correlation: Estimate | None
    trivial: Estimate | None
    error: float
    trivial_error: float
    judged: int
    balanced: Estimate | None
    longer: Estimate | None


@dataclass(frozen=True)
class TaskSummary:
    """The models of one task.

    Attributes:
        generalise, programs: how many do, and have a short program in symbols. both: of the former how many have one.
        statements: of the programs, the fewest and the most. algorithms: how many different ones these are.
    """

    task: str
    models: int
    generalise: int
    programs: int
    both: int
    statements: tuple[int, int] | None
    algorithms: int


@dataclass(frozen=True)
class Training:
    """One model along its training.

    Attributes:
        solved: the first step, of those that were looked at, from which on it generalises; None where it never does.
        program: the same for a short program in symbols.
    """

    cell: str
    task: str
    looked: int
    solved: int | None
    program: int | None


def ended(rows: Iterable[Row]) -> list[Row]:
    """The models at the end of their training of which it is known whether they generalise."""
    return [row for row in rows if not row.checkpoint and row.error is None and row.generalises is not None]


def counts(rows: Sequence[Row]) -> Counts:
    """Of the models at the end of their training."""
    kinds = [(bool(row.generalises), row.has_program) for row in ended(rows)]
    return Counts(*(kinds.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))


def rankings(rows: Sequence[Row]) -> tuple[Ranking, ...]:
    """One for each predictor that is known of any model."""
    found = (_ranking(predictor, ended(rows)) for predictor in PREDICTORS)
    return tuple(ranking for ranking in found if ranking.models)


def _ranking(predictor: Predictor, rows: Sequence[Row]) -> Ranking:
    known = [row for row in rows if predictor.score(row) is not None]
    scores = np.array([predictor.score(row) for row in known], dtype=float)
    positive = np.array([bool(row.generalises) for row in known], dtype=bool)

    def area(chosen: np.ndarray) -> float | None:
        return auc(scores[chosen], positive[chosen])

    learned = [place for place, row in enumerate(known) if row.learned]
    points = _roc(list(zip(scores.tolist(), positive.tolist(), strict=True)))
    return Ranking(predictor, len(known), _estimated(area, known), _estimated(area, known, learned), points)


def auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """The share of pairs of a positive and a negative in which the positive scores higher, equal ones counted half (Mann and Whitney, "On a
    test of whether one of two random variables is stochastically larger than the other", 1947). None with fewer than two of a kind.
    """
    above, below = scores[positive], scores[~positive]
    if min(len(above), len(below)) < LEAST_CASES:
        return None
    more, same = above[:, None] > below, above[:, None] == below
    return float((more + same / 2).mean())


def _roc(cases: Sequence[tuple[float, bool]]) -> tuple[tuple[float, float], ...]:
    negatives = max(1, sum(not positive for _, positive in cases))
    positives = max(1, sum(positive for _, positive in cases))
    points = [(0.0, 0.0)]
    for threshold in sorted({score for score, _ in cases}, reverse=True):
        taken = [positive for score, positive in cases if score >= threshold]
        points.append((sum(not positive for positive in taken) / negatives, sum(taken) / positives))
    return tuple(points)


def _estimated(measure: Callable[[np.ndarray], float | None], rows: Sequence[Row], among: Sequence[int] | None = None) -> Estimate | None:
    """A number of some models, with its interval: tasks are drawn with replacement, each with all its models.

    Args:
        measure: given the places of the models in `rows`.
        among: the places of those that it is about; of all by default.
    """
    places = np.arange(len(rows)) if among is None else np.array(among, dtype=int)
    value = measure(places)
    if value is None:
        return None
    by_task: dict[str, list[int]] = defaultdict(list)
    for place in places.tolist():
        by_task[rows[place].task].append(place)
    tasks = [np.array(held) for held in by_task.values()]
    rng = np.random.default_rng(0)
    again = (measure(np.concatenate([tasks[i] for i in rng.integers(len(tasks), size=len(tasks))])) for _ in range(RESAMPLES))
    low, high = np.quantile([found for found in again if found is not None] or [value], [0.025, 0.975])
    return Estimate(value, min(float(low), value), max(float(high), value))


def prediction(rows: Sequence[Row]) -> Prediction | None:
    """None where nothing was predicted."""
    known = [row for row in ended(rows) if row.predicted_101_150 is not None and row.accuracy_0_50 is not None]
    if not known:
        return None
    judged = [row for row in known if row.fails and row.rights]
    said, short, true = (
        np.array([getattr(row, name) for row in known], dtype=float) for name in ("predicted_101_150", "accuracy_0_50", "accuracy_101_150")
    )
    foreseen, longer = (np.array([measure(row) for row in judged]) for measure in (_foreseen, _longer))
    return Prediction(
        len(known),
        _estimated(lambda chosen: _correlation(said[chosen], true[chosen]), known),
        _estimated(lambda chosen: _correlation(short[chosen], true[chosen]), known),
        float(np.abs(said - true).mean()),
        float(np.abs(short - true).mean()),
        len(judged),
        _estimated(lambda chosen: _mean_of(foreseen[chosen]), judged),
        _estimated(lambda chosen: _mean_of(longer[chosen]), judged),
    )


def balanced(fails: tuple[int | None, int | None], rights: tuple[int | None, int | None]) -> float:
    """The mean of the shares of a model's failures, and of its right answers, that are said: each pair is how many, and of how many."""
    (fails_said, fails_all), (rights_said, rights_all) = fails, rights
    return ((fails_said or 0) / (fails_all or 1) + (rights_said or 0) / (rights_all or 1)) / 2


def _foreseen(row: Row) -> float:
    return balanced((row.fails_predicted, row.fails), (row.rights_predicted, row.rights))


def _longer(row: Row) -> float:
    return balanced((row.fails_longer, row.fails), (row.rights_longer, row.rights))


def _mean_of(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Pearson's; None where one side does not vary."""
    if len(first) < LEAST_CASES or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def by_tasks(rows: Sequence[Row]) -> tuple[TaskSummary, ...]:
    """In the order of the grid."""
    return tuple(_summary(task, models) for task, models in _by_task(ended(rows)).items())


def _summary(task: str, models: Sequence[Row]) -> TaskSummary:
    programs = [row for row in models if row.has_program]
    sizes = [row.statements for row in programs if row.statements is not None]
    return TaskSummary(
        task,
        len(models),
        sum(bool(row.generalises) for row in models),
        len(programs),
        sum(bool(row.generalises) for row in programs),
        (min(sizes), max(sizes)) if sizes else None,
        len({row.algorithm for row in programs}),
    )


def _by_task(rows: Iterable[Row]) -> Mapping[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row.task].append(row)
    return found


def trainings(rows: Iterable[Row]) -> tuple[Training, ...]:
    """The models that were looked at along their training."""
    cells: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.error is None and row.steps_run is not None:
            cells[row.cell].append(row)
    return tuple(
        Training(
            cell, looked[0].task, len(looked), _from(looked, lambda row: bool(row.generalises)), _from(looked, lambda row: row.has_program)
        )
        for cell, looked in cells.items()
        if len(looked) > 1
    )


def _from(looked: Sequence[Row], holds: Callable[[Row], bool]) -> int | None:
    """The step from which on something holds."""
    first = None
    for row in reversed(looked):
        if not holds(row):
            break
        first = row.steps_run
    return first
