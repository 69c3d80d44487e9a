"""Draws random programs, compiles each to the weights of a GPT-2, decompiles that, and compares what was found with what was planted.

    python benchmarks/planted.py --count 100 --seed 0 --out runs/planted

A program has one or two layers of one or two heads, each head of a random kind (`KINDS`), and a readout of tables, copies, or linear forms,
some of which an MLP computes. One is taken if on random strings every head matters (its mean or the uniform average in its place changes
the answers to one sequence in ten, and so does a table of the current token in the place of all heads), if nothing is undecided (no logit
that counts, or difference of the two largest, is within `MARGIN` of 0, no form within `NEAREST`), and if the compiled model attends within
.001 of the program and predicts the same. Until then another is drawn.

Sequences are `<bos>` and 0 to 50 letters, whose shares differ from one sequence to the next; every position is scored. A head is recovered
if some attention of the found program is within .05 of it, total variation on fresh sequences. Equal is the share of the strings of eight
letters (all of them; 5,000 drawn of four letters' 65,536) at all of whose positions both programs predict the same: what is so for eight
letters is so for fewer. `--out` keeps the programs.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from compiler import NEAREST, compile_program, heads_of, linear
from drasp.decompilation import decompile
from drasp.ir.formulas import Apply
from drasp.ir.nodes import Aggregate, Compute
from drasp.ir.program import Predict, Program, alive
from drasp.lang.folder import save_program
from drasp.lang.parser import parse
from drasp.learn.evaluation import predictions
from drasp.model.forward import TorchTransformer
from drasp.model.transformer import Transformer
from drasp.run.numpy_fast import evaluate
from drasp.search.settings import Settings
from drasp.tasks.protocol import Sample

LENGTHS = (0, 50)
POSITIONS = 64
SPECIAL = ("<bos>", "<sep>", "<eos>", "<pad>")
MARGIN = 0.01
MATTERS = 0.1
CLOSE = 0.05
HEADER = (
    "| planted | layers | heads | readout | heads recovered | total variation | equal | match | statements planted, found | opaque | "
    "numbers | verdict | seconds |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Planted:
    """A program with the kinds of its heads and of its readout, and the model that computes it."""

    program: Program
    kinds: tuple[str, ...]
    readout: str
    model: Transformer


class PlantedTask:
    """Random strings with a program's answers."""

    name = "planted"
    positions = POSITIONS

    def __init__(self, program: Program) -> None:
        self.program = program
        self.vocabulary, self.predict, self.order = program.header.vocabulary, program.header.predict, program.header.order

    def sample(self, rng: np.random.Generator, count: int, lengths: tuple[int, int]) -> Sample:
        """`<bos>` and letters, at random positions; all of them are scored."""
        letters = len(self.vocabulary) - len(SPECIAL)
        ends = 1 + rng.integers(*lengths, count, endpoint=True)
        place = np.arange(ends.max())
        shares = rng.dirichlet(np.ones(letters), count).cumsum(1)
        token_ids = (rng.random((count, len(place), 1)) > shares[:, None, :-1]).sum(-1)
        token_ids[:, 0] = letters
        scored = place < ends[:, None]
        offsets = rng.integers(0, POSITIONS - ends, endpoint=True)[:, None]
        return Sample(np.where(scored, token_ids, len(self.vocabulary) - 1), offsets + np.minimum(place, ends[:, None] - 1), scored)

    def answers(self, token_ids: np.ndarray) -> np.ndarray:
        """What the program predicts."""
        return predicted(self.program, token_ids)


def predicted(program: Program, token_ids: np.ndarray, position_ids: np.ndarray | None = None) -> np.ndarray:
    """(batch, time) token ids, or (batch, time, vocabulary) booleans."""
    return predictions(evaluate(program, token_ids, position_ids).logits, program.header.predict)


# Drawing.


