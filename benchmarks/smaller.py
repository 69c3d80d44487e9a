"""Of run folders: what can still go from each program in symbols, one line, term, entry or digit at a time, without a loss.

    python benchmarks/smaller.py runs/D2 runs/D3
    python benchmarks/smaller.py runs/sort --model ../shared/models/sort-1l1h256d3lr01drop

A program loses nothing where, on fresh sequences of each length band, it matches the model no less often; and, where the attention and the
averages of the program are the model's, those of the shorter one are, too. Without `--model` each folder's name is that of a bundled model.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from drasp.core.budget import Budget
from drasp.evidence.attention import AttentionTuning, attention
from drasp.evidence.interchange import InterchangeTuning, interchange
from drasp.evidence.kind import Bench, Question
from drasp.ir.nodes import Aggregate
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.lang.folder import load_program
from drasp.learn.evaluation import EvaluationSet, draw, predictor
from drasp.learn.pools import Study
from drasp.model.bundled import resolve_model
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.rewrite.shorter import with_fewer_digits, without_a_part
from drasp.rewrite.simplify import simplify
from drasp.search.record import load_evidence
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--model", help="the model of the one run that is named")
    parser.add_argument("--sequences", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1000, help="of the sequences; other than that of the search")
    arguments = parser.parse_args()
    print("| run | statements | numbers | tried | can go |\n|---|---|---|---|---|")
    for run in arguments.runs:
        program, evidence = load_program(run), load_evidence(run)
        if size(program).opaque:
            continue
        folder, known = resolve_model(arguments.model or run.name)
        model, task = load_transformer(folder), get_task(evidence.settings["task"] or known)
        settings = Settings(seed=arguments.seed, match=evidence.settings["match"], least=evidence.settings["least"])
        question = Question(Study(model, task, TorchTransformer(model)), settings)
        faithful = evidence.verdict.startswith("decompiled")
        fresh = draw(question.examinee, arguments.sequences, Bench(program, question, Budget.of_seconds()).rng(0))
        tried, found = 0, []
        for what, shorter in _shorter(program):
            tried += 1
            if _no_worse(shorter, program, fresh) and (not faithful or _faithful(shorter, question, fresh)):
                found.append(what)
        counted = size(program)
        print(f"| {run.name} | {counted.statements} | {counted.numbers} | {tried} | {'; '.join(found) or 'nothing'} |", flush=True)


def _shorter(program: Program) -> Iterator[tuple[str, Program]]:
    for kind, changes in (("without", without_a_part(program)), ("plainer", with_fewer_digits(program))):
        for change, shorter in changes:
            yield f"{change.statement} {kind} {change.part}".replace("|", "\\|"), simplify(shorter)


def _no_worse(shorter: Program, program: Program, fresh: EvaluationSet) -> bool:
    mine, other = (fresh.match(predictor(each, fresh)) for each in (shorter, program))
    return all(a.accuracy >= b.accuracy for a, b in zip(mine.bands, other.bands, strict=True))


def _faithful(program: Program, question: Question, fresh: EvaluationSet) -> bool:
    if not any(isinstance(statement, Aggregate) for statement in program.statements):
        return True
    bench = Bench(program, question, Budget.of_seconds(), 300)
    return attention(bench, AttentionTuning()).faithful and interchange(replace(bench, sequences=1000), InterchangeTuning()).faithful


if __name__ == "__main__":
    main()
