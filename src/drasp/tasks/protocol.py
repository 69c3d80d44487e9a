"""What a task is. A user's own task is any object with these members."""

from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np


class Sample(NamedTuple):
    """A batch of sequences, padded on the right.

    Attributes:
        token_ids: (batch, time) integers.
        position_ids: (batch, time) integers, consecutive from the offset; padding repeats the last id.
        scored: (batch, time) booleans: where the prediction made at this position counts. Every row has one at least.
    """

    token_ids: np.ndarray
    position_ids: np.ndarray
    scored: np.ndarray

    @property
    def ends(self) -> np.ndarray:
        """(batch), where the scored part of each sequence ends: one past its last scored position."""
        return self.scored.shape[1] - self.scored[:, ::-1].argmax(1)

    @property
    def lengths(self) -> np.ndarray:
        """(batch), how many tokens each sequence has without its padding."""
        return 1 + (np.diff(self.position_ids, axis=1) == 1).cumprod(axis=1).sum(axis=1)

    def reach(self, bidirectional: bool) -> np.ndarray:
        """(batch), how much of each sequence its scored predictions can depend on: up to the last of them, or all of it."""
        return self.lengths if bidirectional else self.ends

    def real(self, bidirectional: bool) -> np.ndarray:
        """(batch, time) booleans: what scored predictions can depend on, in which there is no padding."""
        return np.arange(self.scored.shape[1]) < self.reach(bidirectional)[:, None]

    def paired(self) -> "tuple[Sample, Sample]":
        """The sequences of which another has the same length and scored positions; and that other one, at the positions of the first."""
        alike: dict[tuple[int, bytes], list[int]] = {}
        for row, (length, scored) in enumerate(zip(self.lengths.tolist(), self.scored, strict=True)):
            alike.setdefault((length, scored.tobytes()), []).append(row)
        together = [rows for rows in alike.values() if len(rows) > 1] or [[]]
        rows, others = (np.concatenate([np.roll(part, shift) for part in together]).astype(int) for shift in (0, 1))
        base = Sample(*(array[rows] for array in self))
        return base, base._replace(token_ids=self.token_ids[others])


@runtime_checkable
class Task(Protocol):
    """A task.

    Attributes:
        name: what it is called.
        vocabulary: the tokens in id order.
        predict: "next-token" (argmax counts) or "next-token-set" (the signs of all logits count).

    A task may also have

    * `positions`: how many position ids its sampler uses; a model must have as many or more;
    * `order`: the tokens that have an order, in that order;
    * `outputs`: the names of what is predicted, in the order of the model's outputs, where that is not the vocabulary;
    * `padding`: the token that stands behind a sequence shorter than others; by default the vocabulary's last, if that is `<pad>`;
    * `right(sample)`: as `answers`, where the tokens alone do not tell; an integer of -1 says that nobody knows what is right;
    * `different(rng, count, lengths)`: as `sample`, but no sequence twice, and fewer where there are not so many;
    * `parts()`: what is searched on and what is judged on, see `Parts`;
    * `for_model(model)`: the same task for a model, see `Asked`.
    """

    name: str
    vocabulary: tuple[str, ...]
    predict: Literal["next-token", "next-token-set"]

    def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
        """`count` sequences whose length (of the part to be read) is uniform over the valid ones in `lengths`, both ends included."""
        ...

    def answers(self, token_ids: np.ndarray) -> np.ndarray:
        """The true answers for padded sequences (batch, time).

        For next-token: integers (batch, time), the right next token at every scored position (any value elsewhere). For next-token-set:
        booleans (batch, time, vocabulary), which tokens may come next at every scored position (any value elsewhere).
        """
        ...


class Asked(NamedTuple):
    """What a task hears of the model that is asked.

    Attributes:
        positions: how many it has.
        tokens: its tokens in id order; None where it does not tell.
        bidirectional: whether its attention sees what comes later too.
    """

    positions: int
    tokens: tuple[str, ...] | None = None
    bidirectional: bool = False


class Parts(NamedTuple):
    """A task as the search sees it, and as the judge does.

    Attributes:
        all_inputs: whether the judge's part holds every input that there is.
    """

    search: Task
    judged: Task
    all_inputs: bool


def parts(task: Task) -> Parts:
    """Both parts of a task; of one that draws its sequences anew each is the task itself."""
    found: Parts = task.parts() if hasattr(task, "parts") else Parts(task, task, False)
    return found


def padding(task: Task) -> str | None:
    """The token that stands behind a sequence shorter than others; None where a task has none."""
    last = task.vocabulary[-1]
    found: str | None = getattr(task, "padding", last if last == "<pad>" else None)
    return found


def outputs(task: Task) -> tuple[str, ...]:
    """The names of what is predicted, in the order of the model's outputs."""
    found: tuple[str, ...] | None = getattr(task, "outputs", None)
    return task.vocabulary if found is None else found
