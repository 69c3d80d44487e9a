"""The readout of a next-token task as logits: a few projections of averages and of the current token, by regression on the model's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.ir.labels import is_special
from drasp.ir.nodes import ONE_READ, TOKEN, Project, Read, Select
from drasp.ir.primitives.tables import Rows
from drasp.ir.program import Program
from drasp.naming.attention import OUT, Feature, How, Queries, describe, features_between
from drasp.naming.judged import Judging, agreement
from drasp.naming.readout import Named, readout_reads, with_readout
from drasp.naming.tuning import LogitTuning
from drasp.run.numpy_fast import evaluate
from drasp.tasks.protocol import Sample


@dataclass(frozen=True)
class Answered:
    """Sequences, and the model's probabilities at their scored positions: (scored positions, vocabulary)."""

    sample: Sample
    probabilities: np.ndarray


def logit_readouts(program: Program, answered: Sequence[Answered], judging: Judging, how: How, tuning: LogitTuning) -> Iterator[Named]:
    """The program with ever longer readouts, each a sum of projections.

    Args:
        program: with whatever projections; what these read may be read.
    """
    reads = [TOKEN, *map(Read, readout_reads(program))]
    features = [*features_between(program, reads, [OUT], how.tuning), *_special(program, reads)]
    rows = _rows(program, answered, reads, how, _most(len(features) * program.header.output.size, tuning))
    for found in describe(program, features, rows, "logits", how)[1:]:
        statements = [_projection(select) for select in found.selects]
        named = with_readout(program, statements)
        yield Named(named, agreement(named, judging), tuple(s.name for s in statements))


def _projection(select: Select) -> Project:
    """A preference among keys as one among outputs."""
    return Project(select.name, select.query, select.op)


def _special(program: Program, reads: Sequence[Read]) -> Iterator[Feature]:
    """Special tokens that stand for each other: `{<sep>: {<eos>: 1}}`."""
    if program.header.outputs is not None:
        return
    special = [token for token in program.header.vocabulary if is_special(token)]
    for read in reads:
        for row in special:
            for column in special:
                yield Feature(read, OUT, Rows(((row, ((column, 1.0),)),)))


def _rows(program: Program, answered: Sequence[Answered], reads: Sequence[Read], how: How, most: int) -> Queries:
    """Some scored positions: one half drawn from all, the other so that each token is predicted about as often."""
    probabilities = np.concatenate([part.probabilities for part in answered])
    predicted = probabilities.argmax(1)
    seldom = 1 / np.bincount(predicted, minlength=probabilities.shape[1])[predicted]
    count = min(most // 2, len(predicted))
    chosen = [how.rng.choice(len(predicted), count, replace=False, p=p / p.sum()) for p in (np.ones(len(predicted)), seldom)]
    places = np.unique(np.concatenate(chosen))
    values: dict[Read, list[np.ndarray]] = {read: [] for read in reads}
    for part in answered:
        trace = evaluate(program, part.sample.token_ids, part.sample.position_ids)
        how.spend(len(program.statements))
        for read in reads:
            if read == TOKEN:
                values[read].append(part.sample.token_ids[part.sample.scored])
            else:
                values[read].append(trace.values[read.variable][part.sample.scored])
    wanted = probabilities[places].astype(np.float64)
    query_values = {read: np.concatenate(found)[places] for read, found in values.items()}
    query_values[ONE_READ] = np.zeros(len(places), dtype=np.int64)
    keys = np.broadcast_to(np.arange(wanted.shape[1]), wanted.shape)
    return Queries(wanted, np.ones(wanted.shape, dtype=bool), query_values, {OUT: keys})


def _most(cells: int, tuning: LogitTuning) -> int:
    """How many positions memory bears, of so many numbers each."""
    return max(tuning.least, min(tuning.rows, int(tuning.cells / cells)))