class _Draw:
    """Random parts of a program's text.

    Attributes:
        below: the averages of the layer below; none in the first layer.
    """

    def __init__(self, rng: np.random.Generator, letters: Sequence[str], below: Sequence[str]) -> None:
        self.rng, self.letters, self.below = rng, [f'"{letter}"' for letter in letters], list(below)

    def one(self, of: Sequence[str]) -> str:
        return of[self.rng.integers(len(of))]

    def number(self, *of: float) -> str:
        return f"{self.rng.choice(of):g}"

    def some(self) -> str:
        """Some letters, but not all, as the members of a set."""
        count = self.rng.integers(1, len(self.letters))
        return ", ".join(sorted(self.rng.permutation(self.letters)[:count]))

    def relation(self, special: str | None = None) -> str:
        """For each letter another, or the special token; all of them differ."""
        others = self.rng.permutation([*self.letters, *filter(None, [special])])
        return "{" + ", ".join(f"{letter}: {{{other}}}" for letter, other in zip(self.letters, others, strict=False)) + "}"


KINDS: dict[str, Callable[[_Draw], list[str]]] = {
    "uniform": lambda d: [],
    "previous": lambda d: [f"q=pos, k=pos, op=20*(k == q - {d.number(1, 2, 3)})"],
    "modulo": lambda d: [f"q=pos, k=pos, op=20*(k % {(m := d.number(2, 3))} == q % {m})"],
    "recent": lambda d: [f"k=pos, op={d.number(0.2, 0.5)}*last"],
    "same": lambda d: [f"q=token, k=token, op={d.number(2, 3, 4)}*(k == q)"],
    "same but itself": lambda d: ["q=token, k=token, op=15*(k == q)", "q=pos, k=pos, op=-15*(k == q)"],
    "table": lambda d: [f"q=token, k=token, op=12*{d.relation('<bos>')}"],
    "keys": lambda d: ["k=token, op={" + ", ".join(f"{letter}: {d.number(-2, -1, 1, 2, 3)}" for letter in d.letters) + "}"],
    "class": lambda d: [f"k=token, op=15*(k in {{{d.some()}, <bos>}})"],
    "latest": lambda d: [f"k=token, op=100*(k in {{{d.some()}}})", "k=pos, op=10*last"],
    "first": lambda d: [f"k=token, op=-{30 * POSITIONS // 10}*(k == <bos>)", "k=pos, op=3*first"],
    "nearest": lambda d: [f"q=token, k=token, op=5*nearest(k {d.one('<>')} q)"],
}
"""The selectors of each kind of head."""

ABOVE: dict[str, Callable[[_Draw], list[str]]] = {
    "behind the same": lambda d: [f"q=token, k={d.one(d.below)}, op=15*(k == q)"],
    "what is asked": lambda d: [f"q={d.one(d.below)}, k=token, op=15*(k == q)"],
    "asked alike": lambda d: [f"q={(a := d.one(d.below))}, k={a}, op=15*(k == q)"],
}
"""Those that read averages below, which are copies."""

COPIES = ("previous", "latest", "first")


def _heads(rng: np.random.Generator, letters: Sequence[str]) -> tuple[list[str], list[str], tuple[str, ...]]:
    """The lines of all heads, the averages for the readout, and the kinds."""
    lines: list[str] = []
    kinds: list[str] = []
    below: list[str] = []
    layers = 1 + int(rng.random() < 0.5)
    for layer in range(layers):
        draw, here = _Draw(rng, letters, below), []
        for _ in range(rng.integers(1, 3)):
            kind = draw.one(list(COPIES if layer < layers - 1 else ABOVE if layer else KINDS))
            name = len(kinds)
            selects = {**KINDS, **ABOVE}[kind](draw)
            names = [f"s{name}_{number}" for number in range(len(selects))]
            lines += [f"{s} = select({text})" for s, text in zip(names, selects, strict=True)]
            value = draw.one(below) if kind == "what is asked" else "token"  # which token is there is known
            lines.append(f"a{name} = aggregate(s={'+'.join(names) or '[]'}, v={value})")
            here.append(f"a{name}")
            kinds.append(kind)
        below = here
    return lines, [f"a{number}" for number in range(len(kinds))], tuple(kinds)


