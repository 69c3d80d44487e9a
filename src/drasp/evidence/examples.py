"""A few sequences of the task with what the model predicts on them, recorded so that they can be shown without the model."""

from collections.abc import Sequence

import numpy as np

from drasp.measure import Logits, has_sequences, predictions
from drasp.tasks.protocol import Task
from drasp.tasks.user import checked_sample

SHORT, LONG = 12, 40  # the lengths up to which they are drawn: all but the last, and the last
SHORT_ONES = 5
DRAWN = 50  # of which the first that differ are kept
FEWEST = 3  # tokens: shorter ones show nothing


def examples(task: Task, model: Logits, lengths: tuple[int, int], rng: np.random.Generator) -> list[dict[str, object]]:
    """Different sequences, short ones first and then a longer one.

    Returns:
        for each: "tokens"; "positions", the id of the first position; "scored", the places whose predictions count; "model", what the model
        predicts there: a token each, or the list of the tokens that may come next.
    """
    low, high = lengths
    found: list[dict[str, object]] = []
    for longest, count in ((SHORT, SHORT_ONES), (LONG, SHORT_ONES + 1)):
        span = (low, max(low, min(high, longest)))
        span = span if has_sequences(task, span) else lengths
        drawn = checked_sample(task, rng, DRAWN, span)
        ends = drawn.scored.shape[1] - drawn.scored[:, ::-1].argmax(1)
        order = range(DRAWN) if longest == SHORT else np.argsort(-ends, kind="stable")
        for row in order:
            end = int(ends[row])
            tokens, positions = drawn.token_ids[row, :end], drawn.position_ids[row, :end]
            places = np.flatnonzero(drawn.scored[row, :end])
            words = [task.vocabulary[i] for i in tokens]
            if len(found) == count:
                break
            if end < FEWEST or any(words == other["tokens"] for other in found):
                continue
            answers = predictions(model(tokens[None], positions[None])[0, places], task.predict)
            said = [_said(answer, task.vocabulary) for answer in answers]
            found.append({"tokens": words, "positions": int(positions[0]), "scored": places.tolist(), "model": said})
    return found


def _said(answer: np.ndarray, vocabulary: Sequence[str]) -> str | list[str]:
    """A prediction in tokens."""
    return vocabulary[int(answer)] if answer.ndim == 0 else [vocabulary[i] for i in np.flatnonzero(answer)]
