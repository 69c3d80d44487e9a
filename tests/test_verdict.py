"""The verdict: what it hangs on, and that all that shows it says why it is no better."""

from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from drasp.core.intervals import Banded, Share
from drasp.evidence.verdict import verdict
from drasp.lang.folder import load_program
from drasp.search.settings import Settings
from drasp.view.exports.latex import to_latex
from drasp.view.exports.markdown import to_markdown
from drasp.view.exports.python import to_python
from drasp.view.facts import shortfalls
from drasp.view.notebook.html import program_html
from drasp.view.report.page import report
from drasp.view.terminal import all_evidence
from sample_evidence import ATTENTION, INTERCHANGE, sample_evidence

PROGRAM = load_program(Path(__file__).parent.parent / "examples" / "tomita4.drasp")
FAR = replace(ATTENTION.attentions[0], total_variation=0.5, close=False, faithful=False)
HOLDS, MOVED = (replace(INTERCHANGE, variables=(replace(INTERCHANGE.variables[0], faithful=kept),)) for kept in (True, False))
FAILS = replace(ATTENTION, attentions=(FAR,), faithful=False)


def _match(right):
    found = Banded.of([((0, 50), 1000, 1000), ((51, 100), right, 1000)])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("right", "attention", "interchange", "asked", "expected"),
    [
        (1000, ATTENTION, HOLDS, {}, "decompiled"),
        (1000, FAILS, HOLDS, {}, "imitated"),
        (1000, None, HOLDS, {}, "imitated"),
        (1000, ATTENTION, MOVED, {}, "imitated"),
        (1000, ATTENTION, None, {}, "imitated"),
        (950, ATTENTION, MOVED, {}, "imitated below"),
        (950, ATTENTION, HOLDS, {}, "decompiled below"),
        (950, FAILS, HOLDS, {}, "imitated below"),
        (800, ATTENTION, HOLDS, {}, "decompiled below"),  # .9 of all lengths together
        (799, ATTENTION, HOLDS, {}, "not decompiled"),
        (950, ATTENTION, HOLDS, {"least": 1.0}, "not decompiled"),
        (950, ATTENTION, HOLDS, {"match": 0.9}, "decompiled"),
        (1000, ATTENTION, HOLDS, {"numbers": 1}, "pruned"),
        (950, ATTENTION, HOLDS, {"numbers": 1}, "not decompiled"),
        (1000, ATTENTION, HOLDS, {"statements": 1}, "not decompiled"),
    ],
)
def test_the_verdict_hangs_on_match_size_attention_and_interchange(right, attention, interchange, asked, expected):
    assert verdict(PROGRAM, _match(right), attention, interchange, Settings(**asked)) == expected


def test_without_match_there_is_no_verdict():
    assert verdict(PROGRAM, None, ATTENTION, HOLDS, Settings()) == "not decompiled"


SHOWN = "that of a1 (uniform) is not (for head 0.0, 0.1: total variation 0.500; in its place the model predicts the same on 0.999"
BELOW = "match is 0.9312 at the least, in the worst length band, and not the 0.99 asked for"


def _plain(text):
    """Without what HTML, Markdown and LaTeX escape, and in one line."""
    return " ".join(unescape(text).replace("\\texttt{\\char13}", "'").replace("\\", "").replace("{-}", "-").replace("{}", "").split())


SHOWS = [all_evidence, program_html, to_markdown, to_latex, to_python, lambda program, evidence: report(program, evidence, "run")]


@pytest.mark.parametrize("show", SHOWS)
def test_what_falls_short_is_said_wherever_the_evidence_is_shown(show):
    evidence = sample_evidence(PROGRAM, verdict="imitated below", attention=FAILS, matched_at=0.9312)
    shown = _plain(show(PROGRAM, evidence))
    assert "imitated below" in shown
    sentence = "it is short and predicts what the model predicts on 0.9312 of the sequences at the least, where 0.99 was asked, but the "
    sentence += "attention of a1 is not the model's and a1 is not what the model's heads hold"
    assert sentence in shown or f"I{sentence[1:]}" in shown
    assert SHOWN in shown
    assert BELOW in shown or BELOW.capitalize() in shown


@pytest.mark.parametrize("show", SHOWS)
def test_what_is_trivial_is_said_wherever_the_evidence_is_shown(show):
    asked = {"task": "tomita4", "match": 0.4}
    shown = _plain(show(PROGRAM, sample_evidence(PROGRAM, settings=asked)))
    assert "the model is a constant: the best matches it on 0.9987" in shown


def test_nothing_is_said_where_nothing_falls_short():
    assert shortfalls(sample_evidence(PROGRAM)) == []


def test_attention_that_fits_and_is_not_all_of_the_models_is_said():
    missing = replace(ATTENTION, together=Share.of((0, 50), 10, 100), faithful=False)
    (text,) = shortfalls(sample_evidence(PROGRAM, verdict="imitated", attention=missing, interchange=HOLDS))
    assert text.startswith(
        "not all of the model's attention is in the program: all of it in place, other heads ablated, the model predicts the same on 0.100"
    )


def test_an_average_that_is_not_what_the_heads_hold_is_said():
    (text,) = shortfalls(sample_evidence(PROGRAM, verdict="imitated", interchange=MOVED))
    assert text.startswith("not all of its averages are what the model's heads hold: a1 (both predict the same after ")
