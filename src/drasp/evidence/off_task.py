"""The program against the model off the task: on uniform random strings, and on sequences with one token edited.

The oracle is the model, as everywhere. Nobody says what is right there; a program that computes what the model computes agrees with it all
the same.
"""

from collections.abc import Callable, Mapping

import numpy as np

from drasp.ir.program import Program
from drasp.measure import Banded, Chunk, Judge, Logits, Predictor, alike, make_judge, predictor, trivial, wilson
from drasp.tasks.protocol import Sample, Task

SPECIAL_TOKENS = 4
FITTING_SHARE = 4  # the baselines are fitted on a quarter as many sequences of the same kind


def off_task(
    program: Program,
    task: Task,
    model: Logits,
    lengths: tuple[int, int],
    sequences: int,
    rng: np.random.Generator,
    check_time: Callable[[], None],
) -> dict[str, object]:
    """For each kind the share of scored positions, and of whole sequences, on which the program predicts what the model predicts.

    None for a kind that the task does not have: with a single symbol there is nothing to edit.
    """
    symbols = len(task.vocabulary) - SPECIAL_TOKENS
    kinds: Mapping[str, Callable[[Sample], Sample]] = {
        "random_strings": lambda sample: random_symbols(sample, symbols, rng),
        "one_token_edits": lambda sample: edited(sample, symbols, rng),
    }

    def timed(token_ids: np.ndarray, position_ids: np.ndarray) -> np.ndarray:
        check_time()
        return model(token_ids, position_ids)

    found: dict[str, object] = {}
    for kind, change in kinds.items():
        judge, fitting = (make_judge(task, timed, lengths, n, rng, change) for n in (sequences, max(1, sequences // FITTING_SHARE)))
        found[kind] = _agreement(program, judge, fitting, check_time) if judge.chunks and fitting.chunks else None
    return found


def random_symbols(sample: Sample, symbols: int, rng: np.random.Generator) -> Sample:
    """Every symbol drawn anew, uniform and independent; special tokens, positions and what is scored stay."""
    drawn = rng.integers(0, symbols, sample.token_ids.shape)
    return Sample(np.where(sample.token_ids < symbols, drawn, sample.token_ids), sample.position_ids, sample.scored)


def edited(sample: Sample, symbols: int, rng: np.random.Generator) -> Sample:
    """One symbol of each sequence replaced by another one, which the model sees at some scored position; only such positions are scored.

    Sequences without such a symbol are left out.
    """
    last = sample.ends - 1
    place = np.arange(sample.token_ids.shape[1])
    can = (sample.token_ids < symbols) & (place <= last[:, None])
    kept = can.any(1) & (symbols > 1)
    token_ids, position_ids, scored, can = (array[kept] for array in (*sample, can))
    chosen = np.where(can, rng.random(can.shape), -1.0).argmax(1)
    rows = np.arange(len(token_ids))
    token_ids = token_ids.copy()
    token_ids[rows, chosen] = (token_ids[rows, chosen] + rng.integers(1, max(symbols, 2), len(rows))) % symbols
    return Sample(token_ids, position_ids, scored & (place >= chosen[:, None]))


def _agreement(program: Program, judge: Judge, fitting: Judge, check_time: Callable[[], None]) -> dict[str, object]:
    ran = predictor(program, judge)

    def timed(chunk: Chunk) -> np.ndarray:
        check_time()
        return ran(chunk)

    positions, sequences = _shares(judge, timed)
    baseline = {}
    for name, found in trivial(fitting).items():
        its_positions, its_sequences = _shares(judge, found)
        baseline[name] = {"positions": its_positions, "sequences": its_sequences.all.as_json()}
    return {"positions": positions, "sequences": sequences.as_json(), "baseline": baseline}


def _shares(judge: Judge, predicted: Predictor) -> tuple[dict[str, object], Banded]:
    """The positions of a sequence are not independent: their interval is that of as many trials as there are sequences, so too wide."""
    same = np.concatenate([alike(predicted(chunk), chunk.model) for chunk in judge.chunks])
    share, sequences = float(same.mean()), judge.score(lambda chunk: chunk.right(predicted(chunk), chunk.model))
    low, high = wilson(share, sequences.all.sequences)
    return {"accuracy": round(share, 6), "low": round(low, 6), "high": round(high, 6), "positions": len(same)}, sequences
