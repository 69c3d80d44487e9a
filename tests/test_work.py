"""Where work is counted a search is the same on every machine: however many threads it has, however fast it is, and when it was killed."""

import random
from dataclasses import replace

import pytest

from drasp.core.budget import Budget, BudgetTuning, OutOfBudget
from drasp.core.journal import Journal
from drasp.core.threads import one_thread
from drasp.learn.circuit import Edges
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.naming.tuning import NamesTuning
from drasp.passes.circuit import prune_circuit
from drasp.passes.cut import cut_by_rank
from drasp.passes.eliminate import eliminate
from drasp.passes.names_first import names_first
from drasp.passes.sweep import sweep
from drasp.tasks.registry import get_task
from driving import drive, measuring, use_threads
from planted import AIM, PLANTED, POSITIONS, oracle_of, transformer_oracle
from small_models import random_transformer

UNHURRIED = replace(AIM, least=0.9, names=NamesTuning(readout_seconds=1e9))  # a second counts as 1 here
SHORT = replace(AIM, circuit=replace(AIM.circuit, steps=3, coefficients=2), refit=replace(AIM.refit, steps=3))


def on_a_program(apply):
    planted = PLANTED[0]

    def start(oracle, budget):
        oracle.journal.once("what the pass before asked", "", lambda: None, budget)  # none that takes a program comes first
        return apply(planted.program, oracle, SHORT, budget)

    return planted.oracle(), start


def on_a_transformer(apply):
    oracle = transformer_oracle(random_transformer(1, 2, 0, positions=POSITIONS))
    return oracle, lambda oracle, budget: apply(Edges(oracle, SHORT.circuit.unit_floor, budget), oracle, SHORT, budget)


def on_a_bundled_model(apply):
    transformer = load_transformer(ZOO / "tomita4")
    oracle = oracle_of(TorchTransformer(transformer), get_task("tomita4"), transformer=transformer)
    return oracle, lambda oracle, budget: apply(Edges(oracle, SHORT.circuit.unit_floor, budget), oracle, UNHURRIED, budget)


PASSES = {"sweep": (on_a_program, sweep), "cut by rank": (on_a_program, cut_by_rank), "eliminate": (on_a_program, eliminate)}
PASSES |= {"circuit": (on_a_transformer, prune_circuit), "names first": (on_a_bundled_model, names_first)}


@pytest.fixture(scope="module", autouse=True)
def as_in_a_run():
    """Torch has one thread, as several batches are worked on at once instead."""
    with one_thread(True):
        yield


@pytest.fixture(scope="module", params=PASSES)
def searched(request):
    """Drives one pass with so much work, and tells what it tried and found, and what it spent."""
    make, apply = PASSES[request.param]
    known, start = make(apply)

    def search(work, journal=None):
        oracle = replace(known, journal=journal or Journal())
        budget = Budget.of_work(work, BudgetTuning(pace=1))
        trials, found = [], []
        stopped = True
        try:
            oracle.journal.once("share of the sequences", "it", lambda: 1.0, budget)  # in a run too an answer comes before the first check
            drive(start(oracle, budget), measuring(oracle, budget), trials, found)
            stopped = False
        except OutOfBudget:
            oracle.journal.stopped(budget)
        tried = [(trial.candidate.digest, trial.trying) for trial in trials]
        return tried, [candidate.digest for candidate in found], budget.spent(), stopped

    return search


@pytest.fixture(scope="module")
def whole(searched):
    """The pass with more work than it needs."""
    found = searched(1e9)
    assert not found[-1]
    return found


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_it_tries_the_same_and_stops_at_the_same_trial_however_many_threads_there_are(monkeypatch, searched, whole, share):
    work = int(share * whole[2])
    found = []
    for threads in (1, 4):
        use_threads(monkeypatch, threads)
        found.append(searched(work))
    assert found[0] == found[1]
    tried, kept, spent, stopped = found[0]
    assert stopped
    assert work <= spent < whole[2]
    assert tried == whole[0][: len(tried)]
    assert kept == whole[1][: len(kept)]
    assert share < 0.9 or tried


@pytest.fixture(scope="module", params=[0.5, 2])
def written(searched, whole, request, tmp_path_factory):
    """A search with that share of the work, which wrote a journal: the work, what it found, and the bytes of the journal."""
    work, file = int(request.param * whole[2]), tmp_path_factory.mktemp("written") / "journal"
    first = searched(work, Journal(file, "run"))
    assert first[:2] == (whole if request.param > 1 else searched(work))[:2]
    return work, first, file.read_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_a_search_that_was_killed_goes_on_to_the_same_end(searched, written, tmp_path, seed):
    work, first, data = written
    file = tmp_path / "journal"
    file.write_bytes(data[: random.Random(seed).randrange(len(data))])
    assert searched(work, Journal(file, "run")) == first
    assert file.read_bytes() == data


@pytest.mark.parametrize("later", [1, 1e9])
@pytest.mark.parametrize("written", [0.5], indirect=True)
def test_a_search_that_was_stopped_stops_there_again_whatever_work_there_is_now(searched, written, tmp_path, later):
    _, first, data = written
    file = tmp_path / "journal"
    file.write_bytes(data)
    assert searched(later, Journal(file, "run")) == first
    assert file.read_bytes() == data
