"""Each pass on programs in which what should go and what should stay is planted; and what the passes rest on: means, attribution, fits."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from drasp.core.budget import Budget, BudgetTuning, OutOfBudget
from drasp.lang.edit import replaced
from drasp.learn.adam import Schedule
from drasp.learn.attribution import attribution
from drasp.learn.circuit import Edges
from drasp.learn.fit import fit
from drasp.learn.means import _Sums, mean_values
from drasp.learn.pools import Batch
from drasp.learn.trial import Trial
from drasp.model.wiring import Receiver, Sender
from drasp.passes.circuit import TooLarge, expand, prune_circuit
from drasp.passes.cut import cut_by_rank
from drasp.passes.eliminate import eliminate
from drasp.passes.linear_norms import linear_norms
from drasp.passes.pairs import eliminate_pairs
from drasp.passes.removals import Left, by_loss, complexity, identity, removals, without
from drasp.passes.sweep import sweep
from drasp.passes.token_table import token_table
from drasp.run.gated import AblationPoint, Executor, Mask, ablation_points
from drasp.run.numpy_fast import evaluate
from driving import drive, measuring
from planted import AIM, PLANTED, POSITIONS, Planted, random_mlp, transformer_oracle
from small_models import random_transformer

BUDGET = Budget.of_seconds()


@pytest.fixture(scope="module", params=PLANTED, ids=lambda planted: planted.name)
def planted(request):
    return request.param


@pytest.fixture(scope="module")
def oracle(planted):
    return planted.oracle()


def names(program):
    return {statement.name for statement in program.statements}


def pruned(apply, planted, oracle):
    """What a pass makes of a planted program: all that it finds by the way keeps match, and the last is what it returns."""
    match = measuring(oracle, BUDGET)
    result, trials, found = drive(apply(planted.program, oracle, AIM, BUDGET), match)
    assert found[-1] is result
    assert all(match(Trial(program, "")) >= AIM.threshold for program in found)
    sizes = [complexity(program, AIM.prune) for program in (planted.program, *found)]
    assert sizes == sorted(set(sizes), reverse=True)
    return result, trials


@pytest.mark.parametrize("apply", [sweep, eliminate])
def test_what_is_not_needed_goes_and_what_is_stays(apply, planted, oracle):
    result, _ = pruned(apply, planted, oracle)
    assert names(result) == planted.needed
    assert any(read.over is not None for statement in result.statements for read in statement.reads) == planted.divided


def test_a_sweep_fits_nothing(planted, oracle, monkeypatch):
    monkeypatch.setattr("drasp.passes.refit.fit", lambda *_: pytest.fail("it was fitted"))
    pruned(sweep, planted, oracle)


@pytest.mark.parametrize("apply", [sweep, eliminate, eliminate_pairs])
def test_the_means_of_what_is_left_are_worked_out_once(apply, planted, oracle, monkeypatch):
    worked_out = []
    monkeypatch.setattr("drasp.learn.means._Sums", lambda program, device: worked_out.append(program.digest) or _Sums(program, device))
    monkeypatch.setattr("drasp.passes.refit.fit", lambda program, *_: program)
    _, _, found = drive(apply(planted.program, oracle, AIM, BUDGET), measuring(oracle, BUDGET))
    assert worked_out == [planted.program.digest, *(program.digest for program in found)]


def test_a_cut_by_rank_takes_much_at_once_and_nothing_that_is_needed(planted, oracle):
    result, trials = pruned(cut_by_rank, planted, oracle)
    assert planted.needed <= names(result)
    assert len(ablation_points(result)) < len(ablation_points(planted.program))
    assert trials[0].candidate.digest == lowest_ablated(planted.program, oracle, AIM.prune.shares[0]).digest


def lowest_ablated(program, oracle, share):
    """The program without a share of its points, those with the least attribution."""
    found = attribution(program, oracle, BUDGET)
    lowest = sorted(found, key=found.get)[: int(share * len(found))]
    return without(program, frozenset(identity(program, point) for point in lowest), mean_values(program, oracle, BUDGET))


CANCELLING = Planted(
    "the current token, and what the attention to itself reads, taken from it: neither can go alone",
    "next-token-set",
    """s1 = select(q=pos, k=pos, op=12*(k == q - 1))
