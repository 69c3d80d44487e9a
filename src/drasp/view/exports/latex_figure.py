r"""A program to be `\input` into a paper: the listing as a float, and its figures as a table of one row.

The rules of the table are those of `booktabs` where that is loaded. Characters outside ASCII are written as in `drasp.view.exports.latex`.
"""

import re

from drasp.core.intervals import Share
from drasp.evidence.schema import Evidence
from drasp.ir.program import Program
from drasp.ir.size import size
from drasp.lang.printer import print_program
from drasp.view.exports.latex import escaped
from drasp.view.facts import facts, notes
from drasp.view.verdict import verdict

DIGITS = 3  # of a share


def to_latex_figure(program: Program, evidence: Evidence | None = None) -> str:
    """The text, ASCII only. Its labels are `fig:drasp-TASK` and `tab:drasp-TASK`; without evidence `fig:drasp` and `tab:drasp`."""
    label = "drasp" if evidence is None else "drasp-" + re.sub("[^a-z0-9]+", "-", str(evidence.settings["task"]).lower()).strip("-")
    return "\n".join([_START, *_figure(program, evidence, label), "", *_table(program, evidence, label), ""])


def _figure(program: Program, evidence: Evidence | None, label: str) -> list[str]:
    text = print_program(program).rstrip("\n").split("\n")
    body, said = text[text.index("") + 1 :], notes(program, facts(program, evidence))
    lines = ["\\begin{figure}[htbp]", "\\raggedright\\frenchspacing\\small"]
    for number, (line, statement) in enumerate(zip(body, program.statements, strict=True), 1):
        lines.append(f"{_HANGING}\\makebox[6mm][r]{{\\scriptsize {number}}}\\hspace{{2mm}}{{\\ttfamily {escaped(line)}}}\\par")
        lines.append(f"{_HANGING}\\hspace*{{8mm}}{{\\footnotesize\\itshape {escaped(said[statement.name])}}}\\par")
    found = "" if evidence is None else f" {_sentence(verdict(program, evidence))}"
    return [
        *lines,
        f"\\caption{{A program in D-RASP~\\cite{{huang2026discovering}}.{found}}}",
        f"\\label{{fig:{label}}}",
        "\\end{figure}",
    ]


def _table(program: Program, evidence: Evidence | None, label: str) -> list[str]:
    counted = size(program)
    sizes = [("statements", f"{counted.statements}"), ("opaque", f"{counted.opaque}"), ("numbers", f"{counted.numbers}")]
    groups: list[tuple[str, list[tuple[str, str]]]] = [("", sizes)]
    if evidence is not None:
        groups = [("", [("verdict", escaped(evidence.verdict)), *sizes])]
        if evidence.match is not None:
            groups.append(("match", [(f"{s.lengths[0]}--{s.lengths[1]}", _share(s)) for s in evidence.match.bands]))
        if evidence.model_task is not None:
            groups.append(("model", [("worst", _share(min(evidence.model_task.bands, key=lambda share: share.accuracy)))]))
    columns = [column for _, each in groups for column in each]
    return [
        "\\begin{table}[htbp]",
        "\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}",
        f"\\begin{{tabular}}{{{'c' * len(columns)}}}",
        "\\toprule",
        " & ".join(f"\\multicolumn{{{len(each)}}}{{c}}{{{name}}}" for name, each in groups) + " \\\\",
        " & ".join(name for name, _ in columns) + " \\\\",
        "\\midrule",
        " & ".join(value for _, value in columns) + " \\\\",
        "\\bottomrule",
        "\\end{tabular}",
        f"\\caption{{{'The size of the program.' if evidence is None else _WHAT}}}",
        f"\\label{{tab:{label}}}",
        "\\end{table}",
    ]


def _share(share: Share) -> str:
    return f"{share.accuracy:.{DIGITS}f}"


def _sentence(text: str) -> str:
    """As it is set in running text, where an apostrophe is one."""
    return escaped(text[:1].upper() + text[1:]).replace(escaped("'"), "'")


_HANGING = "\\hangindent=8mm\\hangafter=1\\noindent"
_WHAT = (
    "The size of the program; the share of sequences, by length, on which it predicts what the model predicts at all scored positions "
    "(match), and on which the model is right at the worst lengths (model)."
)
_START = r"""% Written by drasp, for \input; looks best with \usepackage{booktabs}. For the bibliography:
%   @article{huang2026discovering,
%     title = {Discovering Interpretable Algorithms by Decompiling Transformers to {RASP}},
%     author = {Huang and others}, year = {2026}, eprint = {2602.08857}, archivePrefix = {arXiv}}
\providecommand{\toprule}{\hline}\providecommand{\midrule}{\hline}\providecommand{\bottomrule}{\hline}
"""
