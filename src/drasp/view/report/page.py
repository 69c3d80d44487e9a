"""The report of a run: what it says, as data, and the page filled with that."""

import base64
import hashlib
import html
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from importlib.resources import files
from typing import Any

from drasp.core.records import to_json
from drasp.errors import DraspError
from drasp.evidence.examples import Example
from drasp.evidence.kind import Row
from drasp.evidence.schema import Evidence
from drasp.ir.activations import ACTIVATIONS
from drasp.ir.program import Program
from drasp.ir.size import opaque_statements, size
from drasp.lang.printer import print_program
from drasp.model.transformer import Transformer
from drasp.tasks.registry import known_task
from drasp.view.facts import NAMED_QUESTION, facts, marks, measured, shortfalls
from drasp.view.pictures import automaton_figures, counter_figures, reads_picture
from drasp.view.report.model import check_model, model_data
from drasp.view.report.program import Json, program_data
from drasp.view.verdict import meaning
from drasp.view.words import Scene, algorithm, checked_on

LARGEST = 2_000_000  # bytes of a page

DRAWN = frozenset(("match", "lines", "examples"))
"""The kinds of evidence that the page draws; all others are told by their rows."""


def report(program: Program, evidence: Evidence | None, name: str, scene: Scene | None = None, model: Transformer | None = None) -> str:
    """The page, as HTML that needs no other file and asks for nothing. It is 2 MB at most, but for programs of thousands of lines.

    Args:
        program: what it is about.
        name: of the run, where the evidence names no task.
        scene: the task's sequences, where they are to be had.
        model: the model that the program was found for, to be run in the page too, which it makes larger by its weights.

    Raises:
        DraspError: the evidence is that of another program, or the model another one, or too large.
    """
    data: Json = {"name": name, "program": {}, "model": None, "header": print_program(program).split("\n\n")[0]}
    sentences = algorithm(program, scene)
    data["algorithm"] = {"checked": checked_on(scene), "sentences": [sentence.text for sentence in sentences]}
    data |= {"size": _size(program), "evidence": None if evidence is None else _evidence(program, evidence)}
    task = None if evidence is None else known_task(evidence.settings["task"])
    figures = [*automaton_figures(program, task), *counter_figures(program, sentences)]
    pictures = {"figures": "".join(figure.html for figure in figures), "reads": _reads(program)}
    empty = _filled(data, pictures)
    room = LARGEST - len(empty.encode()) - _characters(program_data(program, 0))
    data |= {"program": program_data(program, room)}
    if model is not None:
        check_model(model, program, evidence)
        data |= {"model": model_data(model)}
    return _filled(data, pictures)


def _reads(program: Program) -> str:
    found = reads_picture(program)
    return "" if found is None else f'<details class="picture"><summary>What reads what</summary>{found}</details>'


def _size(program: Program) -> Json:
    found = size(program)
    opaque = opaque_statements(program)
    return {"statements": found.statements, "opaque": list(opaque), "numbers": found.numbers}


def _evidence(program: Program, evidence: Evidence) -> Json:
    rows = facts(program, evidence)
    return {
        "task": evidence.settings["task"],
        "description": _description(evidence.settings["task"]),
        "verdict": evidence.verdict,
        "meaning": _capital(meaning(program, evidence)),
        "notes": _notes(evidence),
        "bands": _bands(evidence),
        "asked": evidence.settings.get("match"),
        "lines": {cost.statement: [cost.match, cost.stays] for cost in evidence.lines or ()},
        "marks": marks(row for row in rows if not row.beside),
        "told": _told(rows, evidence),
        "passes": [to_json(step) for step in evidence.passes],
        "seconds": evidence.seconds,
        "examples": [_example(program, example) for example in evidence.examples or ()],
        "frontier": [to_json(entry) for entry in evidence.frontier],
        "command": _command(evidence.settings),
        "versions": to_json(evidence.versions),
        "model": to_json(evidence.model),
    }


