"""Match: whether the program predicts what the model predicts, and beside it both against the true answers, and what is trivial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drasp.core.intervals import Banded, Share
from drasp.core.seeds import Stream
from drasp.core.tuning import knob
from drasp.evidence.kind import Baseline, Bench, Kind, KindTuning, Measured, Row
from drasp.learn.evaluation import by_the_model, draw, predictor, trivial


@dataclass(frozen=True)
class MatchTuning(KindTuning):
    """Match decides the verdict: it comes first, and gets what it needs of what is left."""

    seconds: float = knob(30.0, unit="seconds at the most", origin="chosen: a person waits; 5,000 sequences tell .99 from .985")
    enough: int = knob(400, unit="sequences a band", origin="all of 400 alike suffice for an interval above .99")
    fitting_share: float = knob(0.1, unit="share of the sequences", origin="chosen: what is trivial is read off as many more")
    fitting_least: int = knob(30, unit="sequences", origin="chosen")


def _measure(bench: Bench, tuning: MatchTuning) -> Mapping[str, Any]:
    examinee, began = bench.question.examinee, bench.budget.spent()
    fresh = draw(examinee, bench.sequences, bench.rng(Stream.EVIDENCE), bench.budget)
    for_fitting = max(tuning.fitting_least, int(tuning.fitting_share * bench.sequences))
    fitting = draw(bench.question.fitting, for_fitting, bench.rng(Stream.BASELINES), bench.budget)
    predicted, trivially = predictor(bench.program, fresh, bench.budget), trivial(fitting)
    bench.match = Measured(fresh, predicted, trivially, (bench.budget.spent() - began) / fresh.sequences)
    return {
        "all_inputs": fresh.all_inputs or None,
        "match": fresh.match(predicted),
        "task": fresh.accuracy(predicted),
        "model_task": fresh.accuracy(by_the_model),
        "baseline": Baseline(**{name: fresh.match(guess) for name, guess in trivially.items()}),
    }


def _rows(
    match: Banded | None, all_inputs: bool | None, task: Banded | None, model_task: Banded | None, baseline: Baseline[Banded] | None
) -> Sequence[Row]:
    rows = []
    if match is not None:
        rows.append(Row("match", "", by_bands(match) + f", of all {match.all.sequences:,} inputs" * bool(all_inputs)))
    if task is not None and model_task is not None:
        rows.append(Row("task", "", f"program {by_bands(task, short=True)}; model {by_bands(model_task, short=True)}"))
    if baseline is not None:
        constant, table = (found.all.accuracy for found in (baseline.constant, baseline.current_token))
        text = f"match of the best constant {constant:.3f}, of the best current-token table {table:.3f}"
        rows.append(Row("baselines", "", text))
    return rows


def by_bands(shares: Banded, short: bool = False) -> str:
    """`0.9990 [0.9978, 0.9995] at 0-50, ...`; short: without the intervals. Of all inputs there is none."""

    def one(share: Share) -> str:
        interval = "" if short or share.low == share.high else f" [{share.low:.4f}, {share.high:.4f}]"
        return f"{share.accuracy:.4f}{interval} at {share.lengths[0]}-{share.lengths[1]}"

    return ", ".join(map(one, shares.bands))


MATCH = Kind(
    name="match",
    question="Does the program predict what the model predicts, over whole sequences, by length?",
    how="On fresh sequences, as many of each length band, on the saved program run by the reference interpreter without the model; where "
    "the task knows all its inputs and they are few, on all of them.",
    runs=lambda program: 1.0,
    measure=_measure,
    rows=_rows,
    keys=("match", "all_inputs", "task", "model_task", "baseline"),
    tuning=MatchTuning(),
    decides=True,
    a_band=True,
)
