"""The verdict on a program. It never sees the task's true answers."""

from drasp.core.intervals import Banded
from drasp.evidence.kind import Asked
from drasp.evidence.schema import Verdict
from drasp.ir.program import Program
from drasp.ir.size import size


def verdict(program: Program, match: Banded | None, asked: Asked) -> Verdict:
    """`decompiled`, `pruned` or `not decompiled`, see the README; the last where match could not be measured."""
    if match is None or match.worst.low < asked.match or size(program).statements > asked.statements:
        return "not decompiled"
    return "decompiled" if within_limits(program, asked) else "pruned"


def within_limits(program: Program, asked: Asked) -> bool:
    """Whether a program is small and symbolic enough to be called decompiled."""
    found = size(program)
    return found.statements <= asked.statements and found.numbers <= asked.numbers and found.opaque == 0
