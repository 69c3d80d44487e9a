"""Names first: the whole model in symbols, read off the model itself, with which a search may end."""

from dataclasses import replace

import pytest

from drasp.core.budget import Budget, OutOfBudget
from drasp.core.journal import Journal
from drasp.ir.size import size
from drasp.lang.parser import parse
from drasp.learn.circuit import Edges
from drasp.learn.trial import Found, Trial
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.passes.circuit import expand
from drasp.passes.names_first import names_first
from drasp.search import runner
from drasp.search.decompile import decompile
from drasp.search.plan import PLAN, Stage
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task
from driving import drive, measuring
from planted import AIM, oracle_of
from small_models import LITTLE

SETTINGS = Settings(lengths=(0, 20), work=200_000, evidence="quick")


def oracle_for(name):
    transformer = load_transformer(ZOO / name)
    return oracle_of(TorchTransformer(transformer), get_task(name), transformer=transformer)


def driven(oracle, budget, trials=None, found=None):
    aim = replace(AIM, least=0.9)
    edges = Edges(oracle, aim.circuit.unit_floor, budget)
    return drive(names_first(edges, oracle, aim, budget), measuring(oracle, budget), trials, found)


def test_a_model_that_counts_becomes_a_program_in_symbols():
    oracle = oracle_for("D2")
    result, trials, found = driven(oracle, Budget.of_seconds())
    assert found[-1] is result
    assert all(size(program).opaque == 0 for program in found)
    assert [size(program).statements for program in found] == sorted((size(p).statements for p in found), reverse=True)
    assert len(result.statements) <= 5
    match = measuring(oracle, Budget.of_seconds())
    assert match(Trial(result, "")) >= match(Trial(found[0], "")) >= AIM.threshold
    assert any(trial.over == "all" for trial in trials)


def test_what_is_better_is_kept_before_anything_else_is_tried():
    oracle, steps = oracle_for("D2"), []
    driven(oracle, Budget.of_seconds(), steps, steps)
    first = next(number for number, step in enumerate(steps) if not isinstance(step, Trial))
    assert steps[first] is steps[first - 1].candidate
    assert all(trial.trying == "the readout named" for trial in steps[:first])


class Noting(list):
    """Notes what of a budget is spent when something is found."""

    def __init__(self, budget):
        self.budget, self.spent = budget, []

    def append(self, what):
        self.spent.append(self.budget.spent())
        super().append(what)


def test_it_stops_in_the_middle_with_what_it_has_found():
    oracle = oracle_for("tomita4")
    whole = Budget.of_work(1_000_000)
    noted = Noting(whole)
    driven(oracle, whole, [], noted)
    for work, count in ((noted.spent[0] / 3, 0), (noted.spent[0] + 1, 1)):
        budget, found = Budget.of_work(int(work)), []
        with pytest.raises(OutOfBudget):
            driven(replace(oracle, journal=Journal()), budget, [], found)
        assert len(found) == count
        assert [program.digest for program in found] == [program.digest for program in noted[:count]]


def searched(settings=SETTINGS, model="D2"):
    return decompile(load_transformer(ZOO / model), get_task(model), settings, tuning=LITTLE)


def test_a_search_ends_with_a_program_in_symbols():
    found = searched()
    assert [step.name for step in found.evidence.passes] == ["names first: names first"]
    assert found.evidence.size.opaque == 0
    assert found.evidence.match.all.accuracy >= 0.99


HEADER = 'drasp 1\nvocabulary "a" "b" <bos> <sep> <eos> <pad>\npositions 152\npredict next-token-set\n'
POOR = parse(HEADER + 'logits1 = project(inp=token, op={"a": {"a"}})\nprediction = sigmoid(logits1)\n')


def finds(program, stop=None):
    """A pass that finds a program, and then has no time left, or has."""

    def finding(edges, oracle, aim, budget):
        yield Found(program)
        if stop:
            raise stop
        return program

    return finding


def finds_the_model(edges, oracle, aim, budget):
    program = expand(edges.whole, oracle, aim)
    yield Found(program)
    return program


EXACT = Stage("exact", (finds_the_model,), until=0.75)


def planned(monkeypatch, *stages):
    monkeypatch.setattr(runner, "PLAN", replace(PLAN, stages=stages))


@pytest.mark.parametrize(
    ("model", "first", "settings"),
    [
        ("tomita2", PLAN.stages[0], replace(SETTINGS, statements=1)),
        ("D2", Stage("names first", (finds(POOR),), until=0.5, symbols=True), replace(SETTINGS, least=1.0, lengths=(0, 10), work=3_000)),
    ],
    ids=("too long", "matches too seldom"),
)
def test_a_search_goes_on_where_a_program_in_symbols_is_not_worth_having(monkeypatch, model, first, settings):
    planned(monkeypatch, first, EXACT)
    assert "exact: finds the model" in [step.name for step in searched(settings, model).evidence.passes]


@pytest.mark.parametrize("stop", [OutOfBudget, None])
def test_a_program_in_symbols_is_not_lost_where_nothing_else_is_found(monkeypatch, stop):
    planned(monkeypatch, Stage("names first", (finds(POOR, stop),), until=0.75, symbols=True))
    found = searched(replace(SETTINGS, lengths=(0, 10), work=20_000))
    assert [s.name for s in found.program.statements] == ["logits1", "prediction"]
    assert found.evidence.size.opaque == 0
