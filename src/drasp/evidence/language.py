"""Program and model against the task's true answers on every sequence up to some length."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from drasp.ir.program import Program
from drasp.measure import Chunk, Logits, Predictor, alike, chunked, predictions, program_predictions
from drasp.tasks.protocol import Sample
from drasp.tasks.sampling import SuiteTask
from drasp.tasks.user import checked_answers

LONGEST, MOST = 20, 25_000  # up to which length sequences are listed, and how many in all


def language(
    program: Program,
    task: SuiteTask,
    model: Logits,
    lengths: tuple[int, int],
    baselines: Mapping[str, Predictor],
    check_time: Callable[[], None],
) -> dict[str, object] | None:
    """How many sequences of the task, of all up to some length, program, model and baselines get wrong; None where none can be listed.

    All start at position 0. The shortest counterexample is the shortest beginning of a sequence after which the prediction is wrong.
    """
    tallies = {name: _Tally() for name in ("program", "model", *baselines)}
    listed: list[tuple[int, int]] = []
    same = 0
    for length in range(lengths[0], min(lengths[1], LONGEST) + 1):
        sample = task.every(length, MOST - sum(count for _, count in listed))
        if sample is None:
            break
        if not len(sample.token_ids):
            continue
        listed.append((length, len(sample.token_ids)))
        for rows, _ in chunked(sample):
            check_time()
            chunk = _chunk(Sample(*(array[rows] for array in sample)), task, model)
            found = {
                "program": program_predictions(program, chunk.sample),
                "model": chunk.model,
                **{name: baseline(chunk) for name, baseline in baselines.items()},
            }
            for name, predicted in found.items():
                tallies[name].add(chunk, predicted)
            same += int(chunk.right(found["program"], chunk.model).sum())
    if not listed:
        return None
    return {
        "lengths": [listed[0][0], listed[-1][0]],
        "sequences": sum(count for _, count in listed),
        "alike": same,
        "program": tallies["program"].as_json(task.vocabulary),
        "model": tallies["model"].as_json(task.vocabulary),
        "baseline": {name: {"wrong": tallies[name].wrong} for name in baselines},
    }


def _chunk(sample: Sample, task: SuiteTask, model: Logits) -> Chunk:
    predicted = predictions(model(sample.token_ids, sample.position_ids)[sample.scored], task.predict)
    return Chunk(sample, np.nonzero(sample.scored)[0], predicted, checked_answers(task, sample)[sample.scored], 0)


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

    def as_json(self, vocabulary: tuple[str, ...]) -> dict[str, object]:
        shortest = None
        if self.shortest is not None:
            tokens, predicted, right = self.shortest
            shortest = {
                "tokens": [vocabulary[i] for i in tokens],
                "predicted": _named(predicted, vocabulary),
                "right": _named(right, vocabulary),
            }
        return {"wrong": self.wrong, "shortest": shortest}


def _named(prediction: np.ndarray, vocabulary: tuple[str, ...]) -> str | list[str]:
    """The token that is predicted, or the tokens that may come next."""
    if prediction.ndim == 0:
        return vocabulary[int(prediction)]
    return [token for token, may in zip(vocabulary, prediction, strict=True) if may]
