"""What a task is. A user's own task is any object with these members."""

from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np


class Sample(NamedTuple):
    """A batch of sequences, padded on the right with `<pad>`.

    Attributes:
        token_ids: (batch, time) integers.
        position_ids: (batch, time) integers, consecutive from a random offset; padding repeats the last id.
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
    def real(self) -> np.ndarray:
        """(batch, time) booleans: up to the last scored position, before which there is no padding."""
        return self.scored[:, ::-1].cumsum(1)[:, ::-1] > 0


@runtime_checkable
class Task(Protocol):
    """A task.

    Attributes:
        name: what it is called.
        vocabulary: the symbols, then the special tokens `<bos>`, `<sep>`, `<eos>`, `<pad>`, in id order.
        predict: "next-token" (argmax counts) or "next-token-set" (the signs of all logits count).

    A task may also have `positions` (how many position ids its sampler uses; a model must have as many or more) and `order` (the
    tokens that have an order, in that order).
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
