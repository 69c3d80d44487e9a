"""The rules of a program that text alone cannot break, and what a program offers."""

from dataclasses import replace

import numpy as np
import pytest

from drasp.errors import ProgramError
from drasp.ir.basis import Basis, derived
from drasp.ir.formulas import Coordinate, Number, Read
from drasp.ir.nodes import (
    ONE_READ,
    POS,
    TOKEN,
    Aggregate,
    Case,
    Compute,
    Mlp,
    Norm,
    Prediction,
    Project,
    Select,
    Sharpen,
    Statement,
    Table,
)
from drasp.ir.operators import Dense, Sum, Term
from drasp.ir.primitives.place import Last
from drasp.ir.program import Header, Program

HEADER = Header(("a", "b", "<bos>"), 6, "next-token")
END = Prediction(())
MLP = {
    "M.in.0": np.ones((3, 4)),
    "M.gain": np.ones(4),
    "M.shift": np.ones(4),
    "M.eps": np.float64(1),
    "M.w_in": np.ones((4, 5)),
    "M.b_in": np.ones(5),
    "M.w_out": np.ones((5, 4)),
    "M.b_out": np.ones(4),
}


def program(*statements: Statement, **tensors: object) -> Program:
    return Program(HEADER, (*statements, END), {name.replace("__", "."): np.asarray(a) for name, a in tensors.items()})


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"vocabulary": ()}, "the vocabulary is empty"),
        ({"vocabulary": ("a", "a")}, 'the vocabulary has "a" twice'),
        ({"vocabulary": ("\ud800",)}, "which is no valid text"),
        ({"positions": 0}, "there must be at least 1 position, not 0"),
        ({"predict": "tokens"}, "predicted is next-token or next-token-set, not tokens"),
        ({"order": ()}, "the order is empty"),
        ({"order": ("a", "a")}, 'the order has "a" twice'),
        ({"order": ("a", "z")}, 'token "z" of the order is not in the vocabulary'),
    ],
)
def test_a_malformed_header_cannot_be_made(header: dict[str, object], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        replace(HEADER, **header)


@pytest.mark.parametrize(
    ("statement", "tensors", "message"),
    [
        (Aggregate("a", (), Read("l")), {}, "l is a projection, which only the prediction reads"),
        (Aggregate("a", ("token",), TOKEN), {}, "token is no selector defined before it"),
        (Aggregate("a", (), Read("token", "token")), {}, "token is divided by token, which has 3 coordinates, not 1"),
        (Aggregate("prediction", (), TOKEN), {}, "prediction is the name of the last statement"),
        (Select("a b", POS, POS, Sum((Term(2, Last()),))), {}, "a b can be no name"),
        (Select("and", POS, POS, Sum()), {}, "and can be no name"),
        (Select("s", POS, POS, Dense("last")), {}, "last can be no name"),
        (Select("s", POS, POS, Dense("W")), {"W": np.ones((6, 6), int)}, "W must hold finite numbers of type float32 or float64"),
        (Select("s", POS, POS, Dense("W")), {"W": np.full((6, 6), np.inf)}, "W must hold finite numbers"),
        (Select("s", POS, TOKEN, Dense("W")), {"W": np.ones((3, 6))}, r"W has shape \(3, 6\), expected 6 x 3"),
        (Project("p", TOKEN, Dense("W")), {"W": np.ones(3)}, r"W has shape \(3,\), expected 3 x 3"),
        (Table("t", TOKEN, Dense("W")), {"W": np.ones((2, 5))}, r"W has shape \(2, 5\), expected 3 x any"),
        (Norm("n", (), Dense("G")), {}, "a norm needs an input"),
        (Norm("n", (TOKEN, ONE_READ), Dense("G")), {"G": np.eye(4)}, "G.eps is missing"),
        (Norm("n", (TOKEN, ONE_READ), Dense("G")), {"G": np.eye(3), "G__eps": 1.0}, r"G has shape \(3, 3\), expected 4 x 4"),
        (Norm("n", (TOKEN,), Dense("G")), {"G": np.eye(3), "G__eps": -1.0}, "G.eps is negative"),
        (Mlp("m", (), "M"), MLP, "an mlp needs an input"),
        (Mlp("m", (TOKEN, POS), "M"), MLP, "M.in.1 is missing"),
        (Mlp("m", (POS,), "M"), MLP, r"M.in.0 has shape \(3, 4\), expected 6 x 4"),
        (Mlp("m", (TOKEN,), "M"), {**MLP, "M.sigma": np.float64(0)}, "M.sigma is not positive"),
        (Mlp("m", (TOKEN,), "M"), {**MLP, "M.eps": np.float64(-1)}, "M.eps is negative"),
        (Mlp("m", (TOKEN,), "M"), {**MLP, "M.in.1": np.ones((3, 4))}, "operator M.in.1 is used by no statement"),
        (Compute("c", ()), {}, "there is no formula"),
        (Compute("c", (Coordinate(TOKEN, "z"),)), {}, 'token "z" is not in the vocabulary'),
        (Case("c", TOKEN, ()), {}, "case has no branch"),
        (Case("c", TOKEN, (("a", Number(1)), ("a", Number(2)))), {}, 'case has "a" twice'),
        (Sharpen("c", TOKEN, -1), {}, "the exponent must be positive, not -1"),
    ],
)
def test_an_illegal_statement_is_refused(statement: Statement, tensors: dict[str, object], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        program(Project("l", TOKEN, Sum()), statement, **tensors)


def test_the_error_names_the_statement() -> None:
    with pytest.raises(ProgramError) as caught:
        program(Aggregate("a", (), Read("x")))
    assert caught.value.statement == "a"
    assert caught.value.reason == "x is no variable defined before it"


def test_numbers_of_nodes_are_finite() -> None:
    for make in (lambda: Number(float("nan")), lambda: Sharpen("x", TOKEN, float("inf"))):
        with pytest.raises(ProgramError, match="is no finite number"):
            make()


def test_a_program_ends_with_its_prediction() -> None:
    for statements in ((), (Aggregate("a", (), TOKEN),), (END, Aggregate("a", (), TOKEN))):
        with pytest.raises(ProgramError, match="the last statement must be the prediction"):
            Program(HEADER, statements)
    with pytest.raises(ProgramError, match="prediction: the prediction must be the last statement"):
        Program(HEADER, (END, END))


def test_every_variable_has_the_basis_its_statement_gives_it() -> None:
    statements = (
        Aggregate("a", (), Read("pos", "one")),
        Compute("c", (Number(1), Coordinate(Read("a"), 0))),
        Mlp("m", (TOKEN,), "M"),
        Table("t", TOKEN, Dense("W")),
    )
    found = program(*statements, W=np.ones((3, 2)), **{name.replace(".", "__"): array for name, array in MLP.items()}).bases
    assert found["a"] == Basis("position", 6)
    assert found["c"] == derived(2)
    assert found["m"] == Basis("residual", 4)
    assert found["t"] == derived(2)


def test_a_programs_matrices_are_read_only() -> None:
    made = program(Select("s", POS, POS, Sum((Term(2, Last()),))), Select("t", POS, POS, Dense("W")), W=np.eye(6))
    for name in ("s", "t"):
        with pytest.raises(ValueError, match="read-only"):
            made.matrix(name)[0, 0] = 1


def test_with_statements_leaves_out_the_tensors_that_nothing_uses() -> None:
    made = program(Select("t", POS, POS, Dense("W")), W=np.eye(6))
    assert not made.with_statements([END]).operators
