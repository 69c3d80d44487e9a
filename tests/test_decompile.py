"""The whole way, on bundled models: the verdict, the same bytes for the same seed, and honest answers when it is cut short."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from drasp.cli import main
from drasp.core.budget import Budget, OutOfBudget
from drasp.core.intervals import bands
from drasp.core.journal import Journal
from drasp.core.seeds import Stream
from drasp.evidence.schema import Evidence
from drasp.ir.program import Program
from drasp.lang.folder import load_program, save_program
from drasp.learn.adam import Schedule
from drasp.learn.evaluation import Examinee, draw, numpy_logits
from drasp.learn.fit import fit
from drasp.learn.oracle import Oracle
from drasp.learn.pools import Study, draw_pools
from drasp.learn.trial import Doing, Found
from drasp.learn.tuning import LINEAR_REFIT, CircuitTuning, PoolTuning
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.naming.pieces import Naming, Piece, Target
from drasp.passes.circuit import TooLarge, expand, header_of, prune_circuit
from drasp.passes.removals import removals
from drasp.passes.token_table import token_table
from drasp.rewrite.lift import lift
from drasp.search import decompile as search
from drasp.search import runner
from drasp.search.decompile import Session, decompile
from drasp.search.plan import PLAN, Stage
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task
from small_models import LITTLE, random_transformer

SLOW = {"off_task", "language"}
SHORT = Settings(lengths=(0, 20))  # for what does not hang on the lengths, and is soon done


def study(name):
    transformer = load_transformer(ZOO / name)
    return Study(transformer, get_task(name), TorchTransformer(transformer))


def test_a_bundled_model_is_pruned_to_a_few_lines_that_match(decompiled):
    evidence = decompiled.evidence
    assert evidence.verdict in ("pruned", "decompiled")
    assert min(band.low for band in evidence.match.bands) >= 0.99
    assert sum(band.sequences for band in evidence.match.bands) == 20_000
    assert evidence.size.statements == len(decompiled.program.statements) <= 9
    assert evidence.baseline.current_token.all.accuracy < 0.5
    assert Evidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


def test_every_kind_of_evidence_is_there(decompiled):
    evidence = decompiled.evidence
    assert not evidence.gaps
    assert evidence.mistakes is None  # the model makes none
    assert evidence.off_task.random_strings.positions.accuracy > 0.8
    assert [variable.variables for variable in evidence.interchange.variables] == [("histogram",)]
    assert evidence.language.program.wrong == evidence.language.model.wrong == 0


def test_the_numbers_that_steered_are_saved(decompiled):
    tuning = decompiled.evidence.tuning
    assert tuning["pools"]["verified"] == PoolTuning().verified
    assert [stage["name"] for stage in tuning["plan"]["stages"]] == [stage.name for stage in PLAN.stages]


def test_quick_evidence_leaves_out_what_is_slow():
    evidence = decompile(load_transformer(ZOO / "abcde"), get_task("abcde"), replace(SHORT, evidence="quick"), tuning=LITTLE).evidence
    assert evidence.settings["evidence"] == "quick"
    assert evidence.lines
    assert {gap.kind for gap in evidence.gaps} == SLOW


def test_every_line_that_is_left_is_needed(decompiled):
    lines = decompiled.evidence.lines
    assert [line.statement for line in lines] == [s.name for s in decompiled.program.statements[:-1]]
    assert all(line.match < 0.99 for line in lines)
    assert removals(decompiled.program)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    model, task = load_transformer(ZOO / "tomita4"), get_task("tomita4")
    for name in ("first", "second"):
        save_program(decompile(model, task, replace(SHORT, seed=3, evidence="quick"), tuning=LITTLE).program, tmp_path / name)
    first, second = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("first", "second"))
    assert first == second


def test_where_work_is_counted_program_and_evidence_are_the_same_but_for_the_seconds():
    settings = replace(SHORT, work=40_000)
    found = [decompile(load_transformer(ZOO / "tomita2"), get_task("tomita2"), settings, tuning=LITTLE) for _ in range(2)]
    first, second = (replace(each.evidence, seconds=0.0) for each in found)
    assert found[0].program == found[1].program
    assert first == second
    assert first.match is not None


def test_the_saved_program_predicts_the_same_without_torch(decompiled, tmp_path):
    """The executor of the search and the interpreter in another process, on every sequence."""
    import torch

    from drasp.run.gated import Executor

    save_program(decompiled.program, tmp_path / "program")
    sample = get_task("D2").sample(np.random.default_rng(5), 500, (0, 150))
    np.savez(tmp_path / "sample.npz", **sample._asdict())
    code = (
        "import sys, numpy as np\nfrom drasp import load_program\n"
        "sample = np.load(sys.argv[2])\nlogits = load_program(sys.argv[1]).logits(sample['token_ids'], sample['position_ids'])\n"
        "assert 'torch' not in sys.modules\nnp.save(sys.argv[3], logits[sample['scored']] > 0)"
    )
    paths = [str(tmp_path / name) for name in ("program", "sample.npz", "found.npy")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
    executor = Executor(decompiled.program)
    expected = executor.logits(torch.from_numpy(sample.token_ids), torch.from_numpy(sample.position_ids))
    assert np.array_equal(np.load(tmp_path / "found.npy"), expected.numpy()[sample.scored] > 0)


def test_ctrl_c_leaves_the_best_program_so_far_and_the_run_can_be_done_again(tmp_path, monkeypatch, capsys):
    from drasp.cli.display import Display

    seen = []

    def interrupt(self, step):
        seen.append(step.phase)
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Display, "__call__", interrupt)
    out = tmp_path / "run"
    words = ["decompile", "tomita1", "--lengths", "0-10", "--evidence", "quick", "--out", str(out)]
    assert main(words) == 130
    assert seen[3] == "interrupted, saving the best program so far"
    assert json.loads((out / "evidence.json").read_text())["interrupted"] is True
    assert "(interrupted)" in capsys.readouterr().out
    monkeypatch.undo()
    assert main(words) == 0
    assert json.loads((out / "evidence.json").read_text())["interrupted"] is False


def test_out_of_time_is_said_and_gives_an_honest_verdict():
    found = decompile(load_transformer(ZOO / "D2"), get_task("D2"), Settings(time=0.1))
    assert found.evidence.stopped_by_time is True
    assert found.evidence.verdict == "not decompiled"


def planned(*passes):
    """A plan of one stage."""
    return replace(PLAN, stages=(Stage("only", passes, until=0.75),))


def test_without_time_for_evidence_the_program_is_there_and_says_so(monkeypatch):
    def used_up(edges, oracle, aim, budget):
        budget._meter.start -= 600
        budget.check()
        yield

    monkeypatch.setattr(runner, "PLAN", planned(used_up))
    found = decompile(load_transformer(ZOO / "D2"), get_task("D2"), SHORT)
    assert found.evidence.match is None
    assert found.evidence.verdict == "not decompiled"
    assert found.evidence.reason.startswith("match could not be measured")
    assert {gap.kind for gap in found.evidence.gaps} >= {"match", "lines", *SLOW}


def test_a_pass_that_raises_ends_its_stage_and_the_run_goes_on(monkeypatch):
    def broken(edges, oracle, aim, budget):
        raise ValueError("no such thing")
        yield

    found = quickly(monkeypatch, Stage("only", (broken,), until=0.75))
    assert isinstance(found.program, Program)
    assert found.evidence.reason == "only: broken failed: ValueError: no such thing"
    assert len(found.program.statements) == 18  # the model itself
    assert found.evidence.match is not None


def finds_the_model(edges, oracle, aim, budget):
    """A pass that leaves the model itself as a program, of 18 statements."""
    program = expand(edges.whole, oracle, aim)
    yield Found(program)
    return program


def quickly(monkeypatch, *stages):
    """What a search by a plan of some stages gives on D2, with few sequences."""
    monkeypatch.setattr(runner, "PLAN", replace(PLAN, stages=stages))
    settings = replace(SHORT, lengths=(0, 10), work=3_000, evidence="quick")
    return decompile(load_transformer(ZOO / "D2"), get_task("D2"), settings, tuning=LITTLE)


@pytest.mark.parametrize("broken", ["tidy", "parse"])
def test_what_was_found_is_there_where_it_cannot_be_tidied(monkeypatch, tmp_path, broken):
    def fails(*_):
        raise ValueError("no such\nthing")

    monkeypatch.setattr(search, broken, fails)
    found = quickly(monkeypatch, Stage("only", (finds_the_model,), until=0.75))
    assert found.evidence.reason.startswith("the program could not be tidied: ValueError: no such thing")
    assert found.evidence.match is not None
    save_program(found.program, tmp_path)
    assert len(load_program(tmp_path).statements) == 18


def test_what_was_found_is_there_where_its_names_cannot_be_written(monkeypatch):
    def names(program, *_):
        yield Doing("names")
        return Naming(program, (Piece(Target("head", "distance", 0.1, False), ("nowhere",), 0.0, 1.0),))

    monkeypatch.setattr(runner, "named_whole", names)
    monkeypatch.setattr(runner, "within_limits", lambda *_: True)
    found = quickly(monkeypatch, Stage("only", (finds_the_model,), until=0.75, named_after=(finds_the_model,)))
    assert found.evidence.reason == "what was named could not be written: KeyError: 'nowhere'"
    assert found.evidence.named == ()
    assert "s3" in found.program.by_name  # tidied


def test_a_model_too_large_for_linear_norms_is_left_to_the_other_stages(monkeypatch):
    def too_large(edges, oracle, aim, budget):
        raise TooLarge("it has too many lines")
        yield

    stages = Stage("linear", (too_large,), until=0.75, linear=True), Stage("exact", (finds_the_model,), until=0.75)
    found = quickly(monkeypatch, *stages)
    assert [step.name for step in found.evidence.passes] == ["exact: finds the model"]
    assert found.evidence.reason is None


@pytest.mark.parametrize("stopped", [True, False])
def test_what_was_named_is_kept_without_its_pieces_where_time_is_up_and_with_them_where_they_are_measured(monkeypatch, stopped):
    piece = Piece(Target("readout", "agreement", 0.95, at_least=True), ("prediction",), 1.0, 1.0)
    whole = {}

    def naming(program, oracle, aim, budget):
        whole["program"] = token_table(program.header, oracle.sample)
        yield Found(Naming(whole["program"], ()))
        if stopped:
            raise OutOfBudget
        yield Found(Naming(whole["program"], (piece,)))
        yield Found(Naming(program, (piece, piece)))  # not what is kept, nor are its pieces

    def lifted(edges, oracle, aim, budget):
        yield Found(expand(edges.whole, oracle, aim))

    monkeypatch.setattr(runner, "named", naming)
    monkeypatch.setattr(runner, "PLAN", planned(lifted))
    monkeypatch.setattr(runner.Runner, "_holds", lambda *_: True)
    found = decompile(load_transformer(ZOO / "D2"), get_task("D2"), replace(SHORT, work=20_000, evidence="quick"))
    assert len(found.program.statements) == len(whole["program"].statements)
    assert len(found.evidence.named) == (0 if stopped else 1)
    assert found.evidence.stopped_by_time is stopped


def test_the_search_stops_in_the_middle_of_a_refit():
    given = study("D2")
    tuning = PoolTuning(fitted_short=64, fitted_long=64, selected=64, verified=64)
    pools = draw_pools(given, (0, 50), 0, tuning, Budget.of_seconds(), Journal())
    oracle = Oracle(given, pools, 0, tuning, Journal())
    program = lift(given.transformer, header_of(given))
    budget = Budget.of_work(1_000)
    with pytest.raises(OutOfBudget):
        fit(program, oracle, Schedule(replace(LINEAR_REFIT, steps=10_000), 0.003, 0), budget)
    assert budget.spent() < 2_000


class SlowTask:
    """D2, drawn slowly."""

    vocabulary, predict = get_task("D2").vocabulary, "next-token-set"
    name, answers = "slow", get_task("D2").answers

    def sample(self, rng, count, lengths):
        time.sleep(0.05)
        return get_task("D2").sample(rng, count, lengths)


def test_out_of_time_while_sequences_are_drawn_leaves_the_model_as_a_program():
    found = decompile(load_transformer(ZOO / "D2"), SlowTask(), Settings(time=0.2))
    assert len(found.program.statements) == 18
    assert found.evidence.stopped_by_time is True
    assert found.evidence.match is None


def test_a_model_too_large_for_that_leaves_the_current_token_table():
    model = random_transformer(layers=4, heads=2, seed=0, positions=152)
    found = decompile(model, get_task("D2"), Settings(time=0.2))
    assert [statement.name for statement in found.program.statements] == ["logits1", "prediction"]


@pytest.mark.parametrize("phase", ["drawing sequences", "measuring the evidence"])
def test_ctrl_c_at_any_time_leaves_a_program_and_evidence(phase):
    def interrupt(progress):
        if progress.phase == phase:
            raise KeyboardInterrupt

    model, task = load_transformer(ZOO / "bin_majority"), get_task("bin_majority")
    found = decompile(model, task, SHORT, Session(report=interrupt), LITTLE)
    assert found.evidence.interrupted is True
    assert (found.evidence.match is None) == (phase == "measuring the evidence")


def test_a_model_too_deep_to_expand_gets_a_program_a_reason_and_no_verdict_it_has_not_earned(monkeypatch):
    monkeypatch.setattr(runner, "PLAN", planned(prune_circuit))
    tuning = replace(LITTLE, circuit=CircuitTuning(coefficients=1, steps=10, tried_alone=0, failures=1))
    model = random_transformer(layers=3, heads=2, seed=0, positions=152)
    found = decompile(model, get_task("D2"), replace(SHORT, lengths=(0, 10), work=40_000, evidence="quick"), tuning=tuning)
    assert found.evidence.verdict == "not decompiled"
    assert "statements" in found.evidence.reason
    assert isinstance(found.program, Program)


def test_the_pools_of_the_search_and_the_judge_share_no_long_sequence():
    given = study("D2")
    pools = draw_pools(given, (60, 100), 0, PoolTuning(), Budget.of_seconds(), Journal())
    ids = [b.token_ids.numpy() for pool in (pools.short, pools.long, pools.select, pools.verify) for b in pool]
    searched = {tuple(row[row != 5]) for each in ids for row in each}
    examinee = Examinee(given.task, numpy_logits(given.oracle), (60, 100))
    judge = draw(examinee, 500, np.random.default_rng([0, Stream.EVIDENCE]))
    judged = {tuple(row[row != 5][:-1]) for chunk in judge.chunks for row in chunk.sample.token_ids} | {
        tuple(row[row != 5]) for chunk in judge.chunks for row in chunk.sample.token_ids
    }
    assert not searched & judged
    assert bands((60, 100)) == list(judge.bands)


def test_what_the_caller_has_set_in_torch_ends_nothing_and_is_left():
    settings = Settings(lengths=(0, 20), work=1_500, evidence="quick")
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            found = decompile("D2", "D2", settings, tuning=LITTLE)
            assert torch.is_autocast_enabled("cpu")
            assert not torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.evidence.match is not None
    assert found.evidence.reason is None


def test_a_band_without_sequences_is_left_out_of_search_and_evidence():
    found = decompile(load_transformer(ZOO / "D2"), get_task("D2"), Settings(lengths=(0, 51), work=60_000, evidence="quick"), tuning=LITTLE)
    assert [band.lengths for band in found.evidence.match.bands] == [(0, 50)]
