"""Everything random comes from the run's seed, in streams that are apart from each other."""

from enum import IntEnum


class Stream(IntEnum):
    """What random numbers are for: `np.random.default_rng([seed, stream, ...])`."""

    FITTED_SHORT = 1
    FITTED_LONG = 2
    SELECTED = 3
    VERIFIED = 4
    POOL_TRIAL = 5
    CONVENTIONS = 6
    FIT = 7
    GATES = 8
    NAMING = 9
    EVIDENCE = 101
    BASELINES = 102
    TRIAL = 103
    OFF_TASK = 104
    PAIRS = 105
    EXAMPLES = 106
    ATTENTION = 107
    WORDS = 108
    STUDY = 109
