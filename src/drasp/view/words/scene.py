"""Scenes: sequences, and what a program computes on them. Claims are checked on these."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from drasp.core.intervals import USUAL_LENGTHS
from drasp.core.seeds import Stream
from drasp.errors import DraspError
from drasp.evidence.schema import Evidence
from drasp.ir.nodes import BUILT_IN
from drasp.ir.program import Program
from drasp.run.numpy_fast import evaluate
from drasp.tasks.protocol import Sample, Task
from drasp.tasks.registry import known_task
from drasp.tasks.user import checked_sample

Array = np.ndarray[Any, Any]

MOST_STATEMENTS = 40
"""Of a program that is put into words."""
SHORT, LONG = 12, 100
MOST_ENTRIES = 2_000_000
"""Of the counts of all tokens at all positions."""
PAIRS_AT_ONCE = 400_000
"""Of positions, of the sequences that are run together."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Sequences, and what a program computes on them.

    Attributes:
        program: what runs.
        token_ids, position_ids: (batch, time); what stands behind the end of a sequence counts for nothing.
        checked: (batch, time) booleans: where claims are to hold.
    """

    program: Program
    token_ids: Array
    position_ids: Array
    checked: Array

    @cached_property
    def allowed(self) -> Array:
        """What is predicted, (batch, time, outputs) booleans: all outputs with a positive logit, or the one with the largest."""
        found = self.values["prediction"]
        if self.program.header.predict == "next-token-set":
            return found > 0
        return np.arange(found.shape[-1]) == found.argmax(-1)[..., None]

    @cached_property
    def predicted(self) -> Array:
        """(batch, time), of next-token."""
        return self.allowed.argmax(-1)

    @cached_property
    def counts(self) -> Array:
        """How many of each token there are so far: (batch, time, vocabulary)."""
        return (self.token_ids[..., None] == np.arange(len(self.program.header.vocabulary))).cumsum(1, dtype=np.int32)

    @cached_property
    def values(self) -> dict[str, Array]:
        """The variables, (batch, time, size), that have one coordinate, or one for each token or position; `prediction` is the logits."""
        spoken_of = [name for name, basis in self.program.bases.items() if basis.kind in ("token", "position") or basis.size == 1]
        found: dict[str, list[Array]] = {name: [] for name in spoken_of if name not in BUILT_IN}
        found["prediction"] = []
        together = max(1, PAIRS_AT_ONCE // self.token_ids.shape[1] ** 2)
        for start in range(0, len(self.token_ids), together):
            part = slice(start, start + together)
            trace = evaluate(self.program, self.token_ids[part], self.position_ids[part])
            for name, values in found.items():
                values.append(trace.logits if name == "prediction" else trace.value(name).astype(np.float32))
        return {name: np.concatenate(values) for name, values in found.items()}


def random_scene(program: Program, seed: int = 0) -> Scene:
    """Random strings of the tokens that are not special, behind `<bos>` where there is one; half of them are short.

    In a third all tokens are as likely, in a third some are rare, and in a third a token often stands in a row: what is said of all
    sequences must hold on these, too.
    """
    rng = np.random.default_rng([seed, Stream.WORDS])
    header = program.header
    symbols = header.symbols if len(header.symbols) else np.arange(len(header.vocabulary))
    longest = min(LONG, header.positions)
    batch = _batch(program, longest, 300)
    weights = np.ones((batch, len(symbols)))
    weights[0::3] = rng.dirichlet(np.full(len(symbols), 0.3), len(weights[0::3])) + 1e-9
    token_ids = symbols[(weights.cumsum(1)[:, None] < (rng.random((batch, longest)) * weights.sum(1)[:, None])[..., None]).sum(-1)]
    again = rng.random((batch, longest)) < np.where(np.arange(batch) % 3 == 1, rng.random(batch), 0)[:, None]
    begins = np.maximum.accumulate(np.where(again, 0, np.arange(longest)), axis=1)  # where the run began in which a token stands
    token_ids = np.take_along_axis(token_ids, begins, axis=1)
    if "<bos>" in header.vocabulary:
        token_ids[:, 0] = header.vocabulary.index("<bos>")
    lengths = np.where(np.arange(batch) % 2, rng.integers(1, longest + 1, batch), rng.integers(1, min(SHORT, longest) + 1, batch))
    if header.bidirectional:
        lengths[:] = longest
    offsets = rng.integers(0, header.positions - longest + 1, (batch, 1))
    return Scene(program, token_ids, np.arange(longest) + offsets, np.arange(longest) < lengths[:, None])


def task_scene(program: Program, task: Task, lengths: tuple[int, int], seed: int = 0) -> Scene:
    """Sequences of a task, half of them short, at the positions where their predictions count.

    Raises:
        TaskError: it cannot be sampled.
    """
    rng = np.random.default_rng([seed, Stream.WORDS])
    batch = _batch(program, checked_sample(task, rng, 20, lengths).token_ids.shape[1], 600)
    halves = [checked_sample(task, rng, batch // 2, (lengths[0], upper)) for upper in (min(lengths[0] + SHORT, lengths[1]), lengths[1])]
    return _joined(program, halves)


def scene_of(program: Program, task: Task | None, lengths: Sequence[int] | None) -> Scene | None:
    """As `task_scene`; None where there is no task, its sequences are none for the program, or attention sees what is behind them."""
    if task is None or tuple(task.vocabulary) != program.header.vocabulary or program.header.bidirectional:
        return None
    if len(program.statements) > MOST_STATEMENTS:
        return None
    try:
        scene = task_scene(program, task, USUAL_LENGTHS if lengths is None else (lengths[0], lengths[1]))
    except DraspError:
        return None
    return scene if scene.position_ids.max() < program.header.positions else None


def recorded_scene(program: Program, evidence: Evidence | None) -> Scene | None:
    """As `scene_of`, of the task that a run's evidence names; None where that is none of the suite."""
    if evidence is None:
        return None
    return scene_of(program, known_task(evidence.settings.get("task")), evidence.settings.get("lengths"))


def checked_on(scene: Scene | None) -> str:
    """What claims were checked on, in words."""
    return "random strings" if scene is None else f"{len(scene.token_ids)} of the task's sequences"


def _batch(program: Program, time: int, most: int) -> int:
    return int(np.clip(MOST_ENTRIES // (time * len(program.header.vocabulary)), 40, most)) // 2 * 2


def _joined(program: Program, samples: list[Sample]) -> Scene:
    """Samples one below the other; on the right the last token, and position, is repeated."""
    time = max(sample.token_ids.shape[1] for sample in samples)

    def wide(array: Array, mode: Any) -> Array:
        return np.pad(array, ((0, 0), (0, time - array.shape[1])), mode)

    tokens, positions = (np.concatenate([wide(sample[i], "edge") for sample in samples]) for i in (0, 1))
    scored = np.concatenate([wide(sample.scored, "constant") for sample in samples])
    return Scene(program, tokens, positions, scored)


def different(ids: Array) -> Array:
    """The ids in an array, each once, in order; none is below -1."""
    return np.flatnonzero(np.bincount(ids.ravel() + 1)) - 1
