"""Pass: a program as short as it can be said: whatever goes without a loss of match goes, and numbers become plain."""

from collections.abc import Callable

from drasp.ir.program import Program
from drasp.learn.trial import Found, Steps, Trial
from drasp.rewrite.shorter import Change, Shorter, with_fewer_digits, without_a_part
from drasp.rewrite.simplify import simplify


def shortened(program: Program, match: float, keeps: Callable[[Program], bool] = lambda shorter: True) -> Steps[Program]:
    """The program with nothing left in it that can go.

    Args:
        match: what the program has, and keeps.
        keeps: what else a shorter program must keep.
    """
    for shorter in (without_a_part, with_fewer_digits):
        program = yield from _until_nothing_goes(program, match, shorter, keeps)
    return program


def _until_nothing_goes(
    program: Program, match: float, shorter: Callable[[Program], Shorter], keeps: Callable[[Program], bool]
) -> Steps[Program]:
    failed: set[Change] = set()
    found = True
    while found:
        found = False
        for change, candidate in shorter(program):
            if change in failed:
                continue
            candidate = simplify(candidate)
            if (yield Trial(candidate, f"shorter: {change.statement}", match)) >= match and keeps(candidate):
                program, found = candidate, True
                yield Found(program)
                break
            failed.add(change)
    return program
