"""How programs, decompilations and traces show themselves: HTML and plots."""

import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from drasp.decompilation import Decompilation
from drasp.errors import DraspError
from drasp.ir.nodes import TOKEN, Aggregate, Prediction, Project, Read, Select
from drasp.ir.operators import HARD, Sum, Term
from drasp.ir.primitives.comparison import Comparison
from drasp.ir.primitives.index import Index
from drasp.ir.program import Header
from drasp.program import Program, load_program
from sample_evidence import sample_evidence

EXAMPLE = load_program(Path(__file__).parent.parent / "examples" / "tomita4.drasp")
HOSTILE = ("<script>alert(1)</script>", "</style>", '"', "'", "&lt;", "$x", "\n", "é😀", "עברית", "w" * 200)


class Reader(HTMLParser):
    """The tags and the text of a fragment."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_program() -> Program:
    same = Sum((Term(HARD, Comparison(Index("column"), "==", Index("row"))),))
    statements = (Select("s", TOKEN, TOKEN, same), Aggregate("x", ("s",), TOKEN), Project("l", Read("x"), same), Prediction(("l",)))
    return Program(Header(HOSTILE, 20, "next-token"), statements)


def test_a_program_shows_its_lines_captions_and_size() -> None:
    read = Reader(EXAMPLE._repr_html_())
    assert not read.open
    assert "s1 = select(q=pos, k=pos, op=10*(k == q - 1))  # attend to the previous position (10)" in read.text
    assert "5 statements, 0 of them opaque, 9 numbers" in read.text


def test_a_decompilation_shows_the_evidence_too() -> None:
    read = Reader(Decompilation(EXAMPLE, sample_evidence(EXAMPLE), ())._repr_html_())
    assert not read.open
    assert "without it 0.62 of predictions stay)" in read.text
    assert "0.9987 [0.9979, 0.9992] at 0-50" in read.text


def test_hostile_tokens_are_text_in_a_notebook() -> None:
    program = hostile_program()
    evidence = sample_evidence(program, "<img src=x onerror=alert(1)>")
    for html in (Decompilation(program, evidence, ())._repr_html_(), program.trace(HOSTILE)._repr_html_()):
        read = Reader(html)
        assert not read.open
        assert not {"script", "style", "img"} & set(read.tags)
        assert "<script>alert(1)</script>" in read.text


def test_a_trace_shows_a_row_for_each_position() -> None:
    read = Reader(EXAMPLE.trace("<bos> 1 0")._repr_html_())
    assert read.tags.count("tr") == 4
    assert "{0, 1, <eos>}" in read.text


def test_attention_is_plotted_as_a_map_for_each_aggregate() -> None:
    pytest.importorskip("matplotlib")
    trace = EXAMPLE.trace("<bos> 1 0")
    figure = trace.plot_attention()
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), trace.attention["a1"])
    assert figure.axes[0].get_title() == "a1: s1"
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["<bos>", "1", "0"]


def test_a_variable_is_plotted_without_coordinates_that_stay_zero() -> None:
    pytest.importorskip("matplotlib")
    axes = EXAMPLE.trace("<bos> 1 0").plot_variable("a1").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ['"1"', "<bos>"]
    assert axes.images[0].get_array().shape == (2, 3)


def test_a_plot_is_a_picture_in_a_notebook_and_is_never_shown_by_force() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    figure = EXAMPLE.trace("<bos> 1 0").plot_variable("logits1")
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert isinstance(figure, matplotlib.figure.Figure)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")  # the font lacks some of these letters
def test_hostile_tokens_are_plotted() -> None:
    pytest.importorskip("matplotlib")
    trace = hostile_program().trace(HOSTILE)
    for figure in (trace.plot_attention(), trace.plot_variable("x")):
        assert figure._repr_png_()


def test_what_cannot_be_plotted_is_said() -> None:
    trace = EXAMPLE.trace("<bos>")
    with pytest.raises(DraspError, match="there is no aggregate m1; there are a1"):
        trace.plot_attention("m1")
    with pytest.raises(DraspError, match="there is no variable s1"):
        trace.plot_variable("s1")
    with pytest.raises(DraspError, match="attention is uniform everywhere"):
        EXAMPLE.without("s1").trace("<bos>").plot_attention()


def test_without_matplotlib_plots_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DraspError, match=r"plots need matplotlib, which is not installed: pip install 'drasp\[plots\]'"):
        EXAMPLE.trace("<bos>").plot_attention()
