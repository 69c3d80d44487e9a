"""The pools of the search: which sequences they hold, how programs are matched on them, and what is fitted."""

import numpy as np
import pytest
import torch
from drasp.passes.context import SELECTED, VERIFIED, VERIFIED_REST, make_context
from drasp.passes.pools import CLOSE_SHARE, REST_EVERY, Subject, closest_batches, make_batches, margins

from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.model.forward import TorchTransformer
from drasp.tasks.registry import get_task

COUNT = 240
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["D2", "bin_majority"])  # one predicts sets of tokens, the other the next token
def drawn(request):
    """The task, all of some sequences, and those of them that are kept."""
    task, oracle = get_task(request.param), TorchTransformer(load_transformer(ZOO / request.param))

    def draw(how):
        return how(Subject(task, oracle.scored_logits, CPU), np.random.default_rng(3), COUNT, (1, 40), 0, 50)

    return task, draw(make_batches), draw(closest_batches)


def closest(task, batch):
    """For each sequence of a batch, how close the model's closest decision is."""
    found = margins(batch.model_logits, batch.model_logits, task).amin(-1)
    return torch.full((batch.sequences,), torch.inf).scatter_reduce(0, batch.rows, found, "amin")


def test_the_closest_are_kept_and_of_the_rest_a_part_that_stands_for_it(drawn):
    task, every, kept = drawn
    ranked = torch.cat([closest(task, batch) for batch in every]).sort().values
    own = {weight: torch.cat([closest(task, b) for b in kept if b.weight == weight]).sort().values for weight in (1, REST_EVERY)}
    torch.testing.assert_close(own[1], ranked[: COUNT // CLOSE_SHARE])
    torch.testing.assert_close(own[REST_EVERY], ranked[COUNT // CLOSE_SHARE :: REST_EVERY])
    assert sum(batch.weight * batch.sequences for batch in kept) == COUNT


def test_what_is_kept_has_the_models_own_answers(drawn):
    _, every, kept = drawn
    answers = {sequence: logits for batch in every for sequence, logits in answered(batch)}
    for batch in kept:
        for sequence, logits in answered(batch):
            torch.testing.assert_close(logits, answers[sequence])


def answered(batch):
    """Each sequence of a batch, its first position and its tokens as far as they are scored, and the model's logits for it."""
    for row in range(batch.sequences):
        last = int(batch.scored[row].nonzero().max())
        yield (int(batch.position_ids[row, 0]), *batch.token_ids[row, : last + 1].tolist()), batch.model_logits[batch.rows == row]


@pytest.fixture(scope="module")
def context():
    task, oracle = get_task("bin_majority"), TorchTransformer(load_transformer(ZOO / "bin_majority"))
    return make_context(
        Subject(task, oracle.scored_logits, CPU), (0, 150), 0, lambda what, program: None, lambda: None, lambda program: None
    )


def other(logits):
    """Logits that predict something else everywhere."""
    return logits.roll(1, -1)


def test_what_is_kept_of_each_band_stands_for_all_that_were_drawn(context):
    for pool, count, rest in ((context.select, SELECTED, REST_EVERY), (context.verify, VERIFIED, VERIFIED_REST)):
        assert {batch.weight for batch in pool.batches} == {1, rest}
        for band in range(context.band_count):
            assert sum(batch.weight * batch.sequences for batch in pool.batches if batch.band == band) == count


def test_match_counts_what_a_sequence_stands_for(context):
    pool, band = context.select, 1
    drawn = sum(batch.weight * batch.sequences for batch in pool.batches if batch.band == band)
    missed = next(batch for batch in pool.batches if batch.band == band and batch.weight > 1)

    def logits(batch):
        return other(batch.model_logits) if batch is missed else batch.model_logits

    assert context.share(logits, pool) == pytest.approx(1 - missed.weight * missed.sequences / drawn)


def test_what_falls_short_does_so_soon(context):
    pool = context.select
    hard = pool.batches[-1]
    context.share(lambda batch: other(batch.model_logits) if batch is hard else batch.model_logits, pool)
    tried = []

    def logits(batch):
        tried.append(batch)
        return other(batch.model_logits) if batch is hard else batch.model_logits

    assert context.share(logits, pool, at_least=1.0) < 1
    assert tried[0] is hard
    assert len(tried) < len(pool.batches)


def test_a_count_that_stopped_does_not_change_the_order(context):
    pool = context.select
    context.share(lambda batch: batch.model_logits, pool)
    before = list(pool.misses)
    assert context.share(lambda batch: other(batch.model_logits), pool, at_least=0.9) < 0.9
    assert list(pool.misses) == before


def test_margins_ask_for_no_more_than_the_model_has_or_than_is_safe(context):
    batch = context.short[0]
    loss = context.loss(batch.model_logits, batch, "margins")
    assert not loss.any()
    assert not context.loss(5 * batch.model_logits, batch, "margins").any()
    assert (context.loss(other(batch.model_logits), batch, "margins") > 0).all()


def test_the_margin_of_a_set_is_that_of_each_token():
    logits = torch.tensor([[2.0, -3.0], [-1.0, 0.5]])
    model = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
    torch.testing.assert_close(margins(logits, model, get_task("D2")), torch.tensor([[2.0, -3.0], [1.0, 0.5]]))


def test_the_margin_of_a_next_token_is_over_the_best_other():
    logits = torch.tensor([[2.0, 5.0, 1.0]])
    model = torch.tensor([[9.0, 0.0, 0.0]])
    torch.testing.assert_close(margins(logits, model, get_task("bin_majority")), torch.tensor([[-3.0]]))