s2 = select(q=pos, k=pos, op=60*(k == q))
a1 = aggregate(s=s1, v=token)
a2 = aggregate(s=s2, v=token)
logits1 = project(inp=a1, op=8*(out == inp) - 4)
logits2 = project(inp=token, op=40*(out == inp))
logits3 = project(inp=a2, op=-40*(out == inp))
prediction = sigmoid(logits1 + logits2 + logits3)
""",
    frozenset({"s1", "a1", "logits1", "prediction"}),
)


def test_what_goes_only_together_goes_in_pairs():
    program, oracle = CANCELLING.program, CANCELLING.oracle()
    means, match = mean_values(program, oracle, BUDGET), measuring(oracle, BUDGET)
    assert all(match(Trial(without(program, removal, means), "")) < AIM.threshold for removal in removals(program))
    result, _, found = drive(eliminate_pairs(program, oracle, AIM, BUDGET), match)
    assert names(result) == CANCELLING.needed
    assert found[-1] is result


def test_of_a_large_program_no_pairs_are_tried():
    oracle = CANCELLING.oracle()
    aim = replace(AIM, prune=replace(AIM.prune, paired=3))
    program = CANCELLING.program
    result, trials, _ = drive(eliminate_pairs(program, oracle, aim, BUDGET), measuring(oracle, BUDGET))
    assert result is program
    assert not trials


def test_what_elimination_leaves_is_1_minimal(planted, oracle):
    result, _ = pruned(eliminate, planted, oracle)
    means, match = mean_values(result, oracle, BUDGET), measuring(oracle, BUDGET)
    for removal in removals(result):
        smaller = without(result, removal, means)
        assert complexity(smaller, AIM.prune) >= complexity(result, AIM.prune) or match(Trial(smaller, "")) < AIM.threshold


@pytest.fixture
def refitted(monkeypatch):
    """Fits change nothing. Tells of a trial whether it is of what was fitted."""
    fitted = []
    monkeypatch.setattr("drasp.passes.refit.fit", lambda program, *_: fitted.append(program) or program)
    return lambda trial: any(trial.candidate is program for program in fitted)


def test_where_no_cut_holds_as_it_is_smaller_ones_are_refitted(refitted):
    planted = PLANTED[0]
    program, oracle = planted.program, planted.oracle()
    held = []

    def match(trial):
        """One candidate holds: the first that is fitted."""
        if held or not refitted(trial):
            return 0.0
        held.append(trial)
        return 1.0

    result, trials, found = drive(cut_by_rank(program, oracle, AIM, BUDGET), match)
    assert result.digest == lowest_ablated(program, oracle, AIM.prune.refitted_shares[0]).digest
    assert found == [result]
    shares = [share for share in AIM.prune.shares if int(share * len(ablation_points(program))) >= 2]
    assert [trial.candidate.digest for trial in trials[: len(shares)]] == [lowest_ablated(program, oracle, s).digest for s in shares]


def test_what_failed_is_put_off_and_tried_again_when_nothing_else_is_left(refitted):
    """One line can only go when another has, and all only with a refit."""
    planted = PLANTED[0]
    rounds, failed = [[]], set()

    def match(trial):
        if not refitted(trial):
            return 0.0
        left = names(trial.candidate)
        holds = planted.needed <= left and ("logits2" in left or "logits3" not in left)
        rounds[-1].append(trial.trying)
        if holds:
            rounds.append([])
        return float(holds)

    result, _, found = drive(eliminate(planted.program, planted.oracle(), AIM, BUDGET), match)
    assert names(result) == planted.needed
    assert len(found) == len(rounds) - 1
    for tried in rounds:
        before = [trying in failed for trying in tried]
        assert before == sorted(before)
        failed |= set(tried[:-1])
    assert any(trying in failed for trying in rounds[-2])


SMALL = replace(
    PLANTED[2],
    body="""s1 = select(q=pos, k=pos, op=6*(k == q - 1))
