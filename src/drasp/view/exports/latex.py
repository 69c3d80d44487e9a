"""A program as a LaTeX document: the listing with captions, its operators as a figure, the evidence as a table.

It needs `color`, `geometry`, `graphicx` and `longtable`. Characters outside ASCII, which plain LaTeX cannot be trusted to know, are
written as JSON writes them (`\\u00e9`), which means the same token in D-RASP.
"""

import json
import re
from collections.abc import Sequence

from drasp.evidence.kind import Row
from drasp.evidence.schema import Evidence
from drasp.ir.basis import Basis
from drasp.ir.labels import label_text
from drasp.ir.nodes import Bilinear, Table
from drasp.ir.program import Program, sides
from drasp.lang.printer import print_program
from drasp.view.facts import facts, notes, pairs

SHOWN = 16  # rows and columns of an operator at the most
PER_FIGURE = 6  # operators
CELL = 2.6  # millimetres
LABEL_LENGTH = 12  # characters of a coordinate's name
WORD_LENGTH = 40  # characters after which a line may break where there is no space


def to_latex(program: Program, evidence: Evidence | None = None) -> str:
    """The document's text, ASCII only."""
    rows = facts(program, evidence)
    lines = [_START, *_listing(program, rows), "\\section*{Evidence}", "", *_table(pairs(rows))]
    operators = [statement for statement in program.statements if isinstance(statement, Bilinear)]
    for start in range(0, len(operators), PER_FIGURE):
        lines += ["", *_figure(program, operators[start : start + PER_FIGURE])]
    return "\n".join([*lines, "", "\\end{document}", ""])


def _listing(program: Program, rows: Sequence[Row]) -> list[str]:
    """Header lines, then each statement with what it does and what is known of it below."""
    text = print_program(program).rstrip("\n").split("\n")
    header, body = text[: text.index("")], text[text.index("") + 1 :]
    said = notes(program, rows)
    lines = ["\\section*{Program}", "", *(f"\\statement{{{escaped(line)}}}" for line in header), "\\medskip", ""]
    for line, statement in zip(body, program.statements, strict=True):
        lines += [f"\\statement{{{escaped(line)}}}", f"\\captionline{{{escaped(said[statement.name])}}}"]
    return [*lines, ""]


def _table(rows: Sequence[tuple[str, str]]) -> list[str]:
    body = (f"\\raggedright {escaped(name)} & \\raggedright {escaped(value)} \\tabularnewline" for name, value in rows)
    return ["\\noindent\\begin{longtable}{@{}p{0.32\\linewidth}p{0.64\\linewidth}@{}}", *body, "\\end{longtable}"]


def _figure(program: Program, operators: Sequence[Bilinear]) -> list[str]:
    pictures = []
    for statement in operators:
        pictures += ["\\begin{minipage}[t]{0.48\\linewidth}\\centering", *_picture(program, statement), "\\end{minipage}\\hfill"]
    what = "Operators: rows are what is looked from, columns what is looked at or put out; blue is positive, red negative"
    return ["\\begin{figure}[htbp]", *pictures, f"\\caption{{{escaped(what)}.}}", "\\end{figure}", "\\clearpage"]


def _picture(program: Program, statement: Bilinear) -> list[str]:
    """A heat map; of a large operator the first rows and columns."""
    matrix = program.matrix(statement.name)
    shown = matrix[:SHOWN, :SHOWN]
    rows, columns = sides(statement, program.bases, program.header)
    if isinstance(statement, Table):
        columns = program.bases[statement.name]
    high, wide = shown.shape
    largest = max(float(abs(shown).max(initial=0)), 1e-300)
    up, left = CELL * high, CELL * 9
    lines = [f"\\setlength{{\\unitlength}}{{1mm}}\\begin{{picture}}({left + CELL * wide:.1f},{up + CELL * 9:.1f})"]
    for i in range(high):
        y = up - CELL * (i + 1)
        lines.append(f"\\put({left - 1:.1f},{y + 0.7:.1f}){{\\makebox(0,0)[br]{{\\tiny {_name(program, rows, i)}}}}}")
        for j in range(wide):
            share = float(shown[i, j]) / largest
            if abs(share) >= 0.005:
                lines.append(f"\\put({left + CELL * j:.1f},{y:.1f}){{\\color[rgb]{{{_colour(share)}}}\\rule{{{CELL}mm}}{{{CELL}mm}}}}")
    for j in range(wide):
        x = left + CELL * (j + 0.5)
        lines.append(f"\\put({x:.1f},{up + 1:.1f}){{\\rotatebox{{90}}{{\\makebox(0,0)[l]{{\\tiny {_name(program, columns, j)}}}}}}}")
    lines += [f"\\put({left:.1f},0){{\\framebox({CELL * wide:.1f},{up:.1f}){{}}}}", "\\end{picture}", ""]
    cut = f", the first {high} x {wide} of {matrix.shape[0]} x {matrix.shape[1]}" if matrix.shape != shown.shape else ""
    return [*lines, f"{{\\footnotesize\\texttt{{{escaped(statement.name)}}}: largest {largest:.4g}{cut}\\par\\bigskip}}"]


def _colour(share: float) -> str:
    """Red, green, blue: the larger, the darker."""
    pale = 1 - abs(share)
    if share > 0:
        return f"{0.9 * pale:.2f},{0.35 + 0.6 * pale:.2f},{0.75 + 0.25 * pale:.2f}"
    return f"{0.8 + 0.2 * pale:.2f},{0.9 * pale:.2f},{0.9 * pale:.2f}"


def _name(program: Program, basis: Basis, index: int) -> str:
    text = label_text(program.header.axis(basis).label(index))
    return escaped(text if len(text) <= LABEL_LENGTH else text[: LABEL_LENGTH - 3] + "...")


_SPECIAL = {
    "\\": "\\textbackslash{}",
    "{": "\\{",
    "}": "\\}",
    "$": "\\$",
    "&": "\\&",
    "#": "\\#",
    "%": "\\%",
    "_": "\\_",
    "^": "\\textasciicircum{}",
    "~": "\\textasciitilde{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\texttt{\\char34}",
    "'": "\\texttt{\\char13}",
    "`": "\\texttt{\\char18}",
    "-": "{-}",
    "\0": "\\allowbreak{}",
}


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is."""
    characters = "".join(c if " " <= c <= "~" else json.dumps(c)[1:-1] for c in text)
    breakable = re.sub(rf"(\S{{{WORD_LENGTH}}})", "\\1\0", characters)
    escaped = "".join(_SPECIAL.get(character, character) for character in breakable)
    return re.sub(" (?= )", r"\\ ", escaped)


_START = r"""% Written by drasp; compiles with pdflatex.
\documentclass{article}
\usepackage{color}
\usepackage{graphicx}
\usepackage{longtable}
\usepackage[margin=25mm]{geometry}
\setlength{\parindent}{0pt}
\raggedright
\frenchspacing
\newcommand{\statement}[1]{\par\smallskip\hangindent=8mm\hangafter=1{\ttfamily\small #1}\par}
\newcommand{\captionline}[1]{\hangindent=8mm\hangafter=0{\footnotesize\itshape #1}\par}
\begin{document}
"""
