"""The whole way, on bundled models: the verdict, the same bytes for the same seed, and honest answers when it is cut short."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from drasp.passes.context import make_context
from drasp.passes.pools import Subject
from drasp.passes.prune import removals

from drasp import pipeline
from drasp.cli import main
from drasp.core.intervals import bands
from drasp.evidence.match import FRESH_STREAM
from drasp.evidence.schema import Evidence
from drasp.ir.program import Program
from drasp.lang.folder import save_program
from drasp.learn.evaluation import Examinee, draw, numpy_logits
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.passes import components
from drasp.passes import name as naming
from drasp.rewrite.lift import lift
from drasp.rewrite.simplify import simplify
from drasp.search.settings import Settings, TimeIsUp, decompile
from drasp.tasks.registry import get_task
from small_models import random_transformer

SLOW = {"off_task", "interchange", "language"}
SHORT = Settings(lengths=(0, 20))  # for what does not hang on the lengths, and is soon done


@pytest.fixture(scope="module")
def decompiled():
    return decompile(load_transformer(ZOO / "D2"), get_task("D2"))


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
    assert evidence.mistakes is None  # the model makes none
    assert evidence.off_task.random_strings.positions.accuracy > 0.8
    assert [variable.variables for variable in evidence.interchange.variables] == [("histogram",)]
    assert evidence.language.program.wrong == evidence.language.model.wrong == 0


def test_quick_evidence_leaves_out_what_is_slow():
    evidence = decompile(load_transformer(ZOO / "abcde"), get_task("abcde"), replace(SHORT, evidence="quick")).evidence
    assert evidence.settings["evidence"] == "quick"
    assert evidence.lines
    assert "mistakes" in evidence
    assert {gap.kind for gap in evidence.gaps} == SLOW


def test_every_line_that_is_left_is_needed(decompiled):
    lines = decompiled.evidence.lines
    assert [line.statement for line in lines] == [s.name for s in decompiled.program.statements[:-1]]
    assert all(line.match < 0.99 for line in lines)
    assert removals(decompiled.program)


def test_where_no_preferred_closeness_will_do_the_closest_description_of_the_attention_that_will_is_taken(monkeypatch):
    monkeypatch.setattr(naming, "TOLERANCES", ())
    evidence = decompile(load_transformer(ZOO / "D2"), get_task("D2"), Settings(evidence="quick")).evidence
    assert evidence.verdict == "decompiled"
    assert not any(piece.behaviour_only for piece in evidence.named)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    model, task = load_transformer(ZOO / "bin_majority"), get_task("bin_majority")
    for name in ("first", "second"):
        save_program(decompile(model, task, Settings(seed=3, evidence="quick")).program, tmp_path / name)
    first, second = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("first", "second"))
    assert first == second


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
    from drasp.cli import display as progress

    seen = []

    def interrupt(self, step):
        seen.append(step)
        if len(seen) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(progress.Display, "__call__", interrupt)
    out = tmp_path / "run"
    assert main(["decompile", "bin_majority", "--out", str(out)]) == 130
    assert json.loads((out / "evidence.json").read_text())["interrupted"] is True
    assert "(interrupted)" in capsys.readouterr().out
    monkeypatch.undo()
    assert main(["decompile", "bin_majority", "--out", str(out)]) == 0
    assert json.loads((out / "evidence.json").read_text())["interrupted"] is False


def test_out_of_time_is_said_and_gives_an_honest_verdict():
    found = decompile(load_transformer(ZOO / "D2"), get_task("D2"), Settings(time=0.1))
    assert found.evidence.stopped_by_time is True
    assert found.evidence.verdict == "not decompiled"


@pytest.fixture
def time_runs_out(monkeypatch):
    """A search that finds the whole model and then has used up ten minutes."""
    clock = time.monotonic

    def run_passes(transformer, header, context, settings, search):
        context.found(simplify(lift(transformer, header)))
        monkeypatch.setattr(time, "monotonic", lambda: clock() + 600)
        raise TimeIsUp

    monkeypatch.setattr(pipeline, "_run_passes", run_passes)


def test_without_time_for_evidence_the_program_is_there_and_says_so(time_runs_out):
    found = decompile(load_transformer(ZOO / "D2"), get_task("D2"), Settings())
    assert len(found.program.statements) == 18
    assert found.evidence.match is None
    assert found.evidence.verdict == "not decompiled"
    assert found.evidence.reason.startswith("match could not be measured")


class SlowTask:
    """D2, drawn slowly."""

    vocabulary, predict = get_task("D2").vocabulary, "next-token-set"
    name, answers = "slow", get_task("D2").answers

    def sample(self, rng, count, lengths):
        time.sleep(0.05)
        return get_task("D2").sample(rng, count, lengths)


def test_out_of_time_while_sequences_are_drawn_leaves_the_current_token_table():
    found = decompile(load_transformer(ZOO / "D2"), SlowTask(), Settings(time=0.2))
    assert [statement.name for statement in found.program.statements] == ["logits1", "prediction"]
    assert found.evidence.stopped_by_time is True
    assert found.evidence.match is None


@pytest.mark.parametrize("phase", ["drawing sequences", "measuring the evidence"])
def test_ctrl_c_at_any_time_leaves_a_program_and_evidence(phase):
    def interrupt(progress):
        if progress.phase == phase:
            raise KeyboardInterrupt

    found = decompile(load_transformer(ZOO / "bin_majority"), get_task("bin_majority"), Settings(), interrupt)
    assert found.evidence.interrupted is True
    assert (len(found.program.statements) == 2) == (phase == "drawing sequences")  # the current-token table
    assert (found.evidence.match is None) == (phase == "measuring the evidence")


def test_a_model_too_deep_to_expand_gets_a_program_a_reason_and_no_verdict_it_has_not_earned(monkeypatch):
    monkeypatch.setattr(components, "PRICES", components.PRICES[:1])
    monkeypatch.setattr(components, "STEPS_PER_STAGE", 10)
    monkeypatch.setattr(components, "_eliminate", lambda components, state: iter(()))
    model = random_transformer(layers=4, heads=2, seed=0, positions=152)
    found = decompile(model, get_task("D2"), SHORT)
    assert found.evidence.verdict == "not decompiled"
    assert "statements" in found.evidence.reason
    assert isinstance(found.program, Program)


def test_the_pools_of_the_search_and_the_judge_share_no_long_sequence():
    task, oracle = get_task("D2"), TorchTransformer(load_transformer(ZOO / "D2"))
    context = make_context(
        Subject(task, oracle.scored_logits, oracle.device), (60, 100), 0, lambda what, program: None, lambda: None, lambda program: None
    )
    pools = [b.token_ids.numpy() for pool in (context.short, context.long, context.select.batches, context.verify.batches) for b in pool]
    searched = {tuple(row[row != 5]) for ids in pools for row in ids}
    examinee = Examinee(task, numpy_logits(oracle), (60, 100))
    judge = draw(examinee, 500, np.random.default_rng([0, FRESH_STREAM]))
    judged = {tuple(row[row != 5][:-1]) for chunk in judge.chunks for row in chunk.sample.token_ids} | {
        tuple(row[row != 5]) for chunk in judge.chunks for row in chunk.sample.token_ids
    }
    assert not searched & judged
    assert bands((60, 100)) == list(judge.bands)


def test_a_band_without_sequences_is_left_out_of_search_and_evidence():
    found = decompile(load_transformer(ZOO / "D2"), get_task("D2"), Settings(lengths=(0, 51), time=30.0, evidence="quick"))
    assert [band.lengths for band in found.evidence.match.bands] == [(0, 50)]
