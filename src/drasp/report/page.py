"""The report of a run: what it says, as data, and the page filled with that."""

import base64
import hashlib
import html
import json
import re
import shlex
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from drasp.errors import DraspError, TaskError
from drasp.ir.program import Program
from drasp.ir.size import opaque_statements, size
from drasp.lang.printer import print_program
from drasp.report.program import Json, program_data
from drasp.tasks.registry import get_task

LARGEST = 2_000_000  # bytes of a page

VERDICTS = {
    "decompiled": "It predicts what the model predicts, it is short, and every line can be read.",
    "pruned": "It predicts what the model predicts and has few lines, but some still carry weights of the model or too many numbers.",
    "not decompiled": "It does not predict what the model predicts closely enough, or it is too long to be read.",
}

OWN_PLACE = frozenset(
    (
        *("verdict", "interrupted", "stopped_by_time", "reason", "match", "task", "model_task", "baseline", "lines", "size", "passes"),
        *("seed", "settings", "versions", "model", "named", "seconds", "examples", "frontier"),
    )
)
"""The keys of `evidence.json` that have their own place in the report. All others are shown as they are."""


def report(program: Program, evidence: Mapping[str, Any] | None, name: str) -> str:
    """The page, as HTML that needs no other file and asks for nothing. It is 2 MB at most, but for programs of thousands of lines.

    Args:
        program: what it is about.
        evidence: as `evidence.json` holds it; None where there is none.
        name: of the run, where the evidence names no task.

    Raises:
        DraspError: the evidence is damaged.
    """
    try:
        data: Json = {"name": name, "program": {}, "header": print_program(program).split("\n\n")[0]}
        data |= {"size": _size(program), "evidence": None if evidence is None else _evidence(program, evidence)}
        empty = _filled(data)
        room = LARGEST - len(empty.encode()) - _characters(program_data(program, 0))
        return _filled(data | {"program": program_data(program, room)})
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise DraspError(f"{name}: evidence.json is damaged: {error!r}") from None


def _size(program: Program) -> Json:
    found = size(program)
    opaque = opaque_statements(program)
    return {"statements": found.statements, "opaque": list(opaque), "numbers": found.numbers}


def _evidence(program: Program, evidence: Mapping[str, Any]) -> Json:
    settings, model = evidence["settings"], evidence["model"]
    return {
        "task": str(settings["task"]),
        "description": _description(settings["task"]),
        "verdict": str(evidence["verdict"]),
        "meaning": VERDICTS.get(evidence["verdict"], ""),
        "notes": _notes(evidence),
        "bands": _bands(evidence),
        "asked": float(settings["match"]),
        "lines": {str(line["statement"]): float(line["match"]) for line in evidence["lines"]},
        "marks": _marks(evidence),
        "named": [_piece(piece) for piece in evidence.get("named", [])],
        "passes": [{key: step[key] for key in ("name", "seconds", "statements", "opaque", "match")} for step in evidence["passes"]],
        "seconds": float(evidence["seconds"]),
        "examples": [_example(program, example) for example in evidence.get("examples", [])],
        "frontier": [_point(point) for point in evidence.get("frontier", [])],
        "further": {key: value for key, value in evidence.items() if key not in OWN_PLACE},
        "command": _command(settings),
        "versions": {str(name): str(found) for name, found in evidence["versions"].items()},
        "model": {key: model[key] for key in ("sha256", "layers", "heads", "width")},
    }


def _description(task: Any) -> str:
    try:
        return get_task(str(task)).description
    except TaskError:
        return ""


def _notes(evidence: Mapping[str, Any]) -> list[str]:
    said = {"interrupted": "The search was interrupted.", "stopped_by_time": "The search ran out of time."}
    notes = [text for key, text in said.items() if evidence[key]]
    return notes + ([f"{evidence['reason']}."] if "reason" in evidence else [])


