"""Checks what is said of programs on inputs that it was not read off: captions and sentences of programs in files, and of random ones.

    python benchmarks/words.py --random 1000 --seed 0 runs/*

A sentence that is said of all sequences must hold on fresh random strings, one that is said of the task's on fresh ones of the task.
Printed are how many captions and sentences there were, the longest caption, and each sentence of which a claim does not hold.
"""

import argparse
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from drasp.core.seeds import Stream
from drasp.ir.program import Program
from drasp.lang.folder import load_program
from drasp.search.record import load_evidence
from drasp.tasks.registry import known_task
from drasp.view.captions import captions
from drasp.view.words import Scene, algorithm, random_scene, recorded_scene, task_scene
from planted import drawn

FRESH = (101, 102, 103)
"""Seeds of the scenes on which the words are checked; they are read off that of seed 0."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", type=Path, help="run folders or .drasp files")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="random programs beside them")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    longest = said = checked = wrong = count = 0
    for name, program, scene, fresh in chain(_saved(arguments.programs), _random(arguments.random, arguments.seed)):
        count += 1
        words = captions(program).values()
        said += len(words)
        longest = max(longest, *map(len, words))
        for sentence in algorithm(program, scene):
            scenes = [random_scene(program, seed) for seed in FRESH] if sentence.everywhere else fresh
            if sentence.claims:
                checked += 1
            if not all(claim.holds(one) for claim in sentence.claims for one in scenes):
                wrong += 1
                print(f"{name}: {sentence.text}", flush=True)
    print(f"{count} programs: {said} captions, the longest of {longest} characters; {checked} sentences with claims, {wrong} of them wrong")


def _saved(paths: list[Path]) -> Iterator[tuple[str, Program, Scene | None, list[Scene]]]:
    for path in paths:
        program, evidence = load_program(path), load_evidence(path)
        scene = recorded_scene(program, evidence)
        task = None if evidence is None else known_task(evidence.settings["task"])
        span = (0, 150) if evidence is None else tuple(evidence.settings["lengths"])
        fresh = [] if scene is None or task is None else [task_scene(program, task, span, seed) for seed in FRESH]
        yield str(path), program, scene, fresh


def _random(count: int, seed: int) -> Iterator[tuple[str, Program, Scene | None, list[Scene]]]:
    for number in range(count):
        program, *_ = drawn(np.random.default_rng([seed, Stream.WORDS, number]))
        yield f"random {number}", program, None, []


if __name__ == "__main__":
    main()
