"""What is to be said of a program beside its listing: size, verdict and evidence, as rows of two texts."""

from collections.abc import Mapping
from typing import Any

from drasp.errors import DraspError
from drasp.ir.program import Program
from drasp.ir.size import size

Facts = list[tuple[str, str]]


def facts(program: Program, evidence: Mapping[str, Any] | None) -> Facts:
    """What is measured, and the figure: size, verdict, match by length band, the true answers, baselines, and where it comes from.

    Args:
        program: its size is counted afresh.
        evidence: as `evidence.json` holds it; None where there is none.

    Raises:
        DraspError: the evidence lacks what every run writes.
    """
    found = size(program)
    rows = [("size", f"{found.statements} statements, {found.opaque} of them opaque, {found.numbers} numbers")]
    if evidence is None:
        return [*rows, ("evidence", "none is recorded for this program")]
    try:
        return [("verdict", _verdict(evidence)), *rows, *_measured(evidence), *_origin(evidence)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DraspError(f"the program's evidence is damaged: {error!r}") from None


def line_costs(evidence: Mapping[str, Any] | None) -> dict[str, float]:
    """For the names of statements, the match without them.

    Raises:
        DraspError: the evidence is damaged.
    """
    try:
        return {str(line["statement"]): float(line["match"]) for line in (evidence or {}).get("lines", [])}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DraspError(f"the program's evidence is damaged: {error!r}") from None


def _verdict(evidence: Mapping[str, Any]) -> str:
    said = str(evidence["verdict"]) + " (interrupted)" * bool(evidence["interrupted"])
    return said + " (out of time)" * bool(evidence["stopped_by_time"])


def _measured(evidence: Mapping[str, Any]) -> Facts:
    rows = [(f"match with the model, lengths {_lengths(share)}", _interval(share)) for share in evidence["match"]["bands"]]
    rows += [(f"program on the task, lengths {_lengths(share)}", _interval(share)) for share in evidence["task"]["bands"]]
    rows += [(f"model on the task, lengths {_lengths(share)}", _interval(share)) for share in evidence["model_task"]["bands"]]
    baseline = evidence["baseline"]
    rows.append(("match of the best constant", f"{baseline['constant']['all']['accuracy']:.4f}"))
    rows.append(("match of the best current-token table", f"{baseline['current_token']['all']['accuracy']:.4f}"))
    return rows


def _lengths(share: Mapping[str, Any]) -> str:
    low, high = share["lengths"]
    return f"{low} to {high}"


def _interval(share: Mapping[str, Any]) -> str:
    return f"{share['accuracy']:.4f} ({share['low']:.4f} to {share['high']:.4f}) of {share['sequences']} sequences"


def _origin(evidence: Mapping[str, Any]) -> Facts:
    model, settings = evidence["model"], evidence["settings"]
    return [
        ("task", str(settings["task"])),
        ("model", f"layers {model['layers']}, heads {model['heads']}, width {model['width']}, sha256 {model['sha256']}"),
        ("found with", f"drasp {evidence['versions']['drasp']}, seed {evidence['seed']}"),
    ]
