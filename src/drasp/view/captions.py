"""Captions: what each statement of a program does, in plain English, made from the statement itself: short, and in full as its detail."""

from collections.abc import Iterator

from drasp.ir.formulas import Apply, Formula, Read, Test, walk
from drasp.ir.labels import label_text, listed, number_text
from drasp.ir.nodes import (
    ONE_READ,
    Aggregate,
    Bilinear,
    Case,
    Compute,
    Harden,
    Mlp,
    Norm,
    Pair,
    Prediction,
    Project,
    Select,
    Sharpen,
    Statement,
    Table,
)
from drasp.ir.operators import HARD, Dense, Sum, Term
from drasp.ir.primitives.primitive import Nouns
from drasp.ir.program import Program

BUILT_IN_NOUNS = {"token": "token", "pos": "position"}


WIDEST = 90
"""Characters of a caption, so that it stands beside its line."""


def captions(program: Program) -> dict[str, str]:
    """The caption of every statement, by its name."""
    return {statement.name: caption(program, statement) for statement in program.statements}


def caption(program: Program, statement: Statement) -> str:
    """What a statement does, in few words: its detail, where that is short enough, else what it is made of."""
    full = detail(program, statement)
    return full if len(full) <= WIDEST else next(text for text in _shorter(program, statement) if len(text) <= WIDEST)


def _shorter(program: Program, statement: Statement) -> Iterator[str]:
    """Summaries, shorter and shorter; the last names nothing."""
    reads = list(dict.fromkeys(read.text() for read in statement.reads if read != ONE_READ))
    of = f" of {listed(reads, 'and')}" if reads else ""
    if isinstance(statement, Project) and program.bases[statement.input.variable].kind == "derived":
        yield _votes(program, statement)
    if isinstance(statement, Select | Project):
        verb, what = ("attend", "preferences") if isinstance(statement, Select) else ("output", "terms")
        parts = _parts(statement)
        yield from (f"{verb} by {f'{parts} {what}' if parts > 1 else 'a table'}{where}" for where in (of, ""))
    elif isinstance(statement, Aggregate):
        yield f"average of {statement.value.text()} where {len(statement.selectors)} selectors attend"
        yield "an average where selectors attend"
    elif isinstance(statement, Prediction):
        what = f"the sum of {len(statement.logits)} projections"
        is_next = "next token" if program.header.outputs is None else "output"
        yield f"the {is_next}: softmax of {what}" if program.header.predict == "next-token" else f"each may come next if {what} is > 0"
    else:
        yield from (f"{_kind(statement)}{where}" for where in (of, ""))


def _votes(program: Program, statement: Project) -> str:
    """For and against which outputs the coordinates of a variable speak: "[0] for "a"; [1] for "b", against <eos>"."""
    names = [label_text(name) for name in program.header.predicted]
    said = []
    for coordinate, row in enumerate(program.matrix(statement.name)):
        sides = (("for", row > 0), ("against", row < 0))
        parts = [
            f"{word} {listed([name for name, here in zip(names, side, strict=True) if here], 'and')}" for word, side in sides if side.any()
        ]
        said += [f"[{coordinate}] {', '.join(parts)}"] * bool(parts)
    return f"{statement.input.text()} speaks: {'; '.join(said)}"


def _parts(statement: Select | Project) -> int:
    """How many terms an operator has, overrides included."""
    return 1 if isinstance(statement.op, Dense) else len(statement.op.all_terms)


def _kind(statement: Statement) -> str:
    """What an element-wise operation is called."""
    if isinstance(statement, Compute):
        what = "weighted sum" if all(map(_is_sum, statement.formulas)) else "formula"
        return f"a {what}" if len(statement.formulas) == 1 else f"{len(statement.formulas)} {what}s"
    if isinstance(statement, Case):
        return f"for each of {len(statement.branches)} coordinates a formula"
    kinds = {Norm: "the norm", Mlp: "the model's own MLP", Table: "a table", Harden: "the largest coordinate", Sharpen: "a power"}
    return kinds.get(type(statement), "the product" if isinstance(statement, Pair) else "a comparison")


def _is_sum(formula: Formula) -> bool:
    """Whether a formula has no function, test or division."""
    return all(not isinstance(part, Apply | Test) and getattr(part, "operator", "+") != "/" for part in walk(formula))


