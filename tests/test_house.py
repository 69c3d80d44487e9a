"""What keeps the house in order: short functions, few parameters, one reader of the clock, no steering numbers outside of records."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "drasp"
LONGEST, MANY_PARAMETERS, WITH_MANY = 50, 6, 5
SEARCH_SIDE = ("learn", "passes", "naming", "rewrite", "evidence", "search")
FORMATS = {"VERSION"}
CLOCK = {"monotonic", "perf_counter", "time", "process_time"}
READS_THE_CLOCK = {"core/budget.py"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def functions() -> Iterator[tuple[str, Function]]:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function):
                yield f"{path.relative_to(SRC)}:{node.lineno} {node.name}", node


def parameters(function: Function) -> int:
    """Without `self` and `cls`."""
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def test_no_function_is_longer_than_a_screen() -> None:
    assert not [where for where, f in functions() if (f.end_lineno or 0) - f.lineno + 1 > LONGEST]


def test_few_functions_have_many_parameters() -> None:
    found = [where for where, f in functions() if parameters(f) > MANY_PARAMETERS]
    assert len(found) <= WITH_MANY, found


@pytest.mark.parametrize("package", SEARCH_SIDE)
def test_numbers_that_steer_are_fields_of_records(package: str) -> None:
    found = []
    for path in (SRC / package).rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            if value is not None and _numeric(value) and not names & FORMATS:
                found.append(f"{path.relative_to(SRC)}:{node.lineno}")
    assert not found


def _numeric(value: ast.expr) -> bool:
    """Whether a value is a number, or a collection of such."""
    if isinstance(value, ast.Constant):
        return isinstance(value.value, int | float) and not isinstance(value.value, bool)
    if isinstance(value, ast.Tuple | ast.List | ast.Set):
        return any(_numeric(part) for part in value.elts)
    if isinstance(value, ast.BinOp):
        return _numeric(value.left) or _numeric(value.right)
    return isinstance(value, ast.UnaryOp) and _numeric(value.operand)


def test_the_budget_alone_reads_the_clock() -> None:
    found = [
        f"{path.relative_to(SRC)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time" and node.attr in CLOCK
    ]
    assert not [where for where in found if where.split(":")[0] not in READS_THE_CLOCK]


def test_every_knob_has_a_unit_and_an_origin() -> None:
    from dataclasses import fields, is_dataclass

    from drasp.search.settings import Tuning

    def knobs(record: type) -> Iterator[str]:
        for each in fields(record):
            value = each.default if not callable(each.default_factory) else each.default_factory()
            if is_dataclass(value):
                yield from knobs(type(value))
            elif not (each.metadata.get("unit") and each.metadata.get("origin")):
                yield f"{record.__name__}.{each.name}"

    assert not list(knobs(Tuning))
