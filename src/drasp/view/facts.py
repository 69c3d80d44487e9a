"""What is to be said of a program beside its listing, as rows: the one place that turns evidence into words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from drasp.evidence.attention import not_the_models
from drasp.evidence.interchange import not_what_heads_hold
from drasp.evidence.kind import Kind, Row
from drasp.evidence.match import by_bands
from drasp.evidence.schema import KINDS, Evidence, NamedPiece
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.view.captions import captions
from drasp.view.verdict import UNKNOWN, verdict

__all__ = ["NAMED_QUESTION", "by_bands", "facts", "marks", "measured", "notes", "pairs", "shortfalls"]

NAMED_QUESTION = "How close is each named piece to the piece of the model's own computation that it replaces?"


def facts(program: Program, evidence: Evidence | None) -> tuple[Row, ...]:
    """Size, verdict, what was measured and what could not be, and where it comes from.

    Args:
        program: its size is counted afresh.
    """
    found = size(program)
    counted = Row("size", "", f"{found.statements} statements, {found.opaque} of them opaque, {found.numbers} numbers")
    if evidence is None:
        return (counted, Row("evidence", "", "none is recorded for this program"))
    reason = [Row("reason", "", text) for text in shortfalls(evidence)]
    if evidence.conventions is not None:
        reason.append(Row("warning", "", evidence.conventions.line))
    measured = (row for kind in KINDS for row in evidence.rows(kind))
    gaps = (Row("gap", gap.kind.replace("_", " "), gap.reason) for gap in evidence.gaps)
    return (
        Row("verdict", "", verdict(program, evidence)),
        *reason,
        counted,
        *map(_piece, evidence.named),
        *measured,
        *gaps,
        *_origin(evidence),
    )


def shortfalls(evidence: Evidence) -> list[str]:
    """Why the verdict is no better, where that is known, a sentence each."""
    found = [] if evidence.reason is None else [evidence.reason]
    if evidence.verdict.endswith("below") and evidence.matched_at is not None:
        asked = evidence.settings.get("match")
        found.append(f"match is {evidence.matched_at:.4f} at the least, in the worst length band, and not the {asked} asked for")
    if evidence.verdict.startswith("imitated"):
        found += [f"{UNKNOWN[gap.kind]} is not known: {gap.reason}" for gap in evidence.gaps if gap.kind in UNKNOWN]
        if evidence.attention is not None:
            found.append(not_the_models(evidence.attention))
        if evidence.interchange is not None:
            found.append(not_what_heads_hold(evidence.interchange))
    return [text for text in found if text]


def _piece(piece: NamedPiece) -> Row:
    """`attention (s1): total variation 0.011 to the one it replaces; match with it alone 0.998`."""
    close = "replaces nothing"
    if piece.total_variation is not None:
        close = f"total variation {piece.total_variation:.3f} to the one it replaces"
    elif piece.agreement is not None:
        close = f"agrees with the one it replaces at {piece.agreement:.3f} of positions off the task"
    mark = "behaviour only" * piece.behaviour_only
    text = f"{close}; match with it alone {piece.match:.3f}" + f"; {mark}" * bool(mark)
    return Row("named", f"{piece.kind} ({', '.join(piece.statements) or 'uniform'})", text, piece.statements, mark)


def _origin(evidence: Evidence) -> tuple[Row, ...]:
    model = evidence.model
    return (
        Row("seconds", "", f"{evidence.seconds:.1f}"),
        Row("task name", "", str(evidence.settings["task"])),
        Row("model", "", f"layers {model.layers}, heads {model.heads}, width {model.width}, sha256 {model.sha256}"),
        Row("found with", "", f"drasp {evidence.versions.drasp}, seed {evidence.seed}"),
    )


def marks(rows: Iterable[Row]) -> dict[str, list[str]]:
    """What is said beside statements, by their names."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for name in row.statements if row.mark else ():
            found.setdefault(name, []).append(row.mark)
    return found


def notes(program: Program, rows: Iterable[Row], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """For each statement what it does, and in brackets what is said beside it.

    Args:
        known: captions to be taken before those made from the statements alone.
    """
    beside = marks(rows)
    said = {name: f" ({'; '.join(parts)})" for name, parts in beside.items()}
    return {name: text + said.get(name, "") for name, text in (captions(program) | dict(known or {})).items()}


def pairs(rows: Iterable[Row], listed: bool = True) -> list[tuple[str, str]]:
    """The rows as names and texts.

    Args:
        listed: whether they stand below a listing with marks, which says some of them.
    """
    return [(f"{row.section}: {row.label}" if row.label else row.section, row.text) for row in rows if not (listed and row.beside)]


def measured(evidence: Evidence) -> list[tuple[Kind[Any], Sequence[Row]]]:
    """For each kind of evidence that was measured its rows."""
    return [(kind, rows) for kind in KINDS if (rows := evidence.rows(kind))]
