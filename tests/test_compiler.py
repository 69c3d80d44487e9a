"""The compiler of the benchmarks: a program as weights."""

import numpy as np
import pytest

from compiler import compile_program, heads_of
from drasp.errors import DraspError
from drasp.lang.parser import parse
from drasp.model.forward import TorchTransformer
from drasp.model.wiring import Sender
from drasp.run.numpy_fast import evaluate

HEADER = 'drasp 1\nvocabulary "a" "b" <bos> <sep> <eos> <pad>\npositions 24\npredict next-token-set\n'
BODY = """s0 = select(q=pos, k=pos, op=20*(k == q - 1))
a0 = aggregate(s=s0, v=token)
s1 = select(q=token, k=a0, op=15*(k == q))
s2 = select(k=pos, op=0.3*last)
a1 = aggregate(s=s1+s2, v=token)
a2 = aggregate(s=[], v=a0)
m = [step(a2["a"] - 2*a2["b"] + 0.25*a2[<bos>]), step(-a1["b"] + 0.37)]
logits0 = project(inp=m, op={0: {"a": 8}, 1: {<eos>: 8}})
logits1 = project(inp=a0, op=6*(out == inp))
logits2 = project(op={"a": -3, "b": -3, <bos>: -9, <sep>: -9, <eos>: -4, <pad>: -9})
prediction = sigmoid(logits0 + logits1 + logits2)
"""


def test_a_compiled_program_attends_and_answers_as_it_does():
    program = parse(HEADER + BODY)
    assert [[head.name for head in layer] for layer in heads_of(program)] == [["a0"], ["a1", "a2"]]
    rng = np.random.default_rng(0)
    token_ids = rng.integers(0, 2, (40, 20))
    token_ids[:, 0] = 2
    position_ids = rng.integers(0, 5, (40, 1)) + np.arange(20)
    model, trace = TorchTransformer(compile_program(program)), evaluate(program, token_ids, position_ids)
    attention = model.attention(token_ids, position_ids)
    for head, name in {Sender("head", 0, 0): "a0", Sender("head", 1, 0): "a1", Sender("head", 1, 1): "a2"}.items():
        assert np.abs(attention[head].numpy() - trace.attention[name]).max() < 1e-3
    forms = [trace.values["a2"] @ [1, -2, 0.25, 0, 0, 0], 0.37 - trace.values["a1"][..., 1]]
    clear = np.abs(forms).min(0) > 0.005  # nearer than that to 0, a step may be anything between 0 and 1
    assert clear.mean() > 0.9
    assert np.abs(model(token_ids, position_ids).numpy() - trace.logits)[clear].max() < 0.02


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('m = [relu(token["a"])]\nlogits0 = project(inp=m, op={0: {"a": 8}})', "m cannot be compiled"),
        ('m = [step(token["a"] * token["b"])]\nlogits0 = project(inp=m, op={0: {"a": 8}})', "is no sum of coordinates"),
    ],
)
def test_what_cannot_be_compiled_is_refused(line, why):
    with pytest.raises(DraspError, match=why):
        compile_program(parse(f"{HEADER}{line}\nprediction = sigmoid(logits0)\n"))
