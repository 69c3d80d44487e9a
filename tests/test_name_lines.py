"""Single lines: what is named has few numbers and means nearly what the dense operator means."""

import numpy as np

from drasp.ir.nodes import Aggregate, Prediction, Project, Read, Select, Table
from drasp.ir.operators import Dense
from drasp.ir.program import Header, Program
from drasp.naming.lines import dense_lines, descriptions
from drasp.naming.tuning import LineTuning
from drasp.tasks.protocol import Sample

VOCABULARY = ("a", "b", "<bos>", "<sep>", "<eos>", "<pad>")


def _program(scores):
    table = np.array([[0.1], [0.3], [0.4], [0], [0], [0]])
    statements = (
        Select("s1", Read("one"), Read("token"), Dense("A1")),
        Table("t1", Read("token"), Dense("T1")),
        Aggregate("a1", ("s1",), Read("token", "t1")),
        Project("logits1", Read("a1"), Dense("B1")),
        Prediction(("logits1",)),
    )
    return Program(Header(VOCABULARY, 30, "next-token-set"), statements, {"A1": scores, "T1": table, "B1": 4 * np.eye(6)})


def _samples():
    rng = np.random.default_rng(0)
    tokens = np.concatenate([np.full((20, 1), 2), rng.integers(0, 2, (20, 9))], 1)
    return [Sample(tokens, np.broadcast_to(np.arange(10), tokens.shape), np.ones(tokens.shape, bool))]


def test_each_dense_line_gets_short_descriptions_close_to_it():
    program = _program(np.array([[2.01, -1.02, 0.03, 55, 66, 77.0]]))
    assert [line.name for line in dense_lines(program)] == ["s1", "t1", "logits1"]
    for line in dense_lines(program):
        found = list(descriptions(program, line, _samples(), LineTuning()))
        assert found
        assert all(op.numbers() <= 16 for op in found)


def test_coordinates_that_never_occur_are_not_described():
    program = _program(np.array([[2.01, -1.02, 0.03, 55, 66, 77.0]]))
    finest = list(descriptions(program, program.by_name["s1"], _samples(), LineTuning()))[-1]
    axis = program.header.axis(program.bases["token"])
    matrix = finest.matrix(program.header.axis(program.bases["one"]), axis)
    assert (matrix[0, 3:] == 0).all()
    differences = np.diff(matrix[0, :3])  # a selector is known up to a constant
    assert np.abs(differences - np.diff([2.01, -1.02, 0.03])).max() <= 0.01
