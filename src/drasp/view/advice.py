"""Where a program is not decompiled: what resists, the best in symbols so far, and what may help, as far as the evidence tells."""

from collections.abc import Iterator, Sequence
from math import floor

from drasp.evidence.attention import Head
from drasp.evidence.schema import KINDS, Evidence
from drasp.ir.program import Program
from drasp.ir.size import opaque_statements
from drasp.lang.folder import PROGRAM_FILE
from drasp.view.summary import row
from drasp.view.verdict import names_of

MOST_LINES = 8
MOST_ROWS = 2
"""Lines of each piece of advice."""


def advice(program: Program, evidence: Evidence) -> list[str]:
    """At most 8 lines of 80 columns, the most telling first; none where the verdict is `decompiled` and the run at its end."""
    lines: list[str] = []
    if evidence.verdict == "decompiled" and not evidence.unfinished:
        return lines
    for label, said in (
        ("resists", _resists(program, evidence)),
        ("so far", _so_far(evidence)),
        ("try", _try(evidence)),
        ("gaps", _gaps(evidence)),
    ):
        for text in said:
            found = row(label, text, MOST_ROWS)
            lines += found if len(lines) + len(found) <= MOST_LINES else []
    return lines


def _resists(program: Program, evidence: Evidence) -> Iterator[str]:
    """Lines that cannot be read, and heads that are not described."""
    opaque = opaque_statements(program)
    if opaque:
        yield f"{names_of(opaque)}: nothing in symbols was found that does the same"
    if evidence.reason is not None and evidence.match is not None:
        yield evidence.reason
    yield from _other_heads(evidence)


def _other_heads(evidence: Evidence) -> Iterator[str]:
    attention, interchange = evidence.attention, evidence.interchange
    if attention is not None and not attention.faithful:
        failing = [each for each in attention.attentions if not each.faithful]
        told = {head for each in attention.attentions for head in each.heads}
        every = [(layer, head) for layer in range(evidence.model.layers) for head in range(evidence.model.heads)]
        silent = [head for head in every if head not in told]
        if failing:
            names = names_of([name for each in failing for name in each.averages])
            yield f"attention of {_heads([head for each in failing for head in each.heads])}: other than that of {names}"
        elif silent:
            yield f"attention of {_heads(silent)}: the model needs it, and no line stands for it"
        else:
            yield "attention of all heads together, though each alone is as the program says"
    if interchange is not None and interchange.unfaithful:
        held = [(part.layer, part.head or 0) for each in interchange.unfaithful for part in each.stands_for]
        yield f"what {_heads(held)} read: other than {names_of([name for each in interchange.unfaithful for name in each.variables])}"


def _heads(heads: Sequence[Head]) -> str:
    names = [f"{layer}.{head}" for layer, head in sorted(set(heads))]
    return f"head{'s' * (len(names) > 1)} {names_of(names)}"


def _so_far(evidence: Evidence) -> Iterator[str]:
    """The best program in symbols, where it is another."""
    symbolic = [entry for entry in evidence.frontier if not entry.opaque]
    best = max(symbolic, key=lambda entry: (entry.match, -entry.statements), default=None)
    if best is not None and best.file != PROGRAM_FILE:
        yield f"in symbols: {best.statements} statements, match {best.match:.4f}: drasp show FOLDER --statements {best.statements}"
    elif best is not None and _misses(evidence):
        yield f"no program in symbols was met that matches more than this one, {best.match:.4f}"


def _misses(evidence: Evidence) -> bool:
    """Whether match is known and not what was asked for."""
    return evidence.matched_at is not None and evidence.matched_at < evidence.settings.get("match", 0.0)


def _try(evidence: Evidence) -> Iterator[str]:
    settings = evidence.settings
    if evidence.stopped_by_time:
        flag = "work" if settings.get("work") else "time"
        last = f"after the pass {evidence.passes[-1].name}" if evidence.passes else "before a pass was done"
        yield f"more --{flag} than {settings.get(flag, 0):g}{'' if flag == 'work' else 's'}: it ran out {last}"
    if _misses(evidence):
        yield from _of_match(evidence)


def _gaps(evidence: Evidence) -> Iterator[str]:
    """What could not be measured, though it was asked for."""
    unasked = [kind.name for kind in KINDS if not kind.asked(evidence.settings.get("evidence", "full"))]
    missing = [gap.kind.replace("_", " ") for gap in evidence.gaps if gap.kind not in unasked]
    if missing:
        yield f"{names_of(missing)}: drasp show FOLDER --evidence says why"


def _of_match(evidence: Evidence) -> Iterator[str]:
    """What may help where match is not what was asked for."""
    asked, match, model = evidence.settings["match"], evidence.match, evidence.model_task
    enough = max((entry.match for entry in evidence.frontier if not entry.opaque), default=0.0)
    if evidence.verdict.endswith("below") and evidence.matched_at is not None:
        enough = evidence.matched_at
    if 0 < enough < asked:
        yield f"--match {floor(100 * enough) / 100:.2f}: a program in symbols matches so much"
    if match is not None and match.bands[0].low >= asked:
        first = match.bands[0]
        yield f"--lengths {first.lengths[0]}-{first.lengths[1]}: match is {first.accuracy:.4f} there"
    if model is not None and model.worst.accuracy < asked:
        low, high = model.worst.lengths
        yield f"a better model: this one is right on {model.worst.accuracy:.4f} alone at {low}-{high}"
