"""Disturbs a command that writes a folder, starts it again undisturbed, and compares what is left with what an undisturbed run leaves.

    python benchmarks/faults.py kills --count 100 -- decompile D2 --work 20000
    python benchmarks/faults.py operations -- decompile D2 --work 20000
    python benchmarks/faults.py damage --count 200 -- decompile D2 --work 20000
    python benchmarks/faults.py kills --count 30 -- train bin_majority --steps 400

`kills` ends it with SIGKILL, or every second time with SIGTERM, at a moment that the seed draws. `operations` lets the first file
operation in its folder fail as on a full disk, then, in another run, the second, and so on to the last. `damage` kills it and then
truncates, empties, deletes, or flips a bit in one of the files that it left. `--out` is added to the words; count work, not time, so that
runs can be compared. Each disturbed run, and the one after it, must end with the same result, or with one line that says why it cannot,
and leave no other result. Ends with an error if one does not. Runs are forked from this process, which has imported everything: each
takes what the work takes.
"""

import argparse
import csv
import errno
import io
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import drasp.search.decompile
import drasp.train  # noqa: F401
from drasp.cli import main as command_line
from drasp.cli.say import BAD_INPUT

RESULTS = ("program.drasp", "operators.safetensors", "frontier.json", "model.safetensors", "results.csv")
"""The files that must be the same."""
OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.listdir", "os.scandir", "os.link", "os.symlink")
"""Those that Python tells an audit hook of."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, negative where a signal ended it, what it said, how many file operations it did in its folder."""

    code: int
    said: str
    operations: int
    seconds: float

    @property
    def well(self) -> bool:
        """With a result, or with one line that says why not."""
        last = self.said.strip().splitlines()[-1:]
        told = self.code == BAD_INPUT and bool(last) and last[0].startswith("drasp: error: ")
        return "Traceback" not in self.said and (self.code in (0, 1) or told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fault", choices=FAULTS)
    parser.add_argument("--count", type=int, default=20, help="runs that are disturbed; of operations all are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("words", nargs="+", help="the command, after --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        trial = Trial(arguments.words, Path(scratch) / "out", random.Random(arguments.seed))
        whole = trial.run()
        wanted = trial.left()
        if not whole.well or not wanted:
            sys.exit(f"the undisturbed run ended with {whole.code}: {whole.said}")
        print(f"undisturbed: {whole.seconds:.1f} s, {whole.operations} file operations\n", flush=True)
        found: Counter[tuple[str, str]] = Counter()
        wrong = 0
        for what, first in FAULTS[arguments.fault](trial, whole, arguments.count):
            outcome = _outcome(trial, first, wanted)
            found[what, outcome.text] += 1
            if not outcome.good:
                wrong += 1
                print(f"WRONG: {what}: {outcome.text}", flush=True)
            trial.clear()
        print("| disturbed | then | runs |\n|---|---|---|")
        for (what, then), runs in sorted(found.items()):
            print(f"| {what} | {then} | {runs} |")
        if wrong:
            sys.exit(f"{wrong} of {found.total()} runs are wrong")


class Trial:
    """A command that writes one folder, run as often as is wished."""

    def __init__(self, words: list[str], out: Path, rng: random.Random) -> None:
        self.words, self.out, self.rng = words, out, rng

    def run(self, fails: int = 0, after: float | None = None, by: signal.Signals = signal.SIGKILL) -> Ended:
        """Runs it in a forked process.

        Args:
            fails: which file operation does; 0 for none.
            after: seconds after which a signal ends it.
        """
        self.out.parent.mkdir(parents=True, exist_ok=True)
        told, count = (self.out.parent / name for name in ("said.txt", "operations.txt"))
        sys.stdout.flush()
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            self._child(told, count, fails)
        if after is not None:
            time.sleep(after)
            os.kill(child, by)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        counted = int(count.read_text() or 0) if count.exists() else 0
        return Ended(code, told.read_text(errors="replace"), counted, time.monotonic() - began)

    def _child(self, told: Path, count: Path, fails: int) -> None:
        code = 3
        try:
            said = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1)
            os.dup2(said, 2)
            done = _failing(self.out, fails)
            code = command_line([*self.words, "--out", str(self.out)])
            count.write_text(str(done[0]))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else BAD_INPUT
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def left(self) -> dict[str, bytes]:
        """The files of the result, by their paths; seconds are left out."""
        found = {str(p.relative_to(self.out)): p for p in sorted(self.out.rglob("*")) if p.is_file() and p.name in RESULTS}
        return {name: _without_seconds(path) for name, path in found.items() if not name.startswith(".")}

    def files(self) -> list[Path]:
        """All files that there are."""
        return sorted(path for path in self.out.rglob("*") if path.is_file())

    def clear(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)


def _without_seconds(path: Path) -> bytes:
    if path.suffix != ".csv":
        return path.read_bytes()
    rows = csv.DictReader(io.StringIO(path.read_text()))
    return repr([{key: value for key, value in row.items() if "second" not in key} for row in rows]).encode()


def _failing(folder: Path, fails: int) -> list[int]:
    """Counts the file operations in a folder from now on, and lets one of them fail."""
    done, within = [0], str(folder)

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event in OPERATIONS and any(isinstance(arg, str | bytes | os.PathLike) and within in os.fsdecode(arg) for arg in args[:2]):
            done[0] += 1
            if done[0] == fails:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sys.addaudithook(hook)
    return done


@dataclass(frozen=True)
class Outcome:
    text: str
    good: bool


def _outcome(trial: Trial, first: Ended, wanted: dict[str, bytes]) -> Outcome:
    """What comes of a disturbed run: what it left itself, if it ended with a result, or else the run that is started after it."""
    if first.code in (0, 1) and first.well and trial.left() == wanted:
        return Outcome("the same result, undisturbed by it", True)
    if first.code >= 0 and not first.well:
        return Outcome(f"the disturbed run ended with {first.code}: {first.said[-300:]}", False)
    again = trial.run()
    if not again.well:
        return Outcome(f"the run after it ended with {again.code}: {again.said[-300:]}", False)
    left = trial.left()
    if again.code == BAD_INPUT:
        said = again.said.strip().splitlines()[-1].replace(str(trial.out), "DIR").removeprefix("drasp: error: ")
        return Outcome(f"the run after it ends with: {said}", left in ({}, wanted))
    return Outcome("the run after it left the same" if left == wanted else "the run after it left another", left == wanted)


def _kills(trial: Trial, whole: Ended, count: int) -> Iterator[tuple[str, Ended]]:
    for number in range(count):
        by = (signal.SIGKILL, signal.SIGTERM)[number % 2]
        yield by.name, trial.run(after=trial.rng.uniform(0, whole.seconds), by=by)


def _operations(trial: Trial, whole: Ended, count: int) -> Iterator[tuple[str, Ended]]:
    for number in range(1, whole.operations + 1):
        yield "an operation fails", trial.run(fails=number)


def _damage(trial: Trial, whole: Ended, count: int) -> Iterator[tuple[str, Ended]]:
    for _ in range(count):
        while not trial.files():
            ended = trial.run(after=trial.rng.uniform(0.1, 0.98) * whole.seconds)
        path = trial.rng.choice(trial.files())
        how = trial.rng.choice(list(HARM))
        HARM[how](path, trial.rng)
        yield f"{path.name.lstrip('.') if path.parent == trial.out else path.parent.name} {how}", ended


def _flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


HARM: dict[str, Callable[[Path, random.Random], object]] = {
    "truncated": lambda path, rng: os.truncate(path, int(rng.random() * path.stat().st_size)),
    "emptied": lambda path, rng: os.truncate(path, 0),
    "deleted": lambda path, rng: path.unlink(),
    "with a bit flipped": _flip,
}
FAULTS: dict[str, Callable[[Trial, Ended, int], Iterator[tuple[str, Ended]]]] = {
    "kills": _kills,
    "operations": _operations,
    "damage": _damage,
}


if __name__ == "__main__":
    main()
