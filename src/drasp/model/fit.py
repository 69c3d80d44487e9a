"""Whether a task is a model's: its tokens, outputs and positions."""

import numpy as np

from drasp.errors import DraspError
from drasp.model.told import Told
from drasp.model.transformer import Transformer, cut
from drasp.tasks.protocol import Asked, Task, padding
from drasp.tasks.sampling import SuiteTask
from drasp.tasks.user import checked_answers, checked_sample

PADDED_TO = 64
"""Embeddings are made a multiple of it, for speed: then there are ids that no task has."""


def fitted(transformer: Transformer, task: Task, lengths: tuple[int, int], model: str, told: Told) -> tuple[Transformer, Task]:
    """Both as they fit each other: the task with the model's ids, the model without the ids and outputs that the task has not.

    Draws a few sequences, so that a malformed task is refused here.

    Args:
        model: what it is called in messages.
        told: what it tells of its tokens.

    Raises:
        DraspError: the task breaks its rules, or has more tokens, outputs or positions than the model, or other ids.
    """
    if hasattr(task, "for_model"):
        task = task.for_model(Asked(transformer.positions, told.tokens, transformer.bidirectional))
    vocabulary, outputs = task.vocabulary, getattr(task, "outputs", None)
    tokens, predicted = transformer.vocabulary_size, transformer.outputs
    fewer = isinstance(task, SuiteTask) and len(vocabulary) < tokens and tokens % PADDED_TO != 0
    if len(vocabulary) > tokens or fewer:
        raise DraspError(f"task {task.name} has {len(vocabulary)} tokens, {model} has {tokens}: is it the right task?")
    if outputs is None and predicted != tokens:
        raise DraspError(f"{model} has {tokens} tokens and {predicted} outputs: task {task.name} must name them with outputs=")
    names = vocabulary if outputs is None else outputs
    if len(names) > predicted:
        raise DraspError(f"task {task.name} has {len(names)} outputs, {model} has {predicted}: is it the right task?")
    told.check(vocabulary, f"task {task.name}", model)
    sample = checked_sample(task, np.random.default_rng(0), 100, lengths)
    checked_answers(task, sample)
    needed = max(getattr(task, "positions", None) or 0, int(sample.position_ids.max()) + 1)
    if needed > transformer.positions:
        raise DraspError(f"task {task.name} needs {needed} positions, {model} has {transformer.positions}: is it the right task?")
    pad = padding(task)
    return cut(transformer, len(vocabulary), len(names), None if pad is None else vocabulary.index(pad)), task
