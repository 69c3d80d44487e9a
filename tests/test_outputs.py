"""Programs whose outputs are not their vocabulary, and whose padding nobody attends to: everything that speaks of them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from drasp.core.budget import Budget
from drasp.errors import DraspError
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from drasp.learn.evaluation import Examinee, draw
from drasp.learn.pools import Study, draw_few
from drasp.learn.tuning import PoolTuning
from drasp.model.forward import forward
from drasp.model.transformer import cut
from drasp.passes.circuit import header_of
from drasp.program import Program
from drasp.rewrite.lift import lift
from drasp.run.meaning import meaning
from drasp.tasks.examples import examples
from drasp.tasks.user import checked_sample
from drasp.view.captions import captions
from drasp.view.exports.python import to_python
from drasp.view.report.page import report
from small_models import header, random_tokens, random_transformer

SIGN = """drasp 2
vocabulary "0".."4" "."
outputs "neg" "zero" "pos" "2"
positions 9
predict next-token
order "0".."4"
attention bidirectional
pad "."

a1 = aggregate(s=[], v=token)
m1 = a1["4"] - a1["0"]
logits1 = project(inp=m1, op={0: {"neg": -1, "pos": 1}})
logits2 = project(op={"zero": 0.25})
logits3 = project(inp=token, op=2*(out == inp))
prediction = softmax(logits1 + logits2 + logits3)
"""


def test_the_header_says_outputs_and_padding_and_is_read_again() -> None:
    program = parse(SIGN)
    assert program.header.outputs == program.header.predicted == ("neg", "zero", "pos", "2")
    assert program.header.pad == "."
    assert print_program(program) == SIGN
    assert program.header.symbols.tolist() == [0, 1, 2, 3, 4]


def test_an_output_that_is_called_as_a_token_is_that_token() -> None:
    matrix = parse(SIGN).matrix("logits3")
    assert matrix.shape == (6, 4)
    assert np.argwhere(matrix).tolist() == [[2, 3]]


def test_padding_is_never_attended_to() -> None:
    program = parse(SIGN)
    alone, padded = (meaning(program, ids, range(len(ids))) for ids in ([4, 0, 4], [4, 0, 4, 5, 5]))
    assert np.allclose(alone["a1"], padded["a1"][:3])


def test_what_is_said_of_a_sequence_speaks_of_outputs() -> None:
    trace = Program.of(parse(SIGN)).trace("4 0 4 .")
    assert trace.predictions == ("pos", "pos", "pos", "pos")
    assert trace.coordinates("logits1") == ('"neg"', '"zero"', '"pos"', '"2"')
    assert "logits2: zero 0.25" in trace.text()


def test_exports_captions_and_report_speak_of_outputs() -> None:
    program = parse(SIGN)
    assert captions(program)["prediction"] == "the output: softmax of logits1 + logits2 + logits3"
    assert captions(program)["logits2"].startswith("output")
    text = to_python(program)
    space: dict[str, object] = {}
    exec(text, space)
    assert space["predict"](["4", "0", "4", "."]) == ["pos"] * 4  # type: ignore[operator]
    assert space["predict"](["2", "0", "4", "."])[0] == "2"  # type: ignore[operator]
    assert '"outputs":["neg","zero","pos","2"]' in report(program, None, "x")


def test_outputs_have_no_order_and_only_their_names() -> None:
    with pytest.raises(DraspError, match=r"the coordinates of output\[4\] have no order"):
        parse(SIGN.replace("out == inp", "out < inp"))
    with pytest.raises(DraspError, match='output "0" is not one of the outputs'):
        parse(SIGN.replace('{"zero": 0.25}', '{"0": 0.25}'))


def test_a_model_with_other_outputs_is_lifted_as_it_is() -> None:
    model = random_transformer(1, 1, 0)
    model = cut(model, 6, 3, None)
    program = lift(model, replace(header(model), outputs=("x", "y", "z")))
    tokens, positions = random_tokens(model, 0)
    assert np.allclose(Program.of(program).logits(tokens, positions), forward(model, tokens, positions).numpy(), atol=1e-4)


def test_nothing_is_cut_behind_the_last_scored_position_where_attention_sees_it() -> None:
    task = examples(
        lambda rng, count, lengths: [["0", *rng.choice(["1", "2"], size)] for size in rng.integers(1, 7, count)], scored=0, pad="."
    )
    sample = checked_sample(task, np.random.default_rng(0), 50, (0, 50))
    assert (sample.ends == 1).all()
    assert sample.reach(True).tolist() == sample.lengths.tolist()
    assert sample.real(True).sum() == sample.lengths.sum()

    def counts(token_ids: np.ndarray, position_ids: np.ndarray) -> np.ndarray:
        found = np.stack([(token_ids == token).sum(1) for token in range(3)], 1)
        return np.repeat(found[:, None], token_ids.shape[1], 1)

    def predicted(bidirectional: bool) -> np.ndarray:
        drawn = draw(Examinee(task, counts, (0, 50), bidirectional=bidirectional), 50, np.random.default_rng(0))
        return np.unique(np.concatenate([chunk.model for chunk in drawn.chunks]))

    assert len(predicted(False)) == 1  # "0" alone
    assert len(predicted(True)) > 1


def test_the_search_sees_the_whole_sequence_too() -> None:
    task = examples(lambda rng, count, lengths: rng.integers(0, 3, (count, 6)), scored=0)
    model = SimpleNamespace(bidirectional=True, padding=2, blocks=(), heads=1, positions=6)
    oracle = SimpleNamespace(device=torch.device("cpu"), scored_logits=lambda t, p, s: torch.zeros(int(s.sum()), 3))
    study = Study(model, task, oracle)  # type: ignore[arg-type]
    (batch, *_) = draw_few(study, (0, 50), 0, PoolTuning(), Budget.of_seconds())
    assert batch.token_ids.shape[1] == 6
    found = header_of(study)
    assert (found.bidirectional, found.pad) == (True, "2")
