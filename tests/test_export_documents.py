"""The LaTeX and Markdown that are exported: compiled and rendered."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt

from drasp.ir.nodes import TOKEN, Aggregate, Prediction, Project, Read, Select
from drasp.ir.operators import Dense, Sum, Term
from drasp.ir.primitives.tables import Relation
from drasp.ir.program import Header, Program
from drasp.lang.folder import load_program
from drasp.lang.parser import parse
from drasp.view.exports.latex import to_latex
from drasp.view.exports.latex_figure import to_latex_figure
from drasp.view.exports.markdown import to_markdown
from drasp.view.exports.python import to_python
from drasp.view.notebook.html import program_html
from drasp.view.terminal import all_evidence
from sample_evidence import LANGUAGE, sample_evidence
from small_models import header, random_transformer
from strategies import programs

EXAMPLE = load_program(Path(__file__).parent.parent / "examples" / "tomita4.drasp")
HOSTILE = (
    "|",
    "`",
    "```",
    "\\",
    "<script>alert(1)</script>",
    "</style>",
    "{}",
    "$x^2$",
    "%",
    "#",
    "&amp;",
    "_a_",
    "~",
    "\n",
    "  ",
    "é😀",
    "'",
    "w" * 200,
)


def hostile_program() -> Program:
    relation = Sum((Term(8.0, Relation(tuple((token, (token,)) for token in HOSTILE))),), -4.0)
    statements = (
        Select("s", TOKEN, TOKEN, relation),
        Aggregate("x", ("s",), TOKEN),
        Project("l", Read("x"), Dense("W")),
        Prediction(("l",)),
    )
    return Program(Header(HOSTILE, 20, "next-token"), statements, {"W": np.random.default_rng(0).normal(size=(len(HOSTILE),) * 2)})


def rendered(text: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(text))


def compiled(text: str, folder: Path) -> bytes:
    """The PDF; the test is skipped where there is no LaTeX."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed: it comes with texlive-latex-base")
    (folder / "program.tex").write_text(text, encoding="ascii")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "program.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    return (folder / "program.pdf").read_bytes()


@pytest.mark.parametrize("program", [EXAMPLE, hostile_program()], ids=("example", "hostile"))
def test_latex_compiles(program: Program, tmp_path: Path) -> None:
    text = to_latex(program, sample_evidence(program, 'a_task {with} 50% "quotes" & \\'))
    assert compiled(text, tmp_path).startswith(b"%PDF")
    assert "Overfull \\hbox" not in (tmp_path / "program.log").read_text(errors="replace")


@pytest.mark.parametrize("booktabs", ["", "\\usepackage{booktabs}"], ids=("plain", "booktabs"))
@pytest.mark.parametrize("program", [EXAMPLE, hostile_program()], ids=("example", "hostile"))
def test_a_paper_takes_a_figure_in(program: Program, booktabs: str, tmp_path: Path) -> None:
    if (
        booktabs
        and shutil.which("kpsewhich")
        and subprocess.run(["kpsewhich", "booktabs.sty"], capture_output=True, check=False).returncode
    ):
        pytest.skip("booktabs is not installed: it comes with texlive-latex-recommended")
    (tmp_path / "with.tex").write_text(to_latex_figure(program, sample_evidence(program, "A task_{1}!")), encoding="ascii")
    (tmp_path / "without.tex").write_text(to_latex_figure(program), encoding="ascii")
    paper = "\\documentclass{article}" + booktabs + "\\begin{document}\\input{with}\\input{without}\\end{document}"
    assert compiled(paper, tmp_path).startswith(b"%PDF")
    assert "Overfull \\hbox" not in (tmp_path / "program.log").read_text(errors="replace")
    labels = (tmp_path / "program.aux").read_text()
    assert all(f"\\newlabel{{{name}}}" in labels for name in ("fig:drasp-a-task-1", "tab:drasp-a-task-1", "fig:drasp", "tab:drasp"))


def test_the_figure_says_what_was_found() -> None:
    text = to_latex_figure(EXAMPLE, sample_evidence(EXAMPLE))
    assert "\ndecompiled & 5 & 0 & 9 & 0.999 & 0.500 & 0.500 \\\\\n" in text
    assert text.count("\\makebox[6mm][r]") == len(EXAMPLE.statements)
    assert "Decompiled: it predicts what the model predicts" in text


def test_latex_of_a_whole_lifted_model_compiles(tmp_path: Path) -> None:
    from drasp.rewrite.lift import lift

    model = random_transformer(1, 2, 0)
    assert compiled(to_latex(lift(model, header(model))), tmp_path).startswith(b"%PDF")


@settings(max_examples=30)
@given(programs())
def test_latex_is_ascii_and_its_braces_close(program: Program) -> None:
    text = re.sub(r"\\[\\{}]", "", to_latex(program))
    assert text.isascii()
    assert text.count("{") == text.count("}")


@settings(max_examples=60)
@given(programs())
def test_the_listing_in_markdown_is_the_program(program: Program) -> None:
    (block,) = [token for token in MarkdownIt("commonmark").parse(to_markdown(program)) if token.type == "fence"]
    assert parse(block.content, program.operators) == program


def test_markdown_renders_with_tables_of_evidence() -> None:
    page = rendered(to_markdown(EXAMPLE, sample_evidence(EXAMPLE, "a_task*with* | `marks` <b>")))
    assert page.count("<table>") == 1
    assert "<td>a_task*with* | `marks` &lt;b&gt;</td>" in page
    assert "<td>0.9987 [0.9979, 0.9992] at 0-50, 0.5000 [0.9979, 0.9992] at 51-100</td>" in page
    assert "attend to the previous position (10) (behaviour only; without it 0.62 of predictions stay)" in page


def test_hostile_tokens_are_text_in_markdown() -> None:
    page = rendered(to_markdown(hostile_program()))
    assert page.count("<pre>") == 1
    assert "<script>" not in page


def test_hostile_evidence_stays_in_the_docstring() -> None:
    space: dict[str, object] = {}
    exec(to_python(EXAMPLE, sample_evidence(EXAMPLE, '"""\\" \\N{x}')), space)
    assert '"""\\" \\N{x}' in str(space["__doc__"])
    assert "decompiled" in str(space["__doc__"])


@pytest.mark.parametrize("write", [to_python, to_latex, to_markdown, all_evidence, lambda *given: program_html(*given)])
def test_every_kind_of_evidence_is_in_every_format(write) -> None:
    said = " ".join(html.unescape(write(EXAMPLE, sample_evidence(EXAMPLE))).split()).replace("{-}", "-").replace("\\", "")
    for words in (
        "behaviour only",
        "exactly alike",
        "random strings",
        "for head 0.1",
        "not faithful",
        "of predictions stay",
        "its budget ran out",
    ):
        assert words in said
    said = " ".join(write(EXAMPLE, sample_evidence(EXAMPLE, language=LANGUAGE, gaps=())).split())
    assert "of all 9 sequences" in said
