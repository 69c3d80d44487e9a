"""What the verdict means for a program: one sentence, the same wherever it is told."""

from collections.abc import Iterator, Sequence

from drasp.evidence.schema import Evidence
from drasp.ir.labels import listed
from drasp.ir.nodes import Aggregate
from drasp.ir.program import Program
from drasp.ir.size import size

MOST_NAMES = 6
SAME = "predicts what the model predicts"
UNKNOWN = {"attention": "whether its attention is the model's", "interchange": "whether its averages are what the model's heads hold"}
"""What the verdict hangs on beside match, where it is a gap."""


def verdict(program: Program, evidence: Evidence) -> str:
    """`imitated: it predicts what the model predicts and is short, but a1 is not what the model's heads hold.`"""
    cut = " (interrupted)" * evidence.interrupted + " (out of time)" * evidence.stopped_by_time
    return f"{evidence.verdict}{cut}: {meaning(program, evidence)}"


def meaning(program: Program, evidence: Evidence) -> str:
    """The same without the verdict's name."""
    kind, _, below = evidence.verdict.partition(" ")
    faults = listed(list(_faults(program, evidence)) if kind in ("pruned", "not") else _not_shown(evidence), "and")
    if kind in ("decompiled", "imitated"):
        own = "its attention and averages are the model's" if _averages(program) else "the model does not need its attention"
        same = f"it is short and {_less(evidence)}" if below else f"it {SAME} and is short"
        said = f"{same}, and {own}" if kind == "decompiled" else f"{same}, but {faults or 'it is not shown to be what the model computes'}"
    elif evidence.match is None:
        said = evidence.reason or "match could not be measured"
    elif kind == "pruned":
        said = f"it {SAME} and has few lines, but {faults or 'not all of them can be read'}"
    else:
        said = faults or "no program was found that is short and predicts what the model predicts"
    return f"{said}{_trivial(evidence)}."


def names_of(names: Sequence[str]) -> str:
    """`a1, a2 and 3 others`."""
    names = list(dict.fromkeys(names))
    left = len(names) - MOST_NAMES
    return listed(names, "and") if left <= 1 else listed([*names[:MOST_NAMES], f"{left} others"], "and")


def _averages(program: Program) -> bool:
    return any(isinstance(statement, Aggregate) for statement in program.statements)


def _not_shown(evidence: Evidence) -> list[str]:
    """Why it is not shown to compute what the model does."""
    found = [f"{UNKNOWN[gap.kind]} was not measured" for gap in evidence.gaps if gap.kind in UNKNOWN]
    if evidence.attention is not None and not evidence.attention.faithful:
        each = [name for attended in evidence.attention.attentions if not attended.faithful for name in attended.averages]
        if each:
            found.append(f"the attention of {names_of(each)} is not the model's")
        else:
            found.append("the model needs attention that it does not say")
    if evidence.interchange is not None and evidence.interchange.unfaithful:
        moved = [name for swapped in evidence.interchange.unfaithful for name in swapped.variables]
        found.append(f"{names_of(moved)} {'is' if len(moved) == 1 else 'are'} not what the model's heads hold")
    return found


def _faults(program: Program, evidence: Evidence) -> Iterator[str]:
    """Why it is not worth being called decompiled."""
    found, asked = size(program), evidence.settings
    if evidence.verdict == "not decompiled" and evidence.matched_at is not None and evidence.matched_at < asked.get("match", 0):
        yield f"it {_less(evidence)}"
    for what, count in (("statements", found.statements), ("numbers", found.numbers)):
        if count > asked.get(what, count):
            yield f"it has {count} {what}, where {asked[what]} was asked at the most"
    if found.opaque:
        yield f"{found.opaque} of its {found.statements} lines cannot be read: they carry weights of the model or too many numbers"


def _less(evidence: Evidence) -> str:
    if evidence.matched_at is None:
        return f"{SAME} less often than was asked"
    return f"{SAME} on {evidence.matched_at:.4f} of the sequences at the least, where {evidence.settings.get('match')} was asked"


def _trivial(evidence: Evidence) -> str:
    """Where a constant or a table of the current token does as well, that is what the model is."""
    if evidence.baseline is None:
        return ""
    for what, found in (("a constant", evidence.baseline.constant), ("a table of the current token", evidence.baseline.current_token)):
        if found.worst.accuracy >= evidence.settings.get("match", 1.0):
            return f"; the model is {what}: the best matches it on {found.worst.accuracy:.4f}"
    return ""