def _tables(draw: _Draw, averages: Sequence[str]) -> Iterator[str]:
    """Copies and tables for next-token, one an average; constants decide between equals."""
    for number, average in enumerate(averages):
        what = "(out == inp)" if draw.rng.random() < 0.5 else draw.relation()
        yield f"project(inp={average}, op={draw.number(8) if number == 0 else draw.number(3, 5)}*{what})"
    ties = draw.rng.permutation([0.0, 0.37, 0.71, 1.13])
    constants = [f"{letter}: {tie:g}" for letter, tie in zip(draw.letters, ties, strict=False) if tie]
    yield "project(op={" + ", ".join(constants + [f"{token}: -9" for token in SPECIAL]) + "})"


def _relations(draw: _Draw, averages: Sequence[str]) -> Iterator[str]:
    """What may follow what, for sets: where one average allows it, or where all do."""
    for average in averages:
        rows = ", ".join(f"{letter}: {{{draw.some()}}}" for letter in draw.letters)
        yield f"project(inp={average}, op=8*{{{rows}}})"
    needed = 3 if draw.rng.random() < 0.5 else 8 * len(averages) - 3
    yield "project(op={" + ", ".join(f"{token}: {-needed if token in draw.letters else -9}" for token in [*draw.letters, *SPECIAL]) + "})"


def _form(draw: _Draw, averages: Sequence[str]) -> str:
    """A comparison of shares."""
    first, second = draw.rng.permutation(draw.letters)[:2]
    left, right = draw.one(averages), draw.one(averages)
    return f"{draw.number(1, 2)}*{left}[{first}] - {draw.number(1, 2)}*{right}[{second}] + {draw.number(-0.5, 0.5)}*{left}[<bos>]"


def _steps(draw: _Draw, averages: Sequence[str]) -> Iterator[str]:
    """For each letter but the last, and for the end, whether a form allows it; an MLP decides."""
    outs = [*draw.letters[:-1], "<eos>"]
    yield "[" + ", ".join(f"step({_form(draw, averages)})" for _ in outs) + "]"
    yield "project(inp=m, op={" + ", ".join(f"{number}: {{{out}: 8}}" for number, out in enumerate(outs)) + "})"
    yield "project(op={" + ", ".join(f"{token}: -4" for token in [*draw.letters[:-1], *SPECIAL]) + f", {draw.letters[-1]}: 4}})"


def _shares(draw: _Draw, averages: Sequence[str]) -> Iterator[str]:
    """One form decides between two letters, without an MLP."""
    first, second = draw.rng.permutation(draw.letters)[:2]
    down, up = draw.one(averages), draw.one(averages)
    yield f"project(inp={up}, op={{{first}: {{{first}: 20, {second}: -20}}, <bos>: {{{first}: 10, {second}: -10}}}})"
    yield f"project(inp={down}, op={{{second}: {{{first}: -20, {second}: 20}}}})"
    others = [token for token in draw.letters if token not in (first, second)]
    yield "project(op={" + ", ".join([*(f"{token}: 4" for token in others), *(f"{token}: -4" for token in SPECIAL)]) + "})"


READOUTS: dict[str, tuple[Predict, Callable[[_Draw, Sequence[str]], Iterator[str]]]] = {
    "tables": ("next-token", _tables),
    "relations": ("next-token-set", _relations),
    "steps": ("next-token-set", _steps),
    "shares": ("next-token-set", _shares),
}


