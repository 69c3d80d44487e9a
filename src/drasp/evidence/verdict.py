"""The verdict on a program. It never sees the task's true answers."""

from drasp.core.intervals import Banded
from drasp.evidence.attention import Attention
from drasp.evidence.interchange import Interchange
from drasp.evidence.kind import Asked
from drasp.evidence.schema import Verdict
from drasp.ir.program import Program
from drasp.ir.size import size


def verdict(program: Program, match: Banded | None, attention: Attention | None, interchange: Interchange | None, asked: Asked) -> Verdict:
    """See the README; `not decompiled` where match could not be measured, `imitated` where that of attention or interchange was not."""
    if match is None:
        return "not decompiled"
    matches = match.worst.low >= asked.match
    faithful = attention is not None and attention.faithful and interchange is not None and interchange.faithful
    if within_limits(program, asked) and matches:
        return "decompiled" if faithful else "imitated"
    if within_limits(program, asked) and match.all.accuracy >= asked.least:
        return "decompiled below" if faithful else "imitated below"
    return "pruned" if matches and size(program).statements <= asked.statements else "not decompiled"


def within_limits(program: Program, asked: Asked) -> bool:
    """Whether a program is small and symbolic enough to be called decompiled."""
    found = size(program)
    return found.statements <= asked.statements and found.numbers <= asked.numbers and found.opaque == 0