def detail(program: Program, statement: Statement) -> str:
    """All that a statement does. The variables that it reads are named as they are in the program, `token` and `pos` as what they are."""
    if isinstance(statement, Bilinear):
        return _of_operator(program, statement)
    if isinstance(statement, Aggregate):
        return _of_aggregate(program, statement)
    if isinstance(statement, Prediction):
        logits = " + ".join(statement.logits) or "0"
        return (
            f"{'the next token' if program.header.outputs is None else 'the output'}: softmax of {logits}"
            if program.header.predict == "next-token"
            else f"each {'token' if program.header.outputs is None else 'output'} may come next if {logits} > 0"
        )
    if isinstance(statement, Mlp):
        return f"the model's own MLP of {_list(statement.inputs)}"
    if isinstance(statement, Harden):
        return f"the largest coordinate of {statement.input.text()} as one-hot"
    if isinstance(statement, Sharpen):
        return f"{statement.input.text()} to the power {number_text(statement.power)}, renormalised"
    if isinstance(statement, Pair):
        return f"{statement.first.text()} and {statement.second.text()} together"
    if isinstance(statement, Case):
        branches = (f"{formula.words()} if {statement.input.text()} is {label_text(label)}" for label, formula in statement.branches)
        return _bare("; ".join(branches))
    assert isinstance(statement, Compute)
    return "; ".join(_bare(formula.words()) for formula in statement.formulas)


def _bare(words: str) -> str:
    """Without brackets around the whole."""
    if not words.startswith("("):
        return words
    depth = 0
    for i, character in enumerate(words):
        depth += (character == "(") - (character == ")")
        if depth == 0 and i < len(words) - 1:
            return words
    return words[1:-1]


def _list(reads: tuple[Read, ...]) -> str:
    return ", ".join(read.text() for read in reads)


def _of_aggregate(program: Program, statement: Aggregate) -> str:
    value = statement.value.text()
    plain = BUILT_IN_NOUNS.get(value)
    what = f"share of each {plain}" if plain else f"average of {value}"
    if not statement.selectors:
        return f"{what} {'in the whole sequence' if program.header.bidirectional else 'so far'}"
    attended = " + ".join(statement.selectors)
    return f"{what} where {attended} attend{'s' if len(statement.selectors) == 1 else ''}"


def _of_operator(program: Program, statement: Bilinear) -> str:
    nouns, op = _nouns(program, statement), statement.op
    if isinstance(op, Dense):
        said = f"the opaque matrix {op.name}"
    elif isinstance(op, Sum) and (short := _short(statement, op, nouns)):
        return short
    else:
        said = op.words(nouns)
    if isinstance(statement, Select):
        return f"attend by {said}"
    if isinstance(statement, Project):
        return f"output by {said}"
    if isinstance(statement, Table):
        return f"of {statement.input.text()}: {said}"
    if isinstance(statement, Norm):
        return f"the norm of {_list(statement.inputs)} under {said}"
    return f"{statement.first.text()} against {statement.second.text()}: {said}"


def _short(statement: Bilinear, op: Sum, nouns: Nouns) -> str | None:
    """The caption of an operator that is one preference: "attend to the previous position"."""
    if len(op.terms) != 1 or op.terms[0].strength <= 0 or not isinstance(statement, Select | Project):
        return None
    term, constant = op.terms[0], op.constant
    selecting = isinstance(statement, Select)
    to = term.primitive.alone(nouns, selecting)
    return None if to is None else f"{'attend' if selecting else 'output'} {to}{_strength(term, constant)}"


def _strength(term: Term, constant: float) -> str:
    strength = "" if term.strength == HARD else number_text(term.strength)
    always = f"{number_text(constant)} always" if constant else ""
    said = "; ".join(part for part in (strength, always) if part)
    return f" ({said})" if said else ""


def _nouns(program: Program, statement: Bilinear) -> Nouns:
    if isinstance(statement, Select):
        row, column = _noun(program, statement.query, "query"), _noun(program, statement.key, "key")
        thing = BUILT_IN_NOUNS.get(statement.key.text())
        if thing and statement.query == statement.key:
            return Nouns(row, column, f"the same {thing}", thing)
        return Nouns(row, column, f"{column} that is {row}", thing if statement.query == ONE_READ else None)
    if isinstance(statement, Project):
        row = _noun(program, statement.input, "current")
        classes = program.header.outputs is not None
        column, thing = ("the output", "output") if classes else ("the output token", "token")
        return Nouns(row, column, row, thing if statement.input == ONE_READ else None)
    if isinstance(statement, Table):
        row = _noun(program, statement.input, "current")
        return Nouns(row, "the result", row, None)
    first, second = (statement.reads * 2)[:2] if isinstance(statement, Norm) else (statement.first, statement.second)
    row, column = _noun(program, first, "first"), _noun(program, second, "second")
    return Nouns(row, column, f"{column} that is {row}", None)


def _noun(program: Program, read: Read, place: str) -> str:
    """What a coordinate of a variable is called: "the query position", "the token in a1"."""
    kind = program.bases[read.variable].kind
    plain = BUILT_IN_NOUNS.get(read.text())
    thing = plain or f"{kind if kind in ('token', 'position') else 'coordinate'} in {read.text()}"
    return f"the {thing}" if place == "current" and not plain else f"the {place} {thing}"
