"""Decompiling for users: the search, with programs that have methods."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from drasp.errors import RunFolderError
from drasp.model.given import Model
from drasp.program import Program, load_program
from drasp.search import decompile as search
from drasp.search import record
from drasp.search.frontier import Point
from drasp.search.runner import Progress
from drasp.search.settings import Settings
from drasp.tasks.examples import Sequences
from drasp.tasks.protocol import Task
from drasp.tasks.registry import known_task
from drasp.view.notebook.html import program_html
from drasp.view.summary import summary
from drasp.view.words import Scene, Sentence, algorithm, scene_of


class Decompilation(search.Decompilation):
    """A program and the evidence for it, as `evidence.json` holds it.

    Attributes:
        frontier: what else the search met, from small to large, the program among them.
        task: as it fits the model.
    """

    program: Program

    @property
    def algorithm(self) -> tuple[str, ...]:
        """What the program does on the task's sequences, in a few sentences; what they say was checked."""
        return tuple(sentence.text for sentence in self._sentences)

    @cached_property
    def _scene(self) -> Scene | None:
        return scene_of(self.program, self.task, self.evidence.settings.get("lengths"))

    @cached_property
    def _sentences(self) -> tuple[Sentence, ...]:
        return algorithm(self.program, self._scene)

    def save(self, folder: str | os.PathLike[str], force: bool = False) -> None:
        """Writes a run folder, as `drasp decompile` leaves it.

        Args:
            force: whether a run that is there is replaced.

        Raises:
            DraspError: there is something in the folder already, or it cannot be written.
        """
        record.check_free(Path(folder), force)
        record.save(Path(folder), self.frontier, self.evidence)

    def __repr__(self) -> str:
        """What the verdict means, the algorithm, match, which lines are the model's, and the cost."""
        return "\n".join(summary(self.program, self.evidence, self._scene, self._sentences))

    def _repr_html_(self) -> str:
        return program_html(self.program, self.evidence)


def _say(line: str) -> None:
    """On standard error, where there is one."""
    print(line, file=sys.stderr)


def decompile(
    model: Model,
    task: Task | Sequences | str | os.PathLike[str],
    settings: Settings = Settings(),
    report: Callable[[Progress], None] = lambda progress: None,
) -> Decompilation:
    """Decompiles a model.

    Args:
        model: a folder or the name of a bundled model, or a model in memory: one of drasp's own, a `GPT2LMHeadModel` of Hugging Face, or a
            GPT-2-style `HookedTransformer` of TransformerLens.
        task: its vocabulary, and the sequences on which program and model are compared; or its name or file, as `drasp.load_task` takes it;
            or sequences alone, as `drasp.examples` takes them.
        report: told of every step; it may raise KeyboardInterrupt, as Ctrl-C does: the best program so far is returned.

    Raises:
        DraspError: the model is none of these or is not supported, or the task does not fit it.
    """
    found = search.decompile(model, task, settings, search.Session(report=report, say=_say))
    frontier = tuple(replace(point, program=Program.of(point.program)) for point in found.frontier)
    return Decompilation(Program.of(found.program), found.evidence, frontier, found.task)


def load(folder: str | os.PathLike[str]) -> Decompilation:
    """The decompilation that a run folder holds. Its task is known where it is one of the suite.

    Raises:
        DraspError: it is no run folder, or damaged.
    """
    run = Path(folder)
    evidence = record.load_evidence(run) if run.is_dir() else None
    if evidence is None:
        raise RunFolderError(f"{run} is no run folder with its {record.EVIDENCE_FILE}; drasp.load_program reads a program alone")
    entries = record.load_frontier(run)
    frontier = tuple(Point(load_program(run / entry.file), entry.match, entry.measured_on) for entry in entries)
    return Decompilation(load_program(run), evidence, frontier, known_task(evidence.settings.get("task")))
