"""One cell of a study: a model is trained, measured and decompiled. What is half done is gone on with; what is done is not done again."""

import json
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from drasp.core.budget import Budget
from drasp.core.intervals import BAND_EDGES
from drasp.core.parallel import limit_threads
from drasp.core.records import Damaged, to_json
from drasp.errors import DraspError, RunFolderError, in_one_line, kind_and_message
from drasp.evidence.gather import EvidenceTuning
from drasp.evidence.schema import KINDS
from drasp.learn.pools import Study
from drasp.model.bundled import resolve_model
from drasp.model.forward import TorchTransformer
from drasp.model.given import both_fitted
from drasp.search import record
from drasp.search.decompile import Decompilation, Session, decompile
from drasp.search.saved import keeping, question
from drasp.search.settings import Settings, Tuning
from drasp.study.algorithm import algorithm
from drasp.study.grid import Cell
from drasp.study.literature import in_crasp
from drasp.study.measures import SHORT, foresight, margin, weight_norm
from drasp.study.row import Row, rows_from_json
from drasp.tasks.user import load_task
from drasp.train import RECORD, train

CELLS, MODELS = "cells", "models"
"""In the folder of a study: a folder for each cell, and one for each model that is trained, which several cells may have."""
ROWS, LOCK, PROGRAM, FORESEEN = "rows.json", ".lock", "program", "short"
"""In the folder of a cell: its results, what a process holds that works on it, its program, and that of short sequences."""
TRAINING = ("layers", "heads", "width", "norm", "position", "activation", "dropout", "learning_rate", "steps", "seed")
"""What a row tells of the training of a model."""
JUDGED = 6_000
"""Sequences of a kind of evidence at the most: 2,000 a length band, all alike, show .998."""
TUNING = Tuning(
    evidence=EvidenceTuning(kinds=tuple(replace(kind, tuning=replace(kind.tuning, most=min(kind.tuning.most, JUDGED))) for kind in KINDS))
)


_ONE_AT_A_TIME = threading.Lock()


def finished(cell: Cell, study: Path) -> tuple[Row, ...] | None:
    """The rows of a cell that was done before without an error; None where it is still to be done."""
    rows = left_by(cell, study)
    return None if rows is None or any(row.error is not None for row in rows) else rows


