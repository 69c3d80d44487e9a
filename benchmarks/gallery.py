"""Writes docs/gallery.md from run folders: each bundled model that has a program in symbols, with its algorithm in words,
its automaton where it is one, and its evidence.

    for model in D2 D3 sort; do drasp decompile $model --out runs/$model; done
    python benchmarks/gallery.py runs/* > docs/gallery.md

The folders are named after the models.
"""

import argparse
from pathlib import Path

from drasp.evidence.schema import Evidence
from drasp.ir.program import Program
from drasp.lang.folder import load_program
from drasp.lang.printer import print_program
from drasp.search.record import load_evidence
from drasp.tasks.registry import get_task
from drasp.view.pictures import automaton_figures, counter_figures
from drasp.view.summary import summary
from drasp.view.words import algorithm, recorded_scene

HEAD = """# Gallery

What `drasp decompile` says of each bundled model, with default settings and seed 0: the verdict, the algorithm in words, the evidence in
short, and the program. Of those that are left out no program in symbols was found. This page is written by `benchmarks/gallery.py`; how the
models were trained stands in [The bundled models](programs.md), what the words of a summary mean in [The evidence](evidence.md).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    print(HEAD, end="")
    for run in parser.parse_args().runs:
        program, evidence = load_program(run), load_evidence(run)
        if evidence is not None and not evidence.size.opaque and evidence.verdict != "not decompiled":
            print(_entry(run.name, program, evidence))


def _entry(name: str, program: Program, evidence: Evidence) -> str:
    scene = recorded_scene(program, evidence)
    sentences = algorithm(program, scene)
    said = "\n".join(summary(program, evidence, scene, sentences))
    figures = [*automaton_figures(program, get_task(name)), *counter_figures(program, sentences)]
    pictures = "".join(f"{figure.html}\n\n" for figure in figures)
    return f"\n## {name}\n\n{get_task(name).description}\n\n```text\n{said}\n```\n\n{pictures}```drasp\n{print_program(program)}```"


if __name__ == "__main__":
    main()