a1 = aggregate(s=s1, v=token)
n1 = norm(a1, op=G)
logits1 = project(inp=a1 / n1, op=B)
logits2 = project(inp=token, op=C)
prediction = sigmoid(logits1 + logits2)
""",
    operators={"G": np.eye(6), "G.eps": np.array(1e-5), "B": 8 * np.eye(6) - 4, "C": 0.01 * np.eye(6)},
)


def test_each_part_can_be_removed_and_each_variable_norm_and_head_with_all_that_reads_it():
    found = removals(SMALL.program)
    selector, line, small = ("s1", "line", ""), ("logits1", "line", ""), ("logits2", "line", "")
    read, divided = ("n1", "input", "a1"), ("logits1", "division", "0")
    assert {*found} == {*map(frozenset, ([selector], [read], [divided], [line], [small], [read, line]))}
    assert len(found) == len({*found})


def test_what_a_removal_leaves_is_simplified_and_keeps_its_names():
    program, oracle = SMALL.program, SMALL.oracle()
    means = mean_values(program, oracle, BUDGET)
    assert names(without(program, frozenset({("logits1", "division", "0")}), means)) == names(program) - {"n1"}
    assert names(without(program, frozenset({("s1", "line", "")}), means)) == names(program) - {"s1"}
    assert names(without(program, frozenset({("n1", "input", "a1"), ("logits1", "line", "")}), means)) == {"logits2", "prediction"}


def test_removals_are_tried_in_the_order_of_the_loss_after_them_for_what_they_save(planted, oracle):
    order = by_loss(Left(planted.program, oracle, AIM, BUDGET))
    means = mean_values(planted.program, oracle, BUDGET)
    smaller = [without(planted.program, removal, means) for removal in order]
    saved = [complexity(planted.program, AIM.prune) - complexity(program, AIM.prune) for program in smaller]
    costs = [loss(program, oracle) / s for program, s in zip(smaller, saved, strict=True)]
    assert all(s > 0 for s in saved)
    assert costs == sorted(costs)
    assert len(order) > 2
    assert not {statement for statement, _, _ in order[0]} & planted.needed - {"logits1"}


def loss(program, oracle):
    """The mean loss of a program to the model's margins on the batches by which removals are put in order."""
    run = Executor(program)
    with torch.no_grad():
        losses = [
            oracle.loss(run.scored_logits(b.token_ids, b.position_ids, b.scored), b, AIM.refit.targets).mean()
            for b in oracle.sample[:: AIM.prune.loss_every]
        ]
    return float(torch.stack(losses).mean())


def test_attribution_is_the_mean_gradient_of_the_loss_by_each_multiplier(planted, oracle):
    found = attribution(planted.program, oracle, BUDGET)
    assert list(found) == ablation_points(planted.program)
    run, means, step = Executor(planted.program, dtype=torch.float64), mean_values(planted.program, oracle, BUDGET), 1e-4
    means = {point: torch.from_numpy(value) for point, value in means.items()}
    for point, value in found.items():
        total, count = 0.0, 0
        for batch in oracle.sample:
            losses = []
            for multiplier in (1 - step, 1 + step):
                mask = Mask({point: 0}, torch.tensor([multiplier], dtype=torch.float64), means)
                logits = run.scored_logits(batch.token_ids, batch.position_ids, batch.scored, mask)
                by_row = torch.zeros(batch.sequences, dtype=torch.float64)
                losses.append(by_row.index_add(0, batch.rows, oracle.loss(logits, batch, "hard")))
            total += float((losses[1] - losses[0]).abs().sum()) / (2 * step)
            count += batch.sequences
        assert value == pytest.approx(total / count, rel=2e-2, abs=1e-5)


def test_what_does_nothing_has_no_attribution():
    program = replaced(SMALL.program, "logits2", "project(inp=token, op=0*(out == inp))")
    oracle = SMALL.oracle()
    found = attribution(program, oracle, BUDGET)
    assert found[AblationPoint("logits2", "line")] == 0
    assert all(value > 0 for point, value in found.items() if point.statement != "logits2")


