"""Of run folders: how close what each program says of the model's heads is to what they do, and which share of it all is close.

    python benchmarks/faith.py runs/*

An attention is close to the model's within a total variation of .05; an average is what its heads hold where program and model agree after
.95 of the swaps that change something: of its value, or of what is read. Of both swaps the better figure stands here.
"""

import argparse
import sys
from pathlib import Path

from drasp.evidence.interchange import InterchangeTuning
from drasp.evidence.schema import Evidence
from drasp.search.record import load_evidence

HEADER = (
    "| run | verdict | statements | numbers | worst | right | attention: total variation, patched | averages: value, reading | s |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    print(HEADER)
    heads: list[bool] = []
    averages: list[bool] = []
    for run in parser.parse_args().runs:
        evidence = load_evidence(run)
        if evidence is None:
            sys.exit(f"{run} has no evidence.json")
        print(_row(run.name, evidence))
        if evidence.attention is not None:
            heads += [each.close for each in evidence.attention.attentions for _ in each.heads]
        averages += [found for *_, found in _swaps(evidence) if found is not None]
    for what, found in (("named heads within .05 of the model's attention", heads), ("averages at .95", averages)):
        print(f"{what}: {sum(found)} of {len(found)}")


def _row(name: str, evidence: Evidence) -> str:
    match, right, size = evidence.match, evidence.right, evidence.size
    worst, well = (f"{shares.worst.accuracy:.4f}" if shares is not None else "not measured" for shares in (match, right))
    attention = [] if evidence.attention is None else evidence.attention.attentions
    attends = ", ".join(f"{'+'.join(each.averages)} {each.total_variation:.3f}, {each.patched.accuracy:.3f}" for each in attention)
    holds = ", ".join(f"{names} {value}, {reading}" for names, value, reading, _ in _swaps(evidence))
    cells = (name, evidence.verdict, size.statements, size.numbers, worst, well, attends, holds, f"{evidence.seconds:.0f}")
    return f"| {' | '.join(map(str, cells))} |"


def _swaps(evidence: Evidence) -> list[tuple[str, str, str, bool | None]]:
    """Of each average its names, the agreement after both swaps, and whether the better is enough; None where no swap changes anything."""
    rows: list[tuple[str, str, str, bool | None]] = []
    for each in [] if evidence.interchange is None else evidence.interchange.variables:
        if any(part.kind == "head" for part in each.stands_for):
            shares = [swap.changed.agreement for swap in (each.value, each.reading) if swap.changed is not None]
            value, reading = (f"{swap.changed.agreement:.3f}" if swap.changed else "-" for swap in (each.value, each.reading))
            rows.append(("+".join(each.variables), value, reading, max(shares) >= InterchangeTuning().faithful if shares else None))
    return rows


if __name__ == "__main__":
    main()
