"""A study: all cells of a grid, each done once, and the table of what was found. Whatever ends it, the same command goes on."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from drasp.core.budget import Budget
from drasp.errors import RunFolderError
from drasp.search.record import held_by, replace_text
from drasp.study.cell import CELLS, empty_row, finished, left_by, work_on
from drasp.study.grid import Cell, Grid
from drasp.study.row import Row, table
from drasp.study.workers import client_of, outcomes

GRID, RESULTS, LOCK = "grid.toml", "results.csv", ".lock"
SECONDS_BETWEEN_TABLES, SHARE_FOR_TABLES = 5.0, 0.05
"""How often `results.csv` is written meanwhile, and how much of the time that may take."""


@dataclass(frozen=True)
class Progress:
    """How far a study is.

    Attributes:
        done, cells: how many cells are done, by this command or an earlier one, and how many there are.
        latest: the rows of the cell that was done last; empty at the start.
        generalise, programs: how many models generalise so far, and how many have a short program in symbols.
        failed: how many cells failed.
        seconds: since the start. left: until the end, by what the cells took so far; None before one is done.
        interrupted: whether the processes are being ended.
    """

    done: int
    cells: int
    latest: tuple[Row, ...]
    generalise: int
    programs: int
    failed: int
    seconds: float
    left: float | None
    interrupted: bool = False

    @property
    def phase(self) -> str:
        return "interrupted" if self.interrupted else "working" if self.done < self.cells else "done"


@dataclass(frozen=True)
class Workforce:
    """Who does it: so many processes of its own, or those of a scheduler.

    Attributes:
        work: does one cell, in one of these processes; it is given the folder of the study.
    """

    workers: int = 1
    scheduler: str | None = None
    work: Callable[[Cell, Path], None] = work_on


def run_study(grid: Grid, out: Path, workforce: Workforce, report: Callable[[Progress], None]) -> tuple[Row, ...]:
    """Does what is left of a study, and keeps `results.csv` up to date; the rows in the order of the grid.

    Cells that were done before, also for another grid, are not done again; those that failed are tried again.

    Raises:
        RunFolderError: the folder holds something else or cannot be written, or another process works on it.
        DraspError: the processes cannot be started, or the scheduler is gone; what is done is kept.
    """
    with _claimed(out, grid):
        results = _Results(grid, out)

        def ending() -> None:
            report(replace(results.progress(()), interrupted=True))

        try:
            left = results.missing()
            report(results.progress(()))
            for cell, rows in _work_off(left, out.absolute(), workforce, ending) if left else ():
                report(results.add(cell, rows))
        finally:
            results.write()
        return results.rows


def results_of(grid: Grid, out: Path) -> tuple[Row, ...]:
    """The rows that there are of a study, in the order of the grid."""
    return tuple(row for cell in grid.cells for row in left_by(cell, out) or ())


class _Results:
    """The rows of all cells so far."""

    def __init__(self, grid: Grid, out: Path) -> None:
        self._grid, self._out = grid, out
        self._rows: dict[str, tuple[Row, ...]] = {}
        self._clock = Budget.of_seconds()
        self._counts: Counter[str] = Counter()
        self._next_write, self._before = 0.0, 0

    def missing(self) -> list[Cell]:
        """The cells that are still to be done."""
        held = {folder.name for folder in (self._out / CELLS).iterdir()} if (self._out / CELLS).is_dir() else set()
        for cell in self._grid.cells:
            rows = finished(cell, self._out) if cell.name in held else None
            if rows is not None:
                self._hold(cell, rows)
        self._before = len(self._rows)
        return [cell for cell in self._grid.cells if cell.name not in self._rows]

    @property
    def rows(self) -> tuple[Row, ...]:
        """In the order of the grid."""
        return tuple(row for cell in self._grid.cells for row in self._rows.get(cell.name, ()))

    def add(self, cell: Cell, rows: tuple[Row, ...]) -> Progress:
        self._hold(cell, rows)
        began = self._clock.seconds()
        if began >= self._next_write:
            self.write()
            took = self._clock.seconds() - began
            self._next_write = began + max(SECONDS_BETWEEN_TABLES, took / SHARE_FOR_TABLES)
        return self.progress(rows)

    def _hold(self, cell: Cell, rows: tuple[Row, ...]) -> None:
        self._rows[cell.name] = rows
        last = rows[-1]
        self._counts.update(generalise=int(bool(last.generalises)), programs=int(last.has_program), failed=int(last.error is not None))

    def write(self) -> None:
        try:
            replace_text(self._out / RESULTS, table(self.rows))
        except OSError as error:
            raise RunFolderError(f"{self._out / RESULTS} cannot be written: {error.strerror}; the same command goes on") from None

    def progress(self, latest: tuple[Row, ...]) -> Progress:
        seconds, done, cells = self._clock.seconds(), len(self._rows), len(self._grid.cells)
        left = seconds / (done - self._before) * (cells - done) if done > self._before else None
        counts = self._counts
        return Progress(done, cells, latest, counts["generalise"], counts["programs"], counts["failed"], seconds, left)


def _work_off(cells: list[Cell], out: Path, workforce: Workforce, ending: Callable[[], None]) -> Iterator[tuple[Cell, tuple[Row, ...]]]:
    """The cells with their rows, as they are done. `ending` is called where a person interrupts, as it takes a while to end processes."""
    with client_of(min(workforce.workers, len(cells)), workforce.scheduler) as client:
        try:
            for number, lost in outcomes(client, workforce.work, cells, [out] * len(cells)):
                cell = cells[number]
                why = "it left no results" if lost is None else lost.reason
                yield cell, left_by(cell, out) or tuple(empty_row(cell, step, why) for step in cell.steps)
        except KeyboardInterrupt:
            ending()
            raise


@contextmanager
def _claimed(out: Path, grid: Grid) -> Iterator[None]:
    """The folder, for this process alone."""
    lock = FileLock(out / LOCK, timeout=0)
    try:
        held_by(out, {GRID}, "is not empty and holds no study; choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        replace_text(out / GRID, grid.text)
    except Timeout:
        raise RunFolderError(f"{out}: another process works on this study; wait until it ends, or choose another --out") from None
    except OSError as error:
        raise RunFolderError(f"{out} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
