"""Exact rewrites: what the files under `programs/` show, and the same meaning for random programs over everything the language has."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from drasp.ir.nodes import Bilinear, Read, Statement, with_read, with_reads
from drasp.ir.operators import Dense
from drasp.ir.program import Program
from drasp.lang.parser import parse
from drasp.naming.heads import undivided
from drasp.rewrite.ablate import Ablation, ablate
from drasp.rewrite.draft import Draft
from drasp.rewrite.simplify import simplify
from drasp.rewrite.tidy import tidy
from drasp.run.gated import AblationPoint, Executor, Mask
from drasp.run.numpy_fast import logits
from program_files import after, cases, lines, notes, read, sequences
from strategies import inputs, programs

moderate = st.integers(-40, 40).map(lambda n: n / 8)
HEADER = 'drasp 1\nvocabulary "a" "b" <bos> <sep> <eos> <pad>\npositions 12\npredict next-token-set\n'


def difference(one, other):
    token_ids, position_ids = sequences(one)
    return np.abs(logits(one, token_ids, position_ids) - logits(other, token_ids, position_ids)).max()


@pytest.mark.parametrize("file", cases("simplify"))
def test_simplify(file):
    program = read(file)
    smaller = simplify(program)
    assert lines(smaller) == after(file)
    assert difference(program, smaller) < 1e-9


@pytest.mark.parametrize("file", cases("tidy"))
def test_tidy(file):
    program = read(file)
    renamed = tidy(program, 0.05)
    assert lines(renamed) == after(file)
    assert difference(program, renamed) < 1e-4  # single precision


@pytest.mark.parametrize("file", cases("undivided"))
def test_undivided(file):
    assert lines(undivided(read(file))) == after(file)


@pytest.mark.parametrize("file", cases("ablate"))
def test_ablate(file):
    """A comment gives the multiplier of a part. Its mean is 0; half of what it divides stands in for a divisor."""
    program = read(file)
    found = [(name.split(), value) for name, value in notes(file).items()]
    multipliers = {AblationPoint(words[0], words[1], int(words[2])): float(value) for words, value in found if len(words) == 3}
    means = {point: np.full(1, 0.5) for point in multipliers if point.part == "division"}
    smaller = ablate(program, Ablation(multipliers, means))
    assert lines(smaller) == after(file)
    token_ids, position_ids = sequences(program)
    mask = Mask(
        {point: i for i, point in enumerate(multipliers)},
        torch.tensor(list(multipliers.values()), dtype=torch.float64),
        {point: torch.from_numpy(mean) for point, mean in means.items()},
    )
    executor = Executor(program, dtype=torch.float64)
    expected = executor.logits(torch.from_numpy(token_ids), torch.from_numpy(position_ids), mask).numpy()
    assert np.abs(logits(smaller, token_ids, position_ids) - expected).max() < 1e-8


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_program_means_the_same_simplified(data):
    program = data.draw(programs(moderate))
    token_ids, position_ids = data.draw(inputs(program))
    expected = logits(program, token_ids, position_ids)
    scale = max(1.0, float(np.abs(expected).max()))
    assume(np.isfinite(expected).all() and scale < 1e6)
    smaller = simplify(program)
    assert len(smaller.statements) <= len(program.statements)
    assert np.abs(logits(smaller, token_ids, position_ids) - expected).max() <= 1e-6 * scale


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_statement_takes_its_reads_in_order_and_each_can_be_changed(data):
    for statement in data.draw(programs(moderate)).statements:
        taken = _taken(statement)
        assert list(dict.fromkeys(taken)) == list(dict.fromkeys(statement.reads))
        for slot in range(len(statement.reads)):
            changed = with_read(statement, slot, Read("other"))
            expected = [Read("other") if i == slot else read for i, read in enumerate(statement.reads)]
            assert list(changed.reads) == list(dict.fromkeys(expected)) or list(changed.reads) == expected


def _taken(statement: Statement) -> list[Read]:
    taken: list[Read] = []

    def note(read: Read) -> Read:
        taken.append(read)
        return read

    with_reads(statement, note)
    return taken


def test_statements_that_share_a_tensor_change_apart():
    program = parse(
        HEADER + "logits1 = project(inp=token, op=B)\na1 = aggregate(s=[], v=token)\nlogits2 = project(inp=a1, op=B)\n"
        "prediction = sigmoid(logits1 + logits2)\n",
        {"B": np.eye(6)},
    )
    draft = Draft.of(program)
    draft.scale("logits2", 2.0)
    built = draft.build()
    assert (built.matrix("logits1") == np.eye(6)).all()
    assert (built.matrix("logits2") == 2 * np.eye(6)).all()


def test_a_symbolic_operator_is_dense_only_once_it_is_changed():
    program = parse(HEADER + "logits1 = project(inp=token, op=2*(out == inp))\nprediction = sigmoid(logits1)\n")
    draft = Draft.of(program)
    assert draft.build() == program
    draft.scale("logits1", 0.5)
    assert not _dense(draft.build())
    draft.set_matrix("logits1", draft.matrix("logits1") + np.eye(6))
    assert _dense(draft.build()) == ["logits1"]
    assert (draft.build().matrix("logits1") == 2 * np.eye(6)).all()


def _dense(program: Program) -> list[str]:
    return [s.name for s in program.statements if isinstance(s, Bilinear) and isinstance(s.op, Dense)]


TELLING = """
s1 = select(q=pos, k=pos, op=15*(k == q - 1))
s2 = select(q=pos, k=pos, op=2*(k == q - 1))
s3 = select(q=pos, k=pos, op=15*(k == q - 2))
a1 = aggregate(s=[], v=token)
a2 = aggregate(s=s1, v=token)
a3 = aggregate(s=s1, v=pos)
a4 = aggregate(s=s2, v=token)
a5 = aggregate(s=s3, v=token)
a6 = aggregate(s=s1+s3, v=token)
a7 = aggregate(s=[], v=token)
m1 = step(a1["a"] - a1["b"])
m2 = step(a1["a"] - a2["b"])
m3 = step(a1["a"] - a1[<bos>])
m4 = step(a1[<bos>] - a1["a"])
prediction = sigmoid(0)
"""


def test_a_variable_is_called_by_what_it_is_and_by_nothing_that_it_is_not():
    renamed = tidy(parse(HEADER + TELLING), 0.05)
    names = [s.name for s in renamed.statements]
    assert names == [
        "s1",
        "s2",
        "s3",
        "histogram",
        "prev_token",
        "prev_pos",
        "a1",
        "a2",
        "a3",
        "histogram_2",
        "more_a",
        "m1",
        "more_a_2",
        "m2",
        "prediction",
    ]
