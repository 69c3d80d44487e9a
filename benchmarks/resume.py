"""Kills a decompilation at random moments, starts the same command again, and compares the program with that of the unbroken run.

    python benchmarks/resume.py D2 --kills 20
    python benchmarks/resume.py ../shared/models/bce_tomita4-2l2h16d3lr01drop --task tomita4 --kills 20 --time 30m

Each row is a run of its own, killed once with SIGKILL after a share of the unbroken run's seconds that the seed draws, then run to its end.
"Kept" counts the answers in the journal at that moment. `--time` should leave room: where a search runs out of time the clock decides what
it ends with.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from drasp.search.record import EVIDENCE_FILE, JOURNAL_FILE
from process import drasp_or_exit

HEADER = "| killed at s | kept | seconds to the end | program and frontier |\n|---|---|---|---|"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--task")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--time", default="30m")
    parser.add_argument("--lengths", default="0-150")
    arguments = parser.parse_args()
    words = ["decompile", arguments.model, "--time", arguments.time, "--lengths", arguments.lengths]
    words += [] if arguments.task is None else ["--task", arguments.task]
    moments = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as scratch:
        unbroken = Path(scratch) / "unbroken"
        whole = _to_the_end(words, unbroken)
        print(f"{arguments.model}: unbroken in {whole:.1f} s\n\n{HEADER}", flush=True)
        alike = kills = 0
        while kills < arguments.kills:
            moment = moments.uniform(0, whole)
            out = Path(scratch) / f"{moment}"
            if not _killed(words, out, moment) or (out / EVIDENCE_FILE).exists():
                continue  # it had ended before, or written all that it writes: this was no kill
            kills += 1
            kept = (out / JOURNAL_FILE).read_bytes().count(b"\n") - 1 if (out / JOURNAL_FILE).exists() else 0
            seconds = _to_the_end(words, out)
            same = _programs(out) == _programs(unbroken)
            alike += same
            print(f"| {moment:.1f} | {kept} | {seconds:.1f} | {'the same bytes' if same else 'DIFFERENT'} |", flush=True)
    print(f"\n{alike} of {arguments.kills} end with the same bytes")


def _to_the_end(words: list[str], out: Path) -> float:
    return drasp_or_exit(*words, "--out", str(out)).seconds


def _killed(words: list[str], out: Path, after: float) -> bool:
    """Whether the run was still going on when it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "drasp", *words, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait() == -signal.SIGKILL


def _programs(run: Path) -> dict[str, bytes]:
    """Every file of the programs of a run."""
    return {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*") if p.suffix in (".drasp", ".safetensors")}


if __name__ == "__main__":
    main()
