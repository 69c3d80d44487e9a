"""What `drasp show` prints first: a summary that fits a screen, and a listing that no terminal of 80 columns breaks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from drasp.core.intervals import Banded, Share
from drasp.evidence.conventions import Conventions
from drasp.evidence.kind import Baseline
from drasp.evidence.schema import Evidence, FrontierEntry, Gap, ModelInfo
from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.view.advice import advice
from drasp.view.summary import summary
from drasp.view.terminal import all_evidence, listing, terminal
from drasp.view.verdict import verdict
from sample_evidence import ATTENTION, BANDED, INTERCHANGE, SHARE, sample_evidence
from strategies import programs

HEADER = """drasp 1
vocabulary "a" "b" <bos> <sep> <eos> <pad>
positions 152
predict next-token-set

"""
PROGRAM = parse(
    HEADER
    + """s1 = select(q=token, k=token, op={"a": {<bos>: 1.2}})
a1 = aggregate(s=s1, v=token)
m1 = [a1["b"] - 5*a1["a"] + token["b"] + 2, 3*a1["a"] - a1["b"] - token["b"] - token[<bos>]]
logits1 = project(inp=m1, op={0: {"a": 1}, 1: {"b": 1, <eos>: -1}})
prediction = sigmoid(logits1)
"""
)
LONG = parse(
    HEADER
    + "".join(f"s{i} = select(q=pos, k=pos, op={i}*(k == q - {i}))\n" for i in range(1, 31))
    + f"a1 = aggregate(s={'+'.join(f's{i}' for i in range(1, 31))}, v=token)\n"
    + "logits1 = project(inp=a1, op=(out == inp))\nprediction = sigmoid(logits1)\n"
)
OPAQUE = parse(
    HEADER + "logits1 = project(inp=token, op=W)\nprediction = sigmoid(logits1)\n",
    {"W": np.random.default_rng(0).normal(size=(6, 6))},
)
HOLDS = replace(INTERCHANGE, variables=(replace(INTERCHANGE.variables[0], faithful=True),))
FAR = replace(ATTENTION, attentions=(replace(ATTENTION.attentions[0], faithful=False),), faithful=False)
MISSING = replace(ATTENTION, faithful=False)
UNKNOWN = (Gap("attention", "no time"), Gap("interchange", "no time"))
SELDOM = Share.of((0, 50), 1, 100)
LITTLE = Baseline(*(Banded(SELDOM, (SELDOM,)),) * 2)
SAMPLES: list[dict[str, Any]] = [
    {},
    {"attention": FAR, "verdict": "imitated", "all_inputs": True, "right": BANDED},
    {"attention": None, "interchange": None, "gaps": UNKNOWN, "verdict": "imitated below"},
    {"match": None, "verdict": "not decompiled", "reason": f"match could not be measured: {'no budget ' * 99}"},
    {"verdict": "not decompiled", "stopped_by_time": True, "conventions": Conventions(0.1, "from position 0", 0.9)},
    {"verdict": "pruned", "interrupted": True},
]


@pytest.mark.parametrize("program", [PROGRAM, LONG, OPAQUE])
@pytest.mark.parametrize("changed", SAMPLES)
def test_a_summary_fits_fifteen_lines_of_eighty_columns_and_breaks_no_word(program: Program, changed: dict[str, Any]) -> None:
    evidence = sample_evidence(program, **changed)
    lines = summary(program, evidence)
    assert len(lines) <= 15
    assert max(map(len, lines)) <= 80
    words = {*verdict(program, evidence).split(), *all_evidence(program, evidence).split()}
    assert {word for line in lines[:2] for word in line.split()} <= words | {"..."}


SHORT = "it predicts what the model predicts and is short"
LESS = "it is short and predicts what the model predicts on 0.9312 of the sequences at the least, where 0.99 was asked"
OWN = "and its attention and averages are the model's."
HEADS = "a1 is not what the model's heads hold."
SAID: list[tuple[dict[str, Any], str]] = [
    ({"verdict": "decompiled"}, f"{SHORT}, {OWN}"),
    ({"verdict": "imitated", "attention": FAR}, f"{SHORT}, but the attention of a1 is not the model's."),
    ({"verdict": "imitated", "attention": MISSING}, f"{SHORT}, but the model needs attention that it does not say."),
    ({"verdict": "imitated", "interchange": INTERCHANGE}, f"{SHORT}, but {HEADS}"),
    (
        {"verdict": "imitated", "attention": None, "gaps": UNKNOWN[:1]},
        f"{SHORT}, but whether its attention is the model's was not measured.",
    ),
    ({"verdict": "decompiled below"}, f"{LESS}, {OWN}"),
    ({"verdict": "imitated below", "interchange": INTERCHANGE}, f"{LESS}, but {HEADS}"),
    (
        {"verdict": "pruned", "settings": {"task": "D3", "numbers": 5}},
        "it predicts what the model predicts and has few lines, but it has 7 numbers, where 5 was asked at the most.",
    ),
    ({"verdict": "not decompiled"}, "it predicts what the model predicts on 0.9312 of the sequences at the least, where 0.99 was asked."),
    (
        {"verdict": "not decompiled", "match": None, "reason": "match could not be measured: no time"},
        "match could not be measured: no time.",
    ),
]


@pytest.mark.parametrize(("changed", "said"), SAID)
def test_each_verdict_has_its_sentence(changed: dict, said: str) -> None:
    evidence = sample_evidence(PROGRAM, **{"baseline": LITTLE, "interchange": HOLDS, "matched_at": 0.9312, **changed})
    assert verdict(PROGRAM, evidence) == f"{evidence.verdict}: {said}"


def test_a_run_that_was_cut_short_is_called_so() -> None:
    assert verdict(PROGRAM, sample_evidence(PROGRAM, stopped_by_time=True)).startswith("decompiled (out of time): ")


def test_what_cannot_be_read_is_counted() -> None:
    said = verdict(OPAQUE, sample_evidence(OPAQUE, verdict="pruned", baseline=LITTLE))
    assert said.endswith("but 1 of its 2 lines cannot be read: they carry weights of the model or too many numbers.")


def test_a_model_that_is_a_constant_or_a_table_is_called_so() -> None:
    always = Banded(SHARE, (SHARE,))
    table, constant = Baseline(LITTLE.constant, always), Baseline(always, always)
    assert "the model is a table of the current token: the best matches it on 0.9987" in verdict(
        PROGRAM, sample_evidence(PROGRAM, baseline=table)
    )
    assert "the model is a constant: the best matches it on 0.9987" in verdict(PROGRAM, sample_evidence(PROGRAM, baseline=constant))
    assert "the model is" not in verdict(PROGRAM, sample_evidence(PROGRAM, baseline=LITTLE))


def test_lines_are_named_that_are_the_models_and_that_are_not() -> None:
    def about(evidence: Evidence) -> list[str]:
        labels = ("faithful", "not  ", "untested")
        return [" ".join(line.split()) for line in summary(PROGRAM, evidence) if line.startswith(labels)]

    own = replace(ATTENTION, attentions=(replace(ATTENTION.attentions[0], selectors=("s1",)),))
    not_own = replace(FAR, attentions=(replace(FAR.attentions[0], selectors=("s1",)),))
    rest = "untested m1 and logits1: match alone tells of them"
    good = "faithful s1 and a1: tested inside the model, nothing changes"
    assert about(sample_evidence(PROGRAM, attention=own, interchange=HOLDS)) == [good, rest]
    assert about(sample_evidence(PROGRAM, attention=not_own, interchange=HOLDS)) == [
        "not s1 and a1: the model attends to something else",
        rest,
    ]
    assert about(sample_evidence(PROGRAM, attention=own))[1:] == ["not a1: the model holds something else there", rest]


def test_no_line_of_the_listing_is_wider_than_a_terminal_or_broken_in_a_word() -> None:
    shown = terminal(PROGRAM, sample_evidence(PROGRAM), whole=True).partition("\n\n")[2].splitlines()
    assert max(map(len, shown)) <= 80
    joined = " ".join(line.strip() for line in shown if not line.startswith("#"))
    assert '3*a1["a"] - a1["b"] - token["b"] - token[<bos>]]' in joined
    wide = [line.strip() for line in terminal(LONG, None, whole=True).splitlines() if "s10" in line and "aggregate" in line]
    assert wide[0].endswith("+")


@settings(max_examples=40, deadline=None)
@given(programs())
def test_a_listing_whose_lines_are_joined_again_is_the_program(program: Program) -> None:
    text = "\n".join(listing(program, None, ()))
    assert parse(text.replace("\n    ", " "), program.operators) == program


def test_a_listing_of_more_than_forty_lines_is_cut() -> None:
    shown = terminal(LONG, sample_evidence(LONG))
    listing = shown.partition("\n\n")[2].splitlines()
    assert len(listing) == 41
    whole = terminal(LONG, sample_evidence(LONG), whole=True).partition("\n\n")[2].splitlines()
    assert listing[-1] == f"... {len(whole) - 40} more lines: drasp show FOLDER --all"
    assert "more lines" not in terminal(PROGRAM, sample_evidence(PROGRAM))


# What next.


OTHER = FrontierEntry(9, 0, 12, 0.75, "select", "frontier/9/program.drasp")
THIS = FrontierEntry(5, 0, 7, 0.5, "evidence", "program.drasp")
UNEVEN = Banded(SHARE, (replace(SHARE, low=0.995), replace(SHARE, lengths=(51, 100), accuracy=0.9, low=0.85, high=0.95)))
TWO_LAYERS = ModelInfo("ab" * 32, 2, 1, 16)
GOOD = Banded(SHARE, (SHARE,))
FITS = {"attention": ATTENTION, "interchange": HOLDS, "gaps": (), "model_task": GOOD, "matched_at": 0.9979, "match": GOOD}
CAUSES: list[tuple[str, dict[str, Any]]] = [
    ("resists attention of heads 0.0 and 0.1: other than that of a1", {"attention": FAR}),
    ("resists attention of head 1.0: the model needs it, and no line stands for it", {"attention": MISSING, "model": TWO_LAYERS}),
    ("resists attention of all heads together, though each alone is as the program says", {"attention": MISSING}),
    ("resists what head 0.1 read: other than a1", {"interchange": INTERCHANGE}),
    ("resists what is left of the model is too long", {"reason": "what is left of the model is too long"}),
    ("so far in symbols: 9 statements, match 0.7500: drasp show FOLDER --statements 9", {"frontier": (THIS, OTHER)}),
    (
        "so far no program in symbols was met that matches more than this one, 0.5000",
        {"frontier": (THIS,), "matched_at": 0.5, "match": BANDED},
    ),
    ("try more --time than 60s: it ran out after the pass lift", {"stopped_by_time": True}),
    ("try more --time than 60s: it ran out before a pass was done", {"stopped_by_time": True, "passes": ()}),
    ("try more --work than 500: it ran out after the pass lift", {"stopped_by_time": True, "settings": {"task": "D3", "work": 500}}),
    ("try --match 0.75: a program in symbols matches so much", {"matched_at": 0.2, "frontier": (OTHER,)}),
    ("try --match 0.93: a program in symbols matches so much", {"matched_at": 0.9312, "verdict": "imitated below"}),
    ("try --lengths 0-50: match is 0.9987 there", {"matched_at": 0.85, "match": UNEVEN}),
    ("try a better model: this one is right on 0.9000 alone at 51-100", {"matched_at": 0.85, "model_task": UNEVEN}),
    ("gaps attention and off task: drasp show FOLDER --evidence says why", {"gaps": (UNKNOWN[0], Gap("off_task", "no time"))}),
]


@pytest.mark.parametrize(("said", "cause"), CAUSES)
def test_advice_is_given_where_its_cause_is_in_the_evidence(said: str, cause: dict[str, Any]) -> None:
    evidence = sample_evidence(PROGRAM, **{"verdict": "imitated", **FITS, **cause})
    assert said in " ".join(" ".join(advice(PROGRAM, evidence)).split())


def test_advice_is_given_nowhere_else() -> None:
    assert advice(PROGRAM, sample_evidence(PROGRAM, **{**FITS, "verdict": "imitated"})) == []
    assert advice(PROGRAM, sample_evidence(PROGRAM, verdict="decompiled", stopped_by_time=True)) == []
    quick = {"task": "D3", "evidence": "quick", "match": 0.99}
    assert (
        advice(PROGRAM, sample_evidence(PROGRAM, **{**FITS, "verdict": "imitated", "settings": quick, "gaps": (Gap("language", "quick"),)}))
        == []
    )


def test_lines_that_resist_are_named() -> None:
    assert advice(OPAQUE, sample_evidence(OPAQUE, **{**FITS, "verdict": "pruned"})) == [
        "resists    logits1: nothing in symbols was found that does the same"
    ]


def test_advice_fits_eight_lines() -> None:
    everything = {
        **FITS,
        "verdict": "not decompiled",
        "reason": "too long " * 99,
        "stopped_by_time": True,
        "frontier": (THIS, OTHER),
        "gaps": UNKNOWN,
    }
    evidence = sample_evidence(PROGRAM, **{**everything, "attention": FAR, "interchange": INTERCHANGE, "matched_at": 0.5, "match": UNEVEN})
    lines = advice(PROGRAM, evidence)
    assert 5 < len(lines) <= 8
    assert max(map(len, lines)) <= 80
    assert "\n".join(lines) in terminal(PROGRAM, evidence)
