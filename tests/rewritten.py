"""A program written otherwise, which changes no prediction, and with one change that may: what a comparison should tell apart."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from drasp.ir.formulas import Arithmetic, Number
from drasp.ir.nodes import (
    TOKEN,
    Aggregate,
    Bilinear,
    Compare,
    Compute,
    Prediction,
    Project,
    Read,
    Select,
    Statement,
    Table,
    addends,
    renamed,
    with_addends,
)
from drasp.ir.operators import Dense, Sum, Term
from drasp.ir.primitives.comparison import Comparison
from drasp.ir.primitives.index import Index
from drasp.ir.primitives.logic import Not
from drasp.ir.primitives.primitive import Predicate
from drasp.ir.primitives.tables import Rows
from drasp.ir.program import Program, alive, sides

Rng = np.random.Generator
Rewrite = Callable[[Program, Rng], Program]
ONE_HOT = ("token", "pos")


def ended(program: Program, rng: Rng) -> Program:
    """The program with a prediction that all selectors, variables and projections have a part in, and with a predicate."""
    averaged = {name for s in program.statements for name in addends(s)}
    read = {name for s in program.statements for its in s.reads for name in its.variables()}
    statements, tensors = list(program.statements[:-1]), dict(program.operators)
    statements.append(Select("same", TOKEN, TOKEN, Sum((Term(3.0, Comparison(Index("column"), "==", Index("row"))),))))
    left = [s.name for s in statements if isinstance(s, Select) and s.name not in averaged]
    statements.append(Aggregate("end", tuple(left), TOKEN))
    for s in list(statements):
        if not isinstance(s, Select | Project) and s.name not in read:
            size = len(program.header.vocabulary) if s.name == "end" else program.bases[s.name].size
            tensors[f"E_{s.name}"] = rng.normal(size=(size, len(program.header.predicted)))
            statements.append(Project(f"end_{s.name}", Read(s.name), Dense(f"E_{s.name}")))
    projections = tuple(s.name for s in statements if isinstance(s, Project))
    return program.with_statements((*statements, Prediction(projections)), tensors)


def put(program: Program, instead: Mapping[str, list[Statement]], tensors: Mapping[str, np.ndarray] | None = None) -> Program:
    """Other statements in the place of some."""
    statements = [new for old in program.statements for new in instead.get(old.name, [old])]
    return program.with_statements(statements, {**program.operators, **(tensors or {})})


def matrix(program: Program, name: str) -> np.ndarray:
    return program.matrix(name).astype(np.float64)


def any_of(rng: Rng, found: list) -> list:
    """One of them, if there is any."""
    return [found[rng.integers(len(found))]] if found else []


def of_type(program: Program, kind: type) -> list:
    return [statement for statement in alive(program.statements) if isinstance(statement, kind)]


def with_matrices(program: Program, changed: Mapping[str, np.ndarray]) -> Program:
    """Dense operators in the place of some."""
    instead = {name: [replace(program.by_name[name], op=Dense(f"V_{name}"))] for name in changed}
    return put(program, instead, {f"V_{name}": its for name, its in changed.items()})


def other_names(program: Program, rng: Rng) -> Program:
    new = {s.name: f"v{place}" for s, place in zip(program.statements[:-1], rng.permutation(len(program.statements)), strict=False)}
    return program.with_statements([renamed(statement, new) for statement in program.statements])


def other_order(program: Program, rng: Rng) -> Program:
    """Statements, selectors and projections in another order."""
    left, done, order = list(program.statements[:-1]), {"token", "pos", "one"}, []
    while left:
        ready = [s for s in left if {*addends(s), *(variable for read in s.reads for variable in read.variables())} <= done]
        (chosen,) = any_of(rng, ready)
        left.remove(chosen)
        order.append(chosen)
        done.add(chosen.name)
    mixed = [with_addends(s, tuple(rng.permutation(addends(s)).tolist())) for s in (*order, program.prediction)]
    return program.with_statements(mixed)


def scores_by_query(program: Program, rng: Rng) -> Program:
    """A number for each query, added to the scores of all keys."""
    selects = [s for s in of_type(program, Select) if s.key.variable in ONE_HOT and s.key.over is None]
    return with_matrices(program, {s.name: (its := matrix(program, s.name)) + rng.normal(size=(len(its), 1)) for s in any_of(rng, selects)})


def logits_by_input(program: Program, rng: Rng) -> Program:
    """The same added to all logits of a next-token readout."""
    if program.header.predict != "next-token":
        return program
    projects = of_type(program, Project)
    return with_matrices(
        program, {s.name: (its := matrix(program, s.name)) + rng.normal(size=(len(its), 1)) for s in any_of(rng, projects)}
    )


def moved_constant(program: Program, rng: Rng) -> Program:
    """What a projection of a one-hot variable adds everywhere, or of a formula, in a projection of its own."""

    def source(s: Project) -> Statement | None:
        readers = [t for t in program.statements if any(s.input.variable in read.variables() for read in t.reads)]
        return program.by_name.get(s.input.variable) if readers == [s] else None

    projects = [s for s in of_type(program, Project) if s.input.over is None]
    for s in any_of(rng, [s for s in projects if s.input.variable in ONE_HOT or isinstance(source(s), Compute)]):
        its, found, instead = matrix(program, s.name), source(s), {}
        constant = rng.normal(size=(1, its.shape[1]))
        if isinstance(found, Compute):
            first = Arithmetic("+", found.formulas[0], Number(2.0))
            instead[found.name] = [replace(found, formulas=(first, *found.formulas[1:]))]
            tensors = {f"V_{s.name}": its, f"rest_{s.name}": -2 * its[:1]}
        else:
            tensors = {f"V_{s.name}": its - constant, f"rest_{s.name}": constant}
        moved = Project(f"moved_{s.name}", replace(s.input, variable="one"), Dense(f"rest_{s.name}"))
        instead[s.name] = [replace(s, op=Dense(f"V_{s.name}")), moved]
        logits = program.prediction.logits
        instead["prediction"] = [Prediction((*logits, *[moved.name] * logits.count(s.name)))]
        return put(program, instead, tensors)
    return program


def scaled_logits(program: Program, rng: Rng) -> Program:
    """Logits times a positive number: each its own of a set of tokens, all the same of the next token."""
    projects = of_type(program, Project)
    count = len(program.header.predicted) if program.header.predict == "next-token-set" else 1
    scale = rng.uniform(0.2, 5, count)
    return with_matrices(program, {s.name: matrix(program, s.name) * scale for s in projects})


def split_sum(program: Program, rng: Rng) -> Program:
    """A selector or projection as the sum of two."""
    for s in any_of(rng, of_type(program, Select | Project)):
        its = matrix(program, s.name)
        part = rng.normal(size=its.shape)
        instead: dict[str, list[Statement]] = {
            s.name: [replace(s, op=Dense(f"V_{s.name}")), replace(s, name=f"part_{s.name}", op=Dense(f"other_{s.name}"))]
        }
        for t in program.statements:
            more = [f"part_{s.name}"] * addends(t).count(s.name)
            if isinstance(t, Aggregate | Prediction) and more:
                instead[t.name] = [with_addends(t, (*addends(t), *more))]
        return put(program, instead, {f"V_{s.name}": its - part, f"other_{s.name}": part})
    return program


def other_primitives(program: Program, rng: Rng) -> Program:
    """Predicates as what they are not, or an operator as a table of its numbers."""
    symbolic = [s for s in of_type(program, Bilinear) if not isinstance(s.op, Dense)]
    for s in any_of(rng, symbolic):
        if rng.integers(2) and isinstance(s.op, Sum):
            negated = [
                (Term(-t.strength, Not(t.primitive)), t.strength) if isinstance(t.primitive, Predicate) else (t, 0.0) for t in s.op.terms
            ]
            return put(program, {s.name: [replace(s, op=Sum(tuple(t for t, _ in negated), s.op.constant + sum(c for _, c in negated)))]})
        rows, columns = sides(s, program.bases, program.header)
        labels = [program.header.axis(basis).labels for basis in (rows, columns)]
        table = Rows(
            tuple(
                (row, tuple(zip(labels[1], line, strict=True)))
                for row, line in zip(labels[0], matrix(program, s.name).tolist(), strict=True)
            )
        )
        return put(program, {s.name: [replace(s, op=Sum((Term(1.0, table),)))]})
    return program


REWRITES: tuple[Rewrite, ...] = (
    other_names,
    other_order,
    scores_by_query,
    logits_by_input,
    moved_constant,
    scaled_logits,
    split_sum,
    other_primitives,
)


def rewritten(program: Program, rng: Rng) -> Program:
    """All of it at once, in any order but for the names, which come last."""
    for place in rng.permutation(len(REWRITES) - 1):
        program = REWRITES[place + 1](program, rng)
    return other_names(program, rng)


def number_changed(program: Program, rng: Rng) -> Program:
    """One number of an operator is another."""
    for s in any_of(rng, of_type(program, Select | Project | Compare | Table)):
        its = matrix(program, s.name)
        its[rng.integers(its.shape[0]), rng.integers(its.shape[1])] += rng.choice([-1, 1]) * rng.uniform(0.5, 20)
        return with_matrices(program, {s.name: its})
    return program


def predicate_changed(program: Program, rng: Rng) -> Program:
    """One predicate is turned into what it is not."""
    sums = [(s, s.op) for s in of_type(program, Bilinear) if isinstance(s.op, Sum)]
    terms = [(s, op, place, term) for s, op in sums for place, term in enumerate(op.terms)]
    places = [(s, op, place) for s, op, place, term in terms if isinstance(term.primitive, Predicate) and abs(term.strength) >= 1]
    for s, op, place in any_of(rng, places):
        turned = replace(op.terms[place], primitive=Not(op.terms[place].primitive))
        return put(program, {s.name: [replace(s, op=replace(op, terms=(*op.terms[:place], turned, *op.terms[place + 1 :])))]})
    return program


def line_changed(program: Program, rng: Rng) -> Program:
    """One sum has a line less, or one average is uniform."""
    for s in any_of(rng, [s for s in alive(program.statements) if addends(s)]):
        dropped = int(rng.integers(len(addends(s))))
        return put(program, {s.name: [with_addends(s, tuple(name for place, name in enumerate(addends(s)) if place != dropped))]})
    return program


CHANGES: tuple[Rewrite, ...] = (number_changed, predicate_changed, line_changed)