def drawn(rng: np.random.Generator) -> tuple[Program, tuple[str, ...], str]:
    """A random program, with the kinds of its heads and of its readout."""
    letters = "abcd"[: rng.integers(2, 5)]
    lines, averages, kinds = _heads(rng, letters)
    draw = _Draw(rng, letters, ())
    readout = draw.one(list(READOUTS))
    predict, make = READOUTS[readout]
    made = list(make(draw, averages))
    projections = [line for line in made if line.startswith("project")]
    lines += [f"m = {line}" for line in made if not line.startswith("project")]
    lines += [f"l{number} = {line}" for number, line in enumerate(projections)]
    output = "softmax" if predict == "next-token" else "sigmoid"
    lines.append(f"prediction = {output}({' + '.join(f'l{number}' for number in range(len(projections)))})")
    quoted = " ".join(f'"{letter}"' for letter in letters)
    head = [f"drasp 1\nvocabulary {quoted} {' '.join(SPECIAL)}\npositions {POSITIONS}\npredict {predict}"]
    if "nearest" in kinds:
        head.append(f"order {quoted}")
    return parse("\n".join([*head, *lines]) + "\n"), kinds, readout


def plant(rng: np.random.Generator) -> Planted:
    """A program that is worth looking for, and its model."""
    while True:
        program, kinds, readout = drawn(rng)
        task = PlantedTask(program)
        few, more = (task.sample(rng, count, LENGTHS) for count in (60, 300))
        if _decided(program, few) and _matters(program, few) and _decided(program, more):
            model = compile_program(program)
            if is_program(model, program, more):
                return Planted(program, kinds, readout, model)


def _decided(program: Program, sample: Sample) -> bool:
    """Whether no prediction hangs on a hair, nor a step on what attention leaks."""
    trace = evaluate(program, *sample[:2])
    steps = [f for s in program.statements if isinstance(s, Compute) for f in s.formulas]
    for form in [linear(step.arguments[0]) for step in steps if isinstance(step, Apply)]:
        total = np.zeros(sample.scored.sum())
        for (name, label), coefficient in form.items():
            total += coefficient * trace.value(name)[sample.scored][:, program.header.axis(program.bases[name]).index(label)]
        if np.abs(total).min() < NEAREST:
            return False
    logits = trace.logits[sample.scored]
    if program.header.predict == "next-token-set":
        return bool(np.abs(logits).min() > MARGIN)
    largest = np.sort(logits)[:, -2:]
    return bool((largest[:, 1] - largest[:, 0]).min() > MARGIN)


def _matters(program: Program, sample: Sample) -> bool:
    """Whether each average is needed, as it is."""
    trace = evaluate(program, *sample[:2])
    answers = predictions(trace.logits, program.header.predict)
    if _changed(_by_token(answers, sample), answers, sample) < MATTERS:
        return False
    for head in [s for s in program.statements if isinstance(s, Aggregate)]:
        mean = trace.values[head.name][sample.scored].mean(0)
        others = [evaluate(program, *sample[:2], constants={head.name: mean}).logits]
        if head.selectors:
            uniform = [replace(s, selectors=()) if s == head else s for s in program.statements]
            others.append(evaluate(program.with_statements(alive(uniform), program.operators), *sample[:2]).logits)
        if any(_changed(predictions(logits, program.header.predict), answers, sample) < MATTERS for logits in others):
            return False
    return True


def _changed(other: np.ndarray, answers: np.ndarray, sample: Sample) -> float:
    """The share of sequences with another answer at a scored position."""
    different = (other != answers).reshape(*sample.scored.shape, -1).any(2)
    return float((different & sample.scored).any(1).mean())


def _by_token(answers: np.ndarray, sample: Sample) -> np.ndarray:
    """The most frequent answer at each current token, (batch, time) or (batch, time, vocabulary)."""
    found = answers.copy()
    for token in np.unique(sample.token_ids[sample.scored]):
        here = sample.token_ids == token
        kinds, counts = np.unique(answers[here & sample.scored], axis=0, return_counts=True)
        found[here] = kinds[counts.argmax()]
    return found


