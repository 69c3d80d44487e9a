"""A few sequences of the task with what the model predicts on them, recorded so that they can be shown without the model."""

from collections.abc import Sequence

import numpy as np

from drasp.measure import Logits, has_sequences, predictions
from drasp.tasks.protocol import Sample, Task
from drasp.tasks.user import checked_sample

SHORT, LONG = 12, 40  # the lengths up to which they are drawn
SHORT_ONES, LONG_ONES = 5, 1
DRAWN = 50  # of which the first that differ are kept, of the long ones the longest
FEWEST = 3  # tokens: shorter ones show nothing


def examples(task: Task, model: Logits, lengths: tuple[int, int], rng: np.random.Generator) -> list[dict[str, object]]:
    """Different sequences, short ones first and then a longer one.

    Returns:
        for each: "tokens"; "positions", the id of the first position; "scored", the places whose predictions count; "model", what the model
        predicts there: a token each, or the list of the tokens that may come next.
    """
    found: dict[tuple[str, ...], dict[str, object]] = {}
    for longest, count in ((SHORT, SHORT_ONES), (LONG, LONG_ONES)):
        span = (lengths[0], max(lengths[0], min(lengths[1], longest)))
        drawn = checked_sample(task, rng, DRAWN, span if has_sequences(task, span) else lengths)
        ends = drawn.ends
        rows = range(DRAWN) if longest == SHORT else np.argsort(-ends, kind="stable")
        wanted = len(found) + count
        for row in rows:
            sample = Sample(*(array[row : row + 1, : ends[row]] for array in drawn))
            tokens = tuple(task.vocabulary[i] for i in sample.token_ids[0])
            if len(found) < wanted and len(tokens) >= FEWEST and tokens not in found:
                answers = predictions(model(sample.token_ids, sample.position_ids)[sample.scored], task.predict)
                found[tokens] = {
                    "tokens": list(tokens),
                    "positions": int(sample.position_ids[0, 0]),
                    "scored": np.flatnonzero(sample.scored[0]).tolist(),
                    "model": [_said(answer, task.vocabulary) for answer in answers],
                }
    return list(found.values())


def _said(answer: np.ndarray, vocabulary: Sequence[str]) -> str | list[str]:
    """A prediction in tokens."""
    return vocabulary[int(answer)] if answer.ndim == 0 else [token for token, may in zip(vocabulary, answer, strict=True) if may]
