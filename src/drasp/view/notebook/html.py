"""HTML for notebooks: self-contained fragments that can be read on a light and on a dark ground, without scripts. Everything is escaped."""

from collections.abc import Sequence
from html import escape

from drasp.evidence.schema import Evidence
from drasp.ir.nodes import Aggregate, Prediction, Project, Select, Statement
from drasp.ir.program import Program
from drasp.lang.printer import print_program
from drasp.run.trace import SequenceTrace
from drasp.view.facts import facts, notes, pairs

# Of middling lightness: at least 3.5 to 1 against white and against a dark grey.
_SELECTOR, _AVERAGE, _ELEMENTWISE, _OUTPUT = "#2f7fd6", "#0f8f6b", "#b06a1c", "#a259c4"
_TABLE = "border-collapse:collapse;margin:.4em 0;color:inherit;background:none"
_CELL = "text-align:left;padding:.15em .8em .15em 0;border:0;vertical-align:top;color:inherit;background:none"


def program_html(program: Program, evidence: Evidence | None = None) -> str:
    """The program, a line each with its caption, and the facts about it."""
    text = print_program(program).rstrip("\n").split("\n")
    header, body = text[: text.index("")], text[text.index("") + 1 :]
    about = facts(program, evidence)
    said = notes(program, about)
    rows = [f'<div style="opacity:.7">{escape(line)}</div>' for line in header]
    rows.append("<br>")
    for line, statement in zip(body, program.statements, strict=True):
        name, rest = line.split(" = ", 1)
        rows.append(
            f'<div><b style="color:{_colour(statement)}">{escape(name)}</b> = {escape(rest)}'
            f'<span style="opacity:.7;font-style:italic">  # {escape(said[statement.name])}</span></div>'
        )
    style = "font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.5"
    return f'<div style="{style}">{"".join(rows)}</div>{_facts(pairs(about))}'


def trace_html(trace: SequenceTrace) -> str:
    """A row for each position: token, variables, prediction."""
    names = [*trace.variables, *trace.projections]
    head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in ("position", "token", *names, "prediction"))
    rows = []
    for index, token in enumerate(trace.tokens):
        cells = [str(trace.positions[index]), token, *(trace.values_text(name, index) for name in names), trace.predicted(index)]
        rows.append("<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in cells) + "</tr>")
    body = "".join(rows)
    return f'<div style="overflow-x:auto"><table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    cells = (
        f'<tr><th style="{_CELL};white-space:nowrap">{escape(name)}</th><td style="{_CELL}">{escape(value)}</td></tr>'
        for name, value in rows
    )
    return f'<table style="{_TABLE}"><tbody>{"".join(cells)}</tbody></table>'


def _colour(statement: Statement) -> str:
    if isinstance(statement, Select):
        return _SELECTOR
    if isinstance(statement, Aggregate):
        return _AVERAGE
    return _OUTPUT if isinstance(statement, Project | Prediction) else _ELEMENTWISE