def is_program(model: Transformer, program: Program, sample: Sample) -> bool:
    """Whether a compiled model attends as its program does, within .001, and predicts the same."""
    torch_model = TorchTransformer(model)
    trace = evaluate(program, *sample[:2])
    attention = torch_model.attention(*sample[:2])
    for layer, heads in enumerate(heads_of(program)):
        for number, head in enumerate(heads):
            theirs = next(w for sender, w in attention.items() if (sender.layer, sender.head) == (layer, number)).numpy()
            if np.abs(theirs - trace.attention[head.name])[sample.scored].sum(1).max() / 2 > 1e-3:
                return False
    logits = torch_model(*sample[:2]).numpy()[sample.scored]
    return bool((predictions(logits, program.header.predict) == predictions(trace.logits[sample.scored], program.header.predict)).all())


# Comparing.


def distances(planted: Program, found: Program, sample: Sample) -> list[float]:
    """For each attention of the planted program the total variation to the closest of the found one; 1 where that has none."""
    ours, theirs = (evaluate(program, *sample[:2]).attention for program in (planted, found))
    where = sample.scored & (np.arange(sample.scored.shape[1]) > 0)
    return [min((float(np.abs(w - v)[where].sum(1).mean()) / 2 for v in theirs.values()), default=1.0) for w in ours.values()]


def equal(planted: Program, found: Program, rng: np.random.Generator) -> float:
    """The share of strings of eight letters on which two programs predict the same."""
    letters = len(planted.header.vocabulary) - len(SPECIAL)
    strings = np.array(list(product(range(letters), repeat=8))) if letters < 4 else rng.integers(0, letters, (5000, 8))
    token_ids = np.insert(strings, 0, letters, axis=1)
    same = predicted(planted, token_ids) == predicted(found, token_ids)
    return float(same.reshape(len(same), -1).all(1).mean())


@dataclass(frozen=True)
class Outcome:
    """What came of one model: the row of the table, and what is added up. Symbolic: the program has no opaque statement."""

    row: str
    heads: int
    recovered: int
    equal: bool
    symbolic: bool


def outcome(number: int, seed: int, settings: Settings, out: Path | None) -> Outcome:
    """Plants a program, decompiles the model and compares."""
    rng = np.random.default_rng([seed, number])
    planted = plant(rng)
    task = PlantedTask(planted.program)
    begun = time.monotonic()
    found = decompile(planted.model, task, settings)
    seconds = time.monotonic() - begun
    if out is not None:
        save_program(planted.program, out / f"{number}-planted")
        save_program(found.program, out / f"{number}-found")
    far = distances(planted.program, found.program, task.sample(rng, 200, LENGTHS))
    share = equal(planted.program, found.program, rng)
    recovered = sum(each <= CLOSE for each in far)
    match = found.evidence.match
    size = found.evidence.size
    cells = [
        f"{number}",
        f"{len(planted.model.blocks)}",
        ", ".join(planted.kinds),
        planted.readout,
        f"{recovered} of {len(far)}",
        ", ".join(f"{each:.3f}" for each in far),
        f"{share:.4f}",
        f"{match.worst.accuracy:.4f}" if match else "gap",
        f"{len(planted.program.statements)}, {size.statements}",
        f"{size.opaque}",
        f"{size.numbers}",
        found.evidence.verdict,
        f"{seconds:.0f}",
    ]
    return Outcome("| " + " | ".join(cells) + " |", len(far), recovered, share == 1, size.opaque == 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the number of the first; each has a random stream of its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=int, default=100_000, help="that each may take")
    parser.add_argument("--out", type=Path, help="a folder for the programs")
    arguments = parser.parse_args()
    settings = Settings(lengths=LENGTHS, work=arguments.work, evidence="quick")
    print(HEADER, flush=True)
    outcomes = []
    for number in range(arguments.first, arguments.first + arguments.count):
        outcomes.append(outcome(number, arguments.seed, settings, arguments.out))
        print(outcomes[-1].row, flush=True)
    heads, recovered = sum(each.heads for each in outcomes), sum(each.recovered for each in outcomes)
    same, said = sum(each.equal for each in outcomes), sum(each.equal and each.symbolic for each in outcomes)
    print(f"\n{recovered} of {heads} heads recovered; {same} of {len(outcomes)} programs equal on all strings, {said} of them in symbols")


if __name__ == "__main__":
    main()
