"""The sequences that a program is named on: of the task, and off it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from drasp.core.parallel import in_order
from drasp.core.seeds import Stream
from drasp.ir.program import Program
from drasp.learn.oracle import Oracle
from drasp.naming.judged import Judged, Judging, as_sets, judged
from drasp.naming.tuning import SampleTuning
from drasp.tasks.protocol import Sample


@dataclass(frozen=True)
class Samples:
    """What a program is named on.

    Attributes:
        few: for its attention.
        judging: for its readout.
        rng: draws the queries whose attention is named.
    """

    few: Sequence[Sample]
    judging: Judging
    rng: np.random.Generator

    @property
    def spend(self) -> Callable[[float], None]:
        """Told of the work that was done on them; may raise to stop."""
        return self.judging.spend


def draw_samples(program: Program, oracle: Oracle, tuning: SampleTuning, spend: Callable[[float], None]) -> Samples:
    """Labels sequences by the program. `spend` is told of the work on each batch, here and in naming, and may raise to stop."""
    rng = np.random.default_rng([oracle.seed, Stream.NAMING])
    batches = [*oracle.short[:: tuning.short_every], *oracle.long[:: tuning.long_every]]
    samples = [batch.sample for batch in batches]

    def label(given: Sequence[tuple[Sample, np.ndarray | None]]) -> Iterator[Judged]:
        for found in in_order(lambda pair: judged(program, *pair), given):
            spend(len(program.statements))  # a program that is still long takes its time
            yield found

    given = [
        (sample, as_sets(batch.model_logits.cpu().numpy(), program.header.predict)) for sample, batch in zip(samples, batches, strict=True)
    ]
    real = list(label(given))
    off = [*random_strings(program, samples, tuning, rng), *(edited(sample, program, rng) for sample in samples[:: tuning.edited_every])]
    every = max(1, len(samples) // tuning.head_batches)
    few = [Sample(*(array[: tuning.head_sequences] for array in sample)) for sample in samples[::every]]
    return Samples(few, Judging(real, list(label([(sample, None) for sample in off])), spend), rng)


def random_strings(program: Program, given: Sequence[Sample], tuning: SampleTuning, rng: np.random.Generator) -> Iterator[Sample]:
    """In each string the symbols have shares of its own; some positions are scored.

    Where the sequences given all start at the same position, these do too, and are no longer.
    """
    vocabulary, count = program.header.vocabulary, tuning.off_sequences
    ids = program.header.symbols
    first = np.unique(np.concatenate([sample.position_ids[:, 0] for sample in given]))
    begin = [vocabulary.index("<bos>")] if "<bos>" in vocabulary else []
    most = program.header.positions - len(begin) if len(first) > 1 else max(sample.token_ids.shape[1] for sample in given) - len(begin)
    for length in tuning.off_lengths:
        if length > most:
            continue
        shares = rng.dirichlet(np.full(len(ids), tuning.off_shares), count)
        drawn = ids[np.stack([rng.choice(len(ids), length, p=share) for share in shares])]
        tokens = np.concatenate([np.full((count, len(begin)), begin, dtype=int), drawn], 1)
        last = program.header.positions - tokens.shape[1]
        offsets = rng.integers(0, last, (count, 1), endpoint=True) if len(first) > 1 else first[:, None]
        scored = rng.random(tokens.shape) < tuning.off_scored
        scored[:, -1] = True
        yield Sample(tokens, np.arange(tokens.shape[1]) + np.broadcast_to(offsets, (count, 1)), scored)


def edited(sample: Sample, program: Program, rng: np.random.Generator) -> Sample:
    """The sequences with one token of each replaced, where it is followed by something scored."""
    ids = program.header.symbols
    tokens = sample.token_ids.copy()
    rows = np.arange(len(tokens))
    last = sample.reach(program.header.bidirectional) - 1
    places = (1 + rng.random(len(tokens)) * last).astype(int).clip(max=last)
    tokens[rows, places] = ids[rng.integers(0, len(ids), len(tokens))]
    after = np.arange(tokens.shape[1]) >= places[:, None]
    return Sample(tokens, sample.position_ids, sample.scored & (program.header.bidirectional | after))
