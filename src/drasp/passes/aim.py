"""What every pass is told: the match to keep, and the numbers that steer it."""

from dataclasses import dataclass, field

from drasp.learn.tuning import CircuitTuning, PruneTuning, RefitTuning
from drasp.naming.tuning import NamesTuning, NamingTuning


@dataclass(frozen=True)
class Aim:
    """What a pass is to do.

    Attributes:
        threshold: match on the selection pool, in the worst band, that a smaller candidate must reach.
        refit: how constants are fitted.
        least: match, over all lengths, at which a program in symbols is worth having.
    """

    threshold: float
    refit: RefitTuning
    prune: PruneTuning = field(default_factory=PruneTuning)
    circuit: CircuitTuning = field(default_factory=CircuitTuning)
    names: NamesTuning = field(default_factory=NamesTuning)
    naming: NamingTuning = field(default_factory=NamingTuning)
    least: float = 1.0

    @property
    def promising(self) -> float:
        """The match from which a refit may bring it back."""
        return self.threshold - self.refit.hopeless
