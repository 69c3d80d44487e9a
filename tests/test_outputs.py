"""Programs whose outputs are not their vocabulary, and whose padding nobody attends to: everything that speaks of them."""

from dataclasses import replace

import numpy as np
import pytest

from drasp.errors import DraspError
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from drasp.model.forward import forward
from drasp.model.transformer import Transformer
from drasp.program import Program
from drasp.rewrite.lift import lift
from drasp.run.meaning import meaning
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
    model: Transformer = random_transformer(1, 1, 0)
    model = replace(model, unembedding=model.unembedding[:, :3])
    program = lift(model, replace(header(model), outputs=("x", "y", "z")))
    tokens, positions = random_tokens(model, 0)
    assert np.allclose(Program.of(program).logits(tokens, positions), forward(model, tokens, positions).numpy(), atol=1e-4)