def _bands(evidence: Mapping[str, Any]) -> list[Json]:
    """Band by band the match and what stands beside it."""
    shares = {
        "match": evidence["match"],
        "constant": evidence["baseline"]["constant"],
        "current_token": evidence["baseline"]["current_token"],
        "task": evidence["task"],
        "model_task": evidence["model_task"],
    }
    return [
        {"lengths": list(band["lengths"]), **{key: _share(share["bands"][i]) for key, share in shares.items()}}
        for i, band in enumerate(evidence["match"]["bands"])
    ]


def _share(share: Mapping[str, Any]) -> Json:
    return {key: float(share[key]) for key in ("accuracy", "low", "high", "sequences")}


def _piece(piece: Mapping[str, Any]) -> Json:
    """A named piece: what it is, and how close it is to what it replaces."""
    if piece["kind"] == "attention":
        close = f"total variation {piece['total_variation']:.3f} to the attention it replaces"
    else:
        close = f"agrees with what it replaces at {piece['agreement']:.3f} of positions off the task"
    return {
        "kind": str(piece["kind"]),
        "statements": [str(name) for name in piece["statements"]],
        "closeness": close,
        "match": float(piece["match"]),
        "behaviour_only": bool(piece["behaviour_only"]),
    }


def _marks(evidence: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the evidence says against single lines."""
    marks: dict[str, list[str]] = {}
    for piece in evidence.get("named", []):
        for name in piece["statements"] if piece["behaviour_only"] else ():
            marks.setdefault(name, []).append("behaviour only")
    for swapped in (evidence.get("interchange") or {"variables": []})["variables"]:
        for name in swapped["variables"] if swapped["faithful"] is False else ():
            marks.setdefault(name, []).append("not faithful")
    return marks


def _example(program: Program, example: Mapping[str, Any]) -> Json:
    """A recorded example with its tokens as indices; `model` gives for every scored position the ids that the model predicts."""
    ids = [_token(program, token) for token in example["tokens"]]
    first, scored = int(example["positions"]), [int(place) for place in example["scored"]]
    if not ids or first < 0 or first + len(ids) > program.header.positions or any(not 0 <= place < len(ids) for place in scored):
        raise ValueError("an example does not fit the program's positions")
    sets = program.header.predict == "next-token-set"
    said = [sorted(_token(program, t) for t in answer) if sets else [_token(program, answer)] for answer in example["model"]]
    return {"ids": ids, "first": first, "model": dict(zip(map(str, scored), said, strict=True))}


def _token(program: Program, token: Any) -> int:
    return program.header.vocabulary.index(token)


def _point(point: Mapping[str, Any]) -> Json:
    return {
        "statements": int(point["statements"]),
        "opaque": int(point["opaque"]),
        "numbers": int(point["numbers"]),
        "match": float(point["match"]),
        "measured_on": str(point["measured_on"]),
        "file": str(point["file"]),
    }


def _command(settings: Mapping[str, Any]) -> str:
    """The command line that asks for the same run."""
    words = ["drasp", "decompile", "MODEL"]
    for key, value in settings.items():
        flag = f"--{key.replace('_', '-')}"
        if key == "lengths":
            words += [flag, f"{value[0]}-{value[1]}"]
        elif key == "time":
            words += [flag, f"{value:g}s"]
        elif key == "task":  # of one's own the name alone does not tell where it is
            words += [flag, str(value) if _description(value) else "TASK"]
        elif isinstance(value, bool):
            words += [flag] * value
        elif isinstance(value, str | int | float):
            words += [flag, str(value)]
    return shlex.join(words)


def _characters(data: Any) -> int:
    return len(_json(data).encode())


def _json(data: Any) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _filled(data: Json) -> str:
    """The template with the data, the style sheet and the scripts in their places."""
    folder = files("drasp.report")
    style, interpreter, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "interpreter.js", "page.js"))
    parts = {
        "title": html.escape(f"{(data['evidence'] or {}).get('task') or data['name']}: a D-RASP program"),
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(interpreter)} {_hash(script)}",
        "style": style,
        "interpreter": interpreter,
        "script": script,
        "data": _json(data),
    }
    template = (folder / "template.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _hash(text: str) -> str:
    """What the content security policy calls an inline script or style sheet: nothing else on the page is run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