def left_by(cell: Cell, study: Path) -> tuple[Row, ...] | None:
    """The rows that a cell left; None where there are none."""
    try:
        rows = rows_from_json(json.loads((study / CELLS / cell.name / ROWS).read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, Damaged):
        return None
    return rows if len(rows) == len(cell.steps) and all(row.cell == cell.name for row in rows) else None


def work_on(cell: Cell, study: Path) -> None:
    """Does a cell, or what is left of it, and leaves its rows: with an error where something failed. One at a time in a process: how
    many threads torch takes holds for all of it.

    Args:
        study: the folder of the study.

    Raises:
        RunFolderError: it cannot be written.
    """
    folder = study / CELLS / cell.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _ONE_AT_A_TIME, FileLock(folder / LOCK):  # an earlier process may still be about to end
            if finished(cell, study) is None:
                rows = tuple(_rows(cell, study))
                record.replace_text(folder / ROWS, json.dumps(to_json(rows), indent=1) + "\n")
    except OSError as error:
        raise RunFolderError(f"{folder} cannot be written: {error.strerror}") from None


def empty_row(cell: Cell, step: int | None = None, error: str | None = None) -> Row:
    """What is known of a model before anything is done."""
    known = dict.fromkeys(TRAINING) if cell.training is None else {name: getattr(cell.training, name) for name in TRAINING}
    return Row(cell=cell.name, task=cell.task, **known, checkpoint=step is not None, steps_run=step, error=error)


def _rows(cell: Cell, study: Path) -> Iterator[Row]:
    torch.set_num_threads(1)  # so that the same weights come out, however many cells are worked on at once
    limit_threads(1)
    model = study / MODELS / cell.trained if cell.model is None else resolve_model(cell.model)[0]
    folder = study / CELLS / cell.name
    row, began = empty_row(cell), Budget.of_seconds()
    trained = _filled(row, _trained(cell, model))
    for step in cell.steps:
        row = empty_row(cell, step, trained.error)
        if row.error is None:
            where = (model, folder) if step is None else (model / f"step-{step}", folder / f"step-{step}")
            row = _filled(row, _measured(cell, *where))
        yield replace(row, seconds=round(began.seconds(), 1), memory_mb=_memory())
        began = Budget.of_seconds()


def _filled(row: Row, measured: Iterator[dict[str, Any]]) -> Row:
    """The row with all that could be measured, and why it is not more.

    Raises:
        RunFolderError: something could not be written: no other cell will be.
    """
    try:
        for more in measured:
            row = replace(row, **more)
    except RunFolderError:
        raise
    except DraspError as error:
        return replace(row, error=str(error))
    except Exception as error:
        return replace(row, error=in_one_line(kind_and_message(error)))
    return row


def _trained(cell: Cell, model: Path) -> Iterator[dict[str, Any]]:
    """Trains the model, where that was not done before."""
    if cell.training is not None:
        model.mkdir(parents=True, exist_ok=True)
        with FileLock(model / LOCK):  # another cell may train the same
            if not (model / RECORD).exists():
                train(load_task(cell.source), model, cell.training, device="cpu", checkpoints=cell.checkpoints, source=cell.source)
    yield {}


def _measured(cell: Cell, model: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """What is found out about a model, bit by bit. Its programs are written into folders of their own."""
    told = json.loads((model / RECORD).read_text(encoding="utf-8")) if (model / RECORD).exists() else {}
    yield {name: told[name] for name in (*TRAINING, "steps_run") if name in told}
    study = _study(cell, model)
    yield {**_parts(study), "weight_norm": weight_norm(model), "margin": margin(study, cell.settings.seed)}
    yield {"crasp": in_crasp(cell.task, _parts(study)["position"])}
    if "accuracy" in told:
        yield _accuracy((tuple(share["lengths"]), share["accuracy"]) for share in told["accuracy"])
    run = _decompiled(cell, study, cell.settings, folder / PROGRAM)
    if "accuracy" not in told and run.evidence.model_task is not None:
        yield _accuracy((share.lengths, share.accuracy) for share in run.evidence.model_task.bands)
    yield _found(run, cell.settings.match)
    if cell.predict:
        short = _decompiled(cell, study, replace(cell.settings, lengths=SHORT), folder / FORESEEN)
        yield {"short_verdict": short.evidence.verdict, "short_statements": short.evidence.size.statements}
        said = foresight(short.program, study, cell.settings.seed)
        yield {} if said is None else asdict(said)


def _parts(study: Study) -> dict[str, Any]:
    """What the model is made of, as it was loaded."""
    transformer = study.transformer
    size = {"layers": len(transformer.blocks), "heads": transformer.heads, "width": transformer.width}
    position = "rotary" if transformer.rotary is not None else "learned" if transformer.embeds_positions else "none"
    return {**size, "position": position}


def _accuracy(shares: Iterable[tuple[tuple[int, ...], float]]) -> dict[str, Any]:
    held = dict(shares)
    return {f"accuracy_{low}_{high}": held.get((low, high)) for low, high in BAND_EDGES}


def _study(cell: Cell, model: Path) -> Study:
    """The model and its task as they fit each other."""
    transformer, task = both_fitted(model, cell.source, cell.settings.lengths)
    return Study(transformer, task, TorchTransformer(transformer))


def _decompiled(cell: Cell, study: Study, settings: Settings, out: Path) -> Decompilation:
    """A run folder of its own, as `drasp decompile` leaves it; an unfinished one is gone on with."""
    journal = record.prepare(out, question(study.transformer, study.task, cell.source, settings), force=True)
    return decompile(study.transformer, study.task, settings, Session(journal=journal, arrived=keeping(out)), TUNING)


def _found(run: Decompilation, wanted: float) -> dict[str, Any]:
    """What a row tells of a decompilation."""
    evidence = run.evidence
    found: dict[str, Any] = {"verdict": evidence.verdict, **asdict(evidence.size), "algorithm": algorithm(run.program)}
    if evidence.match is not None:
        worst = evidence.match.worst
        found |= {"match": worst.accuracy, "match_low": worst.low}
    short = [p for p in run.frontier if p.size.opaque == 0 and p.size.numbers <= evidence.settings["numbers"]]
    if short:
        best = max(short, key=lambda p: p.match)
        found |= {"symbolic_statements": best.size.statements, "symbolic_numbers": best.size.numbers}
        found |= {"symbolic_match": round(best.match, 6)}
    smallest = next((p for p in run.frontier if p.match >= wanted), None)
    if smallest is not None:
        found |= {"smallest_statements": smallest.size.statements, "smallest_opaque": smallest.size.opaque}
        found |= {"smallest_match": round(smallest.match, 6)}
    return found


def _memory() -> float | None:
    """The most megabytes that this process has held; None where nobody counts them."""
    try:
        import resource
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
