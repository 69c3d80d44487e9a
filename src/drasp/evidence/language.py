"""Program and model against the task's true answers on every sequence up to some length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from drasp.core.budget import Budget
from drasp.core.tuning import knob
from drasp.evidence.examples import in_tokens
from drasp.evidence.kind import Baseline, Bench, Kind, KindTuning, Row
from drasp.ir.program import Program
from drasp.learn.evaluation import Chunk, Examinee, Predictor, alike, chunked, predictions, program_predictions, spend, work
from drasp.tasks.protocol import Sample
from drasp.tasks.sampling import SuiteTask
from drasp.tasks.user import checked_answers


@dataclass(frozen=True)
class Counterexample:
    """The shortest beginning after which the prediction is wrong: what is predicted, and what is right, as tokens."""

    tokens: tuple[str, ...]
    predicted: str | tuple[str, ...]
    right: str | tuple[str, ...]


@dataclass(frozen=True)
class Wrong:
    """How many sequences are wrong, and the shortest counterexample; None where none is."""

    wrong: int
    shortest: Counterexample | None


@dataclass(frozen=True)
class Count:
    """How many sequences what is trivial gets wrong."""

    wrong: int


@dataclass(frozen=True)
class Language:
    """Of all sequences of these lengths.

    Attributes:
        alike: on how many program and model predict the same throughout.
    """

    lengths: tuple[int, int]
    sequences: int
    alike: int
    program: Wrong
    model: Wrong
    baseline: Baseline[Count]


@dataclass(frozen=True)
class LanguageTuning(KindTuning):
    """Lengths are listed whole, from the shortest on, as long as there are not too many sequences."""

    share: float = knob(1.0, unit="share of the budget that is left", origin="chosen: it comes last")
    most: int = knob(25_000, unit="sequences in all", origin="chosen")
    longest: int = knob(20, unit="length", origin="chosen")


def language(
    program: Program, examinee: Examinee, baselines: Mapping[str, Predictor], budget: Budget, tuning: LanguageTuning
) -> Language | None:
    """How many sequences of the task, of all up to some length, program, model and baselines get wrong; None where none can be listed.

    All start at position 0.

    Raises:
        OutOfBudget: the budget is spent.
    """
    task, lengths = examinee.task, examinee.lengths
    if not isinstance(task, SuiteTask):
        return None
    tallies = {name: _Tally() for name in ("program", "model", *baselines)}
    listed: list[tuple[int, int]] = []
    same = 0
    for length in range(lengths[0], min(lengths[1], tuning.longest) + 1):
        sample = task.every(length, tuning.most - sum(count for _, count in listed))
        if sample is None:
            break
        if not len(sample.token_ids):
            continue
        listed.append((length, len(sample.token_ids)))
        for rows, _ in chunked(sample, examinee.bidirectional):
            part = Sample(*(array[rows] for array in sample))
            spend(budget, (len(program.statements) + examinee.parts) * work(part))
            chunk = _chunk(part, examinee)
            predicted = program_predictions(program, part)
            found = {"program": predicted, "model": chunk.model, **{name: guess(chunk) for name, guess in baselines.items()}}
            for name, each in found.items():
                tallies[name].add(chunk, each)
            same += int(chunk.right(predicted, chunk.model).sum())
    if not listed:
        return None
    return Language(
        lengths=(listed[0][0], listed[-1][0]),
        sequences=sum(count for _, count in listed),
        alike=same,
        program=tallies["program"].said(task.vocabulary),
        model=tallies["model"].said(task.vocabulary),
        baseline=Baseline(**{name: Count(tallies[name].wrong) for name in baselines}),
    )


def _chunk(sample: Sample, examinee: Examinee) -> Chunk:
    predicted = predictions(examinee.logits(sample.token_ids, sample.position_ids)[sample.scored], examinee.task.predict)
    return Chunk(sample, np.nonzero(sample.scored)[0], predicted, checked_answers(examinee.task, sample)[sample.scored], 0)


@dataclass
class _Tally:
    """How many sequences were wrong, and the shortest beginning after which one was: its tokens, what was predicted, what is right."""

    wrong: int = 0
    shortest: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, chunk: Chunk, predicted: np.ndarray) -> None:
        bad = ~alike(predicted, chunk.truth)
        if not bad.any():
            return
        self.wrong += len(np.unique(chunk.rows[bad]))
        places = np.nonzero(chunk.sample.scored)[1]
        first = int(np.where(bad, places, places.max() + 1).argmin())
        if self.shortest is None or places[first] + 1 < len(self.shortest[0]):
            tokens = chunk.sample.token_ids[chunk.rows[first], : places[first] + 1]
            self.shortest = tokens, predicted[first], chunk.truth[first]

    def said(self, vocabulary: tuple[str, ...]) -> Wrong:
        if self.shortest is None:
            return Wrong(self.wrong, None)
        tokens, predicted, right = self.shortest
        names = tuple(vocabulary[i] for i in tokens)
        return Wrong(self.wrong, Counterexample(names, in_tokens(predicted, vocabulary), in_tokens(right, vocabulary)))


def _measure(bench: Bench, tuning: LanguageTuning) -> Mapping[str, Any]:
    affordable = replace(tuning, most=bench.sequences)
    return {"language": language(bench.program, bench.question.examinee, bench.measured.trivial, bench.budget, affordable)}


def _rows(found: Language | None) -> Sequence[Row]:
    if found is None:
        return []
    low, high = found.lengths
    text = f"of all {found.sequences} sequences at {low}-{high} the program gets {_wrong(found.program)}, the model {_wrong(found.model)}"
    return [Row("language", "", text)]


def _wrong(found: Wrong) -> str:
    """`3 wrong, first after "<bos> a"`."""
    return f"{found.wrong} wrong" + (f', first after "{" ".join(found.shortest.tokens)}"' if found.shortest else "")


LANGUAGE = Kind(
    name="language",
    question="Which sequences of the task, of all up to some length, do program and model get wrong?",
    how="The task lists its sequences, from position 0, length by length; program and model are compared with the true answers.",
    runs=lambda program: 0.2,  # these sequences are short
    measure=_measure,
    rows=_rows,
    tuning=LanguageTuning(),
    slow=True,
)
