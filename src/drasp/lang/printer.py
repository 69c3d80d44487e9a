"""Program to text. What is printed is exactly what runs: it parses back to the same program."""

from collections.abc import Mapping, Sequence

from drasp.ir.labels import label_text, number_text
from drasp.ir.nodes import (
    ONE_READ,
    Aggregate,
    Case,
    Compare,
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
from drasp.ir.operators import Dense, Operator
from drasp.ir.primitives.primitive import Names
from drasp.ir.program import Header, Program
from drasp.lang.parser import NUMERAL, PREDICTION_FUNCTIONS

WIDEST = 100  # columns: a comment starts no later, except behind a line that is longer


def print_program(program: Program, comments: Mapping[str, str] | None = None) -> str:
    """The text of a program.

    Args:
        program: what to print.
        comments: for the names of statements, what stands behind them after `#`, in one column.
    """
    lines = [(statement_text(s, program.header), (comments or {}).get(s.name)) for s in program.statements]
    column = min(max((len(line) for line, comment in lines if comment), default=0), WIDEST) + 2
    body = [line if not comment else f"{line:<{column - 2}}  # {' '.join(comment.split())}" for line, comment in lines]
    return "\n".join([f"drasp {_version(program)}", *_header_lines(program.header), "", *body, ""])


def _version(program: Program) -> int:
    """The first version of the format that says all of it."""
    header = program.header
    return 1 if header.outputs is None and header.pad is None and all(map(_is_as_in_gpt2, program.statements)) else 2


def _header_lines(header: Header) -> list[str]:
    numbers = {token: int(token) for token in (*header.vocabulary, *header.predicted) if NUMERAL.fullmatch(token)}
    lines = [f"vocabulary {_tokens_text(header.vocabulary, numbers)}"]
    if header.outputs is not None:
        lines.append(f"outputs {_tokens_text(header.outputs, numbers)}")
    lines += [f"positions {header.positions}", f"predict {header.predict}"]
    if header.order is not None:
        lines.append(f"order {_tokens_text(header.order, {token: i for i, token in enumerate(header.vocabulary)})}")
    if header.bidirectional:
        lines.append("attention bidirectional")
    if header.pad is not None:
        lines.append(f"pad {label_text(header.pad)}")
    return lines


def _tokens_text(tokens: Sequence[str], places: Mapping[str, int]) -> str:
    """Tokens side by side; a run of at least three whose places follow each other is a range."""
    words = []
    start = 0
    while start < len(tokens):
        end = start
        while end + 1 < len(tokens) and tokens[end] in places and places.get(tokens[end + 1]) == places[tokens[end]] + 1:
            end += 1
        first, last = label_text(tokens[start]), label_text(tokens[end])
        if end - start >= 2 and first.startswith('"') and last.startswith('"'):
            words.append(f"{first}..{last}")
        else:
            end = start
            words.append(first)
        start = end + 1
    return " ".join(words)


def statement_text(statement: Statement, header: Header) -> str:
    """One line of a program."""
    return f"{statement.name} = {_value_text(statement, header)}"


def _value_text(statement: Statement, header: Header) -> str:
    if isinstance(statement, Select):
        query = "" if statement.query == ONE_READ else f"q={statement.query.text()}, "
        return f"select({query}k={statement.key.text()}, op={_operator_text(statement.op, statement.sides)})"
    if isinstance(statement, Aggregate):
        return f"aggregate(s={'+'.join(statement.selectors) or '[]'}, v={statement.value.text()})"
    if isinstance(statement, Project):
        variable = "" if statement.input == ONE_READ else f"inp={statement.input.text()}, "
        return f"project({variable}op={_operator_text(statement.op, statement.sides)})"
    if isinstance(statement, Norm):
        return f"norm({_inputs_text(statement)}, op={_operator_text(statement.op, statement.sides)})"
    if isinstance(statement, Mlp):
        act, norm = (f", {name}={value}" if value != getattr(Mlp, name) else "" for name, value in _kinds(statement))
        return f"mlp({_inputs_text(statement)}, op={statement.op}{act}{norm})"
    if isinstance(statement, Table):
        return f"table({statement.input.text()}, op={_operator_text(statement.op, statement.sides)})"
    if isinstance(statement, Harden):
        return f"harden({statement.input.text()})"
    if isinstance(statement, Sharpen):
        return f"sharpen({statement.input.text()}, {number_text(statement.power)})"
    if isinstance(statement, Pair):
        return f"pair({statement.first.text()}, {statement.second.text()})"
    if isinstance(statement, Compare):
        op = _operator_text(statement.op, statement.sides)
        return f"compare({statement.first.text()}, {statement.second.text()}, op={op})"
    if isinstance(statement, Compute):
        formulas = [formula.text() for formula in statement.formulas]
        return formulas[0] if len(formulas) == 1 else f"[{', '.join(formulas)}]"
    if isinstance(statement, Case):
        branches = ", ".join(f"{label_text(label)}: {formula.text()}" for label, formula in statement.branches)
        return f"case({statement.input.text()}, {{{branches}}})"
    assert isinstance(statement, Prediction)
    return f"{PREDICTION_FUNCTIONS[header.predict]}({' + '.join(statement.logits) or '0'})"


def _inputs_text(statement: Norm | Mlp) -> str:
    return ", ".join(read.text() for read in statement.inputs)


def _kinds(statement: Mlp) -> tuple[tuple[str, str], tuple[str, str]]:
    """The activation and the norm, which stand in the text where they are not those of GPT-2."""
    return ("act", statement.act), ("norm", statement.norm)


def _is_as_in_gpt2(statement: Statement) -> bool:
    return not isinstance(statement, Mlp) or all(value == getattr(Mlp, name) for name, value in _kinds(statement))


def _operator_text(op: Operator, names: Names) -> str:
    return op.name if isinstance(op, Dense) else op.text(names)
