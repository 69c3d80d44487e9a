"""A task of one's own: words of a and b with at most one b. At every position the model is to tell which tokens may come next."""

import numpy as np

LONGEST = 50


class Once:
    name = "once"
    vocabulary = ("a", "b", "<bos>", "<sep>", "<eos>", "<pad>")  # the symbols, then always these four
    predict = "next-token-set"
    positions = LONGEST + 12  # more than the longest sequence needs, so that sequences start at different positions

    def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`<bos>`, the word, `<eos>`, then `<pad>`; what is predicted counts from `<bos>` up to the last symbol."""
        longest = min(lengths[1], LONGEST)
        sizes = rng.integers(lengths[0], longest, (count, 1), endpoint=True)
        b = rng.integers(0, sizes, endpoint=True)  # where the b stands; at 0 there is none
        place = np.arange(longest + 2)
        word = np.where(place == b, 1, 0)
        token_ids = np.where(place == 0, 2, np.where(place <= sizes, word, np.where(place == sizes + 1, 4, 5)))
        offsets = rng.integers(0, self.positions - 2 - sizes, endpoint=True)
        return token_ids, offsets + np.minimum(place, sizes + 1), place <= sizes

    def answers(self, token_ids: np.ndarray) -> np.ndarray:
        """(batch, time, vocabulary): `a` and `<eos>` may always come next, `b` until there was one."""
        may_follow = np.zeros((*token_ids.shape, len(self.vocabulary)), dtype=bool)
        may_follow[:, :, [0, 4]] = True
        may_follow[:, :, 1] = (token_ids == 1).cumsum(axis=1) == 0
        return may_follow