AVERAGED = replace(
    SMALL,
    body="""s1 = select(q=pos, k=pos, op=6*(k == q - 1))
a1 = aggregate(s=s1, v=token)
n1 = norm(a1, op=G)
a2 = aggregate(s=[], v=token / n1)
m1 = mlp(a1, pos / n1, one, op=M)
logits1 = project(inp=a1 / n1, op=B)
logits2 = project(inp=m1, op=C)
logits3 = project(inp=a2, op=D)
prediction = sigmoid(logits1 + logits2 + logits3)
""",
    operators={
        **{name: np.random.default_rng(2).normal(size=shape) for name, shape in {"B": (6, 6), "C": (4, 6), "D": (6, 6)}.items()},
        "G": np.diag([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        "G.eps": np.array(0.1),
        **random_mlp("M", [6, POSITIONS, 1], 1.0),
    },
)


@pytest.fixture(scope="module")
def averaged():
    """The means of a program by the points, on two sequences of which the last two positions are scored; and all its values there."""
    program = AVERAGED.program
    token_ids, position_ids = np.array([[2, 0, 1, 1, 0, 5], [2, 1, 1, 1, 1, 1]]), np.arange(6)[None] + np.array([[3], [8]])
    scored = np.array([[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 1, 1]], dtype=bool)
    tensors = [torch.from_numpy(array) for array in (token_ids, position_ids, scored)]
    batch = Batch(*tensors, tensors[2].nonzero()[:, 0], torch.zeros(4, 6), -1)
    found = mean_values(program, SimpleNamespace(sample=[batch], device=torch.device("cpu")), BUDGET)
    return found, program, evaluate(program, token_ids, position_ids).values, token_ids, position_ids, scored


def test_what_only_feeds_the_output_is_averaged_over_the_scored_positions_and_the_rest_over_all(averaged):
    found, program, values, _, position_ids, scored = averaged
    read = np.array([[1, 1, 1, 1, 1, 0], [1] * 6], dtype=bool)  # up to the last that is scored
    one_hot = np.eye(POSITIONS)[position_ids] / values["n1"]
    for point, value, where in (
        (AblationPoint("m1", "input", 0), values["a1"] @ program.operators["M.in.0"], scored),
        (AblationPoint("m1", "input", 1), one_hot @ program.operators["M.in.1"], scored),
        (AblationPoint("logits1", "line"), values["a1"] / values["n1"] @ program.matrix("logits1"), scored),
        (AblationPoint("logits3", "line"), values["a2"] @ program.matrix("logits3"), scored),
    ):
        np.testing.assert_allclose(found[point], value[where].mean(0), atol=1e-4)
    mean = values["a1"][read].mean(0)  # attention reads what this divides
    norm = found[AblationPoint("n1", "input", 0)]  # in a basis of its own
    np.testing.assert_allclose(norm @ norm, mean @ program.operators["G"] @ mean, rtol=1e-5)


def test_a_divisor_is_averaged_by_the_coordinate_of_what_it_divides_where_that_is_one_hot(averaged):
    found, _, values, token_ids, position_ids, scored = averaged
    read = np.array([[1, 1, 1, 1, 1, 0], [1] * 6], dtype=bool)
    inverse = 1 / values["n1"][..., 0]
    by_token = [inverse[read & (token_ids == token)] for token in range(6)]
    expected = [part.mean() if part.size else inverse[read].mean() for part in by_token]
    np.testing.assert_allclose(found[AblationPoint("a2", "division", 0)], expected, rtol=1e-5)
    by_position = [inverse[scored & (position_ids == position)] for position in range(POSITIONS)]
    expected = [part.mean() if part.size else inverse[scored].mean() for part in by_position]
    np.testing.assert_allclose(found[AblationPoint("m1", "division", 1)], expected, rtol=1e-5)
    np.testing.assert_allclose(found[AblationPoint("logits1", "division", 0)], [inverse[scored].mean()], rtol=1e-5)


def test_selectors_and_what_reads_the_constant_have_no_mean(averaged):
    found, program, *_ = averaged
    assert {*found} == {*ablation_points(program)} - {AblationPoint("s1", "line"), AblationPoint("m1", "input", 2)}


def test_a_fit_brings_predictions_back():
    planted = PLANTED[1]
    oracle = planted.oracle()
    match = measuring(oracle, BUDGET)
    wrong = replaced(planted.program, "logits1", 'project(inp=a1, op={"a": {"a": 8}, "b": {"b": 6.5}})')
    before = match(Trial(wrong, ""))
    fitted = fit(wrong, oracle, Schedule(replace(AIM.refit, steps=60), 0.05, seed=0), BUDGET)
    assert before < 0.9
    assert match(Trial(fitted, "")) > (1 + before) / 2
    assert loss(fitted, oracle) < loss(wrong, oracle) / 2


def test_a_fit_by_margins_leaves_what_is_exact_as_it_is(planted, oracle):
    fitted = fit(planted.program, oracle, Schedule(AIM.refit, 0.01, seed=0), BUDGET)
    assert measuring(oracle, BUDGET)(Trial(fitted, "")) == 1


def test_a_fit_depends_on_its_seed_and_on_nothing_else(planted, oracle):
    how = Schedule(replace(AIM.refit, targets="hard", steps=3), 0.01, seed=0)
    first, again, other = (fit(planted.program, oracle, schedule, BUDGET).digest for schedule in (how, how, replace(how, seed=1)))
    assert first == again != other


def test_a_fit_stops_in_the_middle():
    oracle, budget = SMALL.oracle(), Budget.of_work(1000, BudgetTuning(pace=1))
    with pytest.raises(OutOfBudget):
        fit(SMALL.program, oracle, Schedule(replace(AIM.refit, steps=10_000), 0.003, seed=0), budget)
    assert 1000 <= budget.spent() < 1000 + 3 * len(SMALL.program.statements) * 3  # no more than a step over it


def test_means_and_units_of_a_fit_are_charged():
    oracle, budget = SMALL.oracle(), Budget.of_work(1e6, BudgetTuning(pace=1))
    fit(SMALL.program, oracle, Schedule(replace(AIM.refit, steps=0), 0.01, seed=0), budget)
    assert budget.spent() == 2 * len(SMALL.program.statements) * len(oracle.sample)


def transformer(heads=1, **changes):
    """A random Transformer of one layer that tells the letters apart; its block has some weights changed."""
    model = random_transformer(1, heads, 0, positions=POSITIONS)
    return replace(model, blocks=(replace(model.blocks[0], **changes),))


def even(model):
    """The Transformer with a block that adds nothing, no positions, and embeddings that are all as long: its norms are constant."""
    block = model.blocks[0]
    mlp = replace(block.mlp, w_out=0 * block.mlp.w_out, b_out=0 * block.mlp.b_out)
    block = replace(block, w_head_out=0 * block.w_head_out, b_head_out=0 * block.b_head_out, mlp=mlp)
    centred = model.token_embedding - model.token_embedding.mean(1, keepdims=True)
    embedding = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return replace(model, blocks=(block,), token_embedding=embedding, position_embedding=0 * model.position_embedding)


def edges_of(oracle):
    return Edges(oracle, AIM.circuit.unit_floor, BUDGET)


def linear(oracle, match):
    return drive(linear_norms(edges_of(oracle), oracle, AIM, BUDGET), match)


def test_norms_that_are_constant_are_linear_as_they_are(refitted):
    oracle = transformer_oracle(even(transformer()))
    result, trials, found = linear(oracle, measuring(oracle, BUDGET))
    assert measuring(oracle, BUDGET)(trials[0]) == 1
    assert (len(trials), found) == (1, [result])


def test_every_norm_is_made_constant_and_what_that_costs_is_fitted():
    oracle = transformer_oracle(transformer())
    result, trials, found = linear(oracle, measuring(oracle, BUDGET))
    first = trials[0].candidate
    assert any(point.part == "division" for point in ablation_points(expand(edges_of(oracle).whole, oracle, AIM)))
    assert not any(point.part == "division" for point in ablation_points(first))
    match = measuring(oracle, BUDGET)
    assert match(trials[0]) < AIM.threshold
    assert len(trials) > 2
    assert (result is None) == (max(match(trial) for trial in trials) < AIM.threshold)
    assert found == ([] if result is None else [result])


def test_linear_norms_that_a_fit_brings_back_are_what_it_leaves(refitted):
    oracle = transformer_oracle(even(transformer()))
    result, trials, found = linear(oracle, lambda trial: 1.0 if refitted(trial) else 0.985)
    assert refitted(trials[-1])
    assert result is trials[-1].candidate
    assert found == [result]


def test_linear_norms_that_no_fit_brings_back_leave_nothing(refitted):
    result, trials, found = linear(transformer_oracle(even(transformer())), lambda trial: 0.985)
    assert result is None
    assert any(refitted(trial) for trial in trials)
    assert found == []


@pytest.fixture(scope="module")
def two_heads():
    """The oracle of a Transformer one of whose heads adds nothing."""
    model = transformer(heads=2)
    out = model.blocks[0].w_head_out.copy()
    out[1] = 0
    return transformer_oracle(transformer(heads=2, w_head_out=out))


def test_the_circuit_is_pruned_of_what_adds_nothing_and_expanded(two_heads):
    aim = replace(AIM, circuit=replace(AIM.circuit, steps=4, coefficients=2))
    edges, match = edges_of(two_heads), measuring(two_heads, BUDGET)
    result, _, (*circuits, last) = drive(prune_circuit(edges, two_heads, aim, BUDGET), match)
    assert all(match(Trial(circuit, "")) >= aim.threshold for circuit in circuits)
    counts = [circuit.edges for circuit in circuits]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < edges.whole.edges
    assert not any(keep and Sender("head", 0, 1) == sender for (_, sender), keep in zip(edges.wired.edges, circuits[-1].kept, strict=True))
    assert last is result
    assert result.digest == expand(circuits[-1], two_heads, aim).digest
    assert match(Trial(result, "")) == pytest.approx(match(Trial(circuits[-1], "")), abs=0.01)


def test_what_is_too_large_to_expand_is_not(two_heads):
    edges = edges_of(two_heads)
    few = replace(AIM, prune=replace(AIM.prune, expanded=20))
    with pytest.raises(TooLarge, match=r"statements expanded; the search takes 20 at most"):
        expand(edges.whole, two_heads, few)


def test_the_whole_circuit_is_the_model_and_an_edge_less_is_its_mean(two_heads):
    edges = edges_of(two_heads)
    batch = two_heads.short[0]
    torch.testing.assert_close(edges.whole.scored_logits(batch), batch.model_logits, atol=1e-4, rtol=1e-4)
    place = edges.wired.edges.index((Receiver("output", 1), Sender("token")))
    smaller = edges.without(edges.whole, [place])
    assert smaller.edges == edges.whole.edges - 1
    torch.testing.assert_close(smaller.constants[-1], edges.whole.constants[-1] + edges.means[place])
    torch.testing.assert_close(smaller.constants[:-1], edges.whole.constants[:-1])


def test_what_the_edges_bring_is_measured_within_the_budget(two_heads):
    budget = Budget.of_work(1e6, BudgetTuning(pace=1))
    edges = Edges(two_heads, AIM.circuit.unit_floor, budget)
    assert budget.spent() == len(edges.wired.edges) * len(two_heads.sample)
    budget = Budget.of_work(len(edges.wired.edges), BudgetTuning(pace=1))
    with pytest.raises(OutOfBudget):
        Edges(two_heads, AIM.circuit.unit_floor, budget)
    assert budget.spent() == len(edges.wired.edges)


def test_a_circuit_is_fitted_to_the_model(two_heads):
    edges = edges_of(two_heads)
    place = edges.wired.edges.index((Receiver("output", 1), Sender("pos")))
    smaller = edges.without(edges.whole, [place])
    how = replace(AIM.refit, targets="hard", steps=20)
    fitted = edges.fit(smaller, Schedule(how, 0.01, seed=0), BUDGET)
    assert fitted.kept == smaller.kept
    assert edges.loss(fitted, "hard") < edges.loss(smaller, "hard")
    with pytest.raises(OutOfBudget):
        edges.fit(smaller, Schedule(how, 0.01, seed=0), Budget.of_work(3 * 3 * smaller.edges * 5, BudgetTuning(pace=1)))


def test_a_higher_price_leaves_fewer_edges(two_heads):
    tuning = replace(AIM.circuit, steps=25, gate_rate=0.3, first_coefficient=1.0)
    edges = edges_of(two_heads)
    for _ in range(2):
        edges.anneal(tuning, 0.01, BUDGET)
    counts = [edges.whole.edges, *(annealed.circuit.edges for annealed in edges.annealed)]
    assert counts[0] > counts[1] >= counts[2]
    for annealed in edges.annealed:  # what is gone has closed, or nothing needs it any more
        assert not any(keep and odds < 0 for keep, odds in zip(annealed.circuit.kept, annealed.odds.tolist(), strict=True))


def test_the_table_holds_the_mean_logits_of_each_token(planted, oracle):
    table = token_table(planted.program.header, oracle.sample)
    assert [type(statement).__name__ for statement in table.statements] == ["Project", "Prediction"]
    logits = torch.cat([batch.model_logits for batch in oracle.sample])
    ids = torch.cat([batch.token_ids[batch.scored] for batch in oracle.sample])
    for token in range(6):
        expected = logits[ids == token].mean(0) if (ids == token).any() else torch.zeros(6)
        np.testing.assert_allclose(table.operators["B0"][token], expected, atol=1e-4)