def _told(rows: Sequence[Row], evidence: Evidence) -> list[Json]:
    """What is said in sentences: for each kind its question, the answers, how it was measured, and the figures as they are saved."""
    named = [row for row in rows if row.section == "named"]
    gaps = [row for row in rows if row.section == "gap"]
    told = [_part("named pieces", NAMED_QUESTION, named) | {"raw": to_json(evidence.named)}]
    for kind, found in measured(evidence):
        if kind.name not in DRAWN:
            raw = {key: to_json(getattr(evidence, key)) for key in kind.keys or (kind.name,)}
            told.append(_part(kind.name.replace("_", " "), kind.question, found) | {"how": kind.how, "raw": raw})
    told.append(_part("not measured", "Why is there no more evidence?", gaps))
    return [part for part in told if part["answers"]]


def _part(title: str, question: str, rows: Sequence[Row]) -> Json:
    answers = [[row.label, row.text] for row in rows]
    return {"title": title, "question": question, "answers": answers, "how": "", "raw": None}


def _description(task: str) -> str:
    found = known_task(task)
    return "" if found is None else found.description


def _notes(evidence: Evidence) -> list[str]:
    said = {"The search was interrupted.": evidence.interrupted, "The search ran out of time.": evidence.stopped_by_time}
    odd = [] if evidence.conventions is None else [evidence.conventions.line]
    return [text for text, so in said.items() if so] + [f"{_capital(text)}." for text in (*odd, *shortfalls(evidence))]


def _capital(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _bands(evidence: Evidence) -> list[Json]:
    """Band by band the match and what stands beside it; nothing where match was not measured."""
    match, task, model_task, baseline = evidence.match, evidence.task, evidence.model_task, evidence.baseline
    if match is None or baseline is None:
        return []
    shares = {"match": match, **{f.name: getattr(baseline, f.name) for f in fields(baseline)}}
    if task is not None and model_task is not None:
        shares |= {"task": task, "model_task": model_task}
    return [
        {"lengths": list(band.lengths), **{key: to_json(share.bands[i]) for key, share in shares.items()}}
        for i, band in enumerate(match.bands)
    ]


def _example(program: Program, example: Example) -> Json:
    """A recorded example with its tokens as indices; `model` gives for every scored position the ids that the model predicts."""
    vocabulary, sets = program.header.vocabulary, program.header.predict == "next-token-set"
    places = {token: index for index, token in enumerate(vocabulary)}
    outputs = {output: index for index, output in enumerate(program.header.predicted)}
    said = [(answer,) if isinstance(answer, str) else answer for answer in example.model]
    known = set(example.tokens) <= set(places) and {output for answer in said for output in answer} <= set(outputs)
    fits = 0 <= example.positions <= program.header.positions - len(example.tokens) and example.tokens
    inside = len(said) == len(example.scored) and all(0 <= place < len(example.tokens) for place in example.scored)
    if not (known and fits and inside and all(isinstance(answer, str) != sets for answer in example.model)):
        raise DraspError("evidence.json is damaged: examples: one does not fit the program")
    answers = [sorted(outputs[output] for output in answer) for answer in said]
    ids = [places[token] for token in example.tokens]
    return {"ids": ids, "first": example.positions, "model": dict(zip(map(str, example.scored), answers, strict=True))}


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


def interpreter_script() -> str:
    """The interpreter of the page, and what runs the model, with the activations in their place."""
    folder = files("drasp.view.report")
    text = "\n".join((folder / name).read_text(encoding="utf-8") for name in ("interpreter.js", "model.js"))
    return text.replace("/* activations */", "\n".join(f"{name}: {record.javascript}," for name, record in ACTIVATIONS.items()))


def _filled(data: Json, pictures: Mapping[str, str]) -> str:
    """The template with the data, the pictures, the style sheet and the scripts in their places."""
    folder = files("drasp.view.report")
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    interpreter = interpreter_script()
    parts = {
        "title": html.escape(f"{(data['evidence'] or {}).get('task') or data['name']}: a D-RASP program"),
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(interpreter)} {_hash(script)}",
        "style": style,
        "interpreter": interpreter,
        "script": script,
        "data": _json(data),
        **pictures,
    }
    template = (folder / "template.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _hash(text: str) -> str:
    """What the content security policy calls an inline script or style sheet: nothing else on the page is run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
