"""Linear threshold functions: `c x > 0` with few, small coefficients, by linear programming.

The outputs of a small trained MLP that matter turn out to be such forms of its inputs. A form must be right on all real inputs, and as
right as can be on inputs off the task's distribution, labelled by the MLP itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csc_matrix, eye, hstack

from drasp.naming.tuning import FormTuning


@dataclass(frozen=True)
class Labelled:
    """Rows of features (n, features), what is true of each, booleans (n), and how many positions each stands for (n)."""

    features: np.ndarray
    truth: np.ndarray
    counts: np.ndarray

    def signed(self) -> np.ndarray:
        """The rows, turned round where the truth is false: a right form is positive on each."""
        return np.where(self.truth[:, None], self.features, -self.features)

    def agreement(self, coefficients: np.ndarray) -> float:
        """The share of rows on which the form is right."""
        return float(((self.features @ coefficients > 0) == self.truth).mean()) if len(self.truth) else 1.0


@dataclass(frozen=True)
class Form:
    """A linear threshold function and how often it is right off the distribution."""

    coefficients: np.ndarray
    agreement: float

    @property
    def length(self) -> int:
        """How long it is to write: a term counts one, and each digit of its coefficient one more."""
        digits = sum(len(f"{abs(c):g}".replace(".", "")) for c in self.coefficients if abs(c) not in (0, 1))
        return int((self.coefficients != 0).sum()) + digits


def tolerable(real: Labelled, tuning: FormTuning) -> Labelled | None:
    """The rows on which some form is right: all of them where there is one that is; else all but a few, as a model errs. None where too
    many would be left out.
    """
    signed = real.signed()
    if _solve(signed, np.empty((0, signed.shape[1])), tuning.sparsity[0], tuning) is not None:
        return real
    some = np.linspace(0, len(signed) - 1, min(tuning.soft_rows, len(signed))).astype(int)
    found = _program(np.empty((0, signed.shape[1])), signed[some], tuning.soft_sparsity, real.counts[some])
    if found is None:
        return None
    kept = signed @ found >= tuning.soft_margin
    if real.counts[kept].sum() < (1 - tuning.noise) * real.counts.sum():
        return None
    return Labelled(real.features[kept], real.truth[kept], real.counts[kept])


def fit_form(real: Labelled, off: Labelled, tuning: FormTuning, check_time: Callable[[], None] = lambda: None) -> Form | None:
    """The form that is right on all real rows, of which there must be one; None where none can be written with few digits.

    Of several coefficients of sparsity, the shortest form that agrees about as well off the task as the best does.

    Args:
        check_time: called now and then; may raise to stop.
    """
    problem = _Problem(real, off, tuning, check_time)
    found = [form for sparsity in tuning.sparsity if (form := _fit(problem, sparsity)) is not None]
    if not found:
        return None
    wanted = min(max(form.agreement for form in found) - tuning.agreement_lost, tuning.agreement_enough)
    return min((form for form in found if form.agreement >= wanted), key=lambda form: form.length)


@dataclass(frozen=True)
class _Problem:
    """What a form is fitted to; see `fit_form`.

    Attributes:
        needed: features without which no form is right on all real rows, and so none without more of them either: found out on the way.
    """

    real: Labelled
    off: Labelled
    tuning: FormTuning
    check_time: Callable[[], None]
    needed: set[int] = field(default_factory=set)

    def solve(self, columns: list[int], sparsity: float) -> np.ndarray | None:
        """The coefficients of these features."""
        return _solve(self.real.signed()[:, columns], self.off.signed()[:, columns], sparsity, self.tuning) if columns else None

    def spread(self, coefficients: np.ndarray, columns: list[int]) -> np.ndarray:
        """Those of all features."""
        full = np.zeros(self.real.features.shape[1])
        full[columns] = coefficients
        return full


def _fit(problem: _Problem, sparsity: float) -> Form | None:
    real, off, tuning = problem.real, problem.off, problem.tuning
    columns = [i for i in range(real.features.shape[1]) if real.features[:, i].any() or off.features[:, i].any()]
    exact = problem.solve(columns, sparsity)
    while exact is not None:  # without one feature after the other, while the others need not grow for it
        wanted = off.agreement(problem.spread(exact, columns)) - tuning.agreement_lost / 10
        for drop in [i for i in np.argsort(np.abs(exact), kind="stable") if columns[i] not in problem.needed]:
            problem.check_time()
            fewer = [c for i, c in enumerate(columns) if i != drop]
            smaller = problem.solve(fewer, sparsity)
            if smaller is None:
                problem.needed.add(columns[drop])
                continue
            grown = np.abs(smaller).sum() / np.abs(exact).sum()
            if grown <= tuning.growth and off.agreement(problem.spread(smaller, fewer)) >= wanted:
                columns, exact = fewer, smaller
                break
        else:
            break
    return None if exact is None else _rounded(problem.spread(exact, columns), real, off, tuning)


def _solve(real: np.ndarray, off: np.ndarray, sparsity: float, tuning: FormTuning) -> np.ndarray | None:
    """Coefficients with `real c >= 1`, least slack of `off c >= 1` and few large ones; rows enter as they turn out to be needed."""
    order = np.argsort(np.abs(real).sum(1), kind="stable")
    half = tuning.first_rows // 2
    active = np.unique(np.concatenate([order[:half], np.linspace(0, len(real) - 1, half).astype(int)]))
    for _ in range(tuning.rounds):
        found = _program(real[active], off, sparsity)
        if found is None:
            return None
        margins = real @ found
        if margins.min(initial=1) >= 1 - 1e-6:
            return found
        worst = np.argsort(margins, kind="stable")[: tuning.more_rows]
        active = np.union1d(active, worst[margins[worst] < 1 - 1e-6])
    return None


def _program(real: np.ndarray, off: np.ndarray, sparsity: float, counts: np.ndarray | None = None) -> np.ndarray | None:
    """The linear program over c = p - m and the slacks s, all at least 0. `counts`: how much the slack of each row off the task counts."""
    n, slacks = real.shape[1], len(off)
    weights = np.ones(slacks) if counts is None else counts
    cost = np.concatenate([np.full(2 * n, sparsity), weights / max(weights.sum(), 1)])
    signed = csc_matrix(np.concatenate([real, off]))
    rows = hstack([-signed, signed, -eye(len(real) + slacks, slacks, -len(real))], format="csc")
    solved = linprog(cost, A_ub=rows, b_ub=np.full(len(real) + slacks, -1.0), bounds=(0, None), method="highs")
    return None if solved.x is None else solved.x[:n] - solved.x[n : 2 * n]


def _rounded(exact: np.ndarray, real: Labelled, off: Labelled, tuning: FormTuning) -> Form | None:
    """The smallest integers that are right on all real rows and lose little off them; else as few digits as do."""
    wanted = off.agreement(exact) - tuning.agreement_lost
    signed = real.signed()
    margin = tuning.margin_kept * (signed @ exact).min(initial=1) / np.linalg.norm(exact)
    largest = np.abs(exact).max()
    if largest == 0:
        return None
    candidates = [np.round(exact / largest * k) for k in range(1, tuning.largest_integer + 1)]
    scale = np.abs(exact[exact != 0]).min()
    candidates += [np.array([float(f"{c:.{digits}g}") for c in exact / scale]) for digits in tuning.digits]
    for candidate in candidates:
        if candidate.any() and (signed @ candidate).min() / np.linalg.norm(candidate) >= margin and off.agreement(candidate) >= wanted:
            return Form(candidate, off.agreement(candidate))
    return None
