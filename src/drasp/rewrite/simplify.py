"""Exact clean-up: the program computes the same with fewer statements."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np

from drasp.ir.formulas import Number
from drasp.ir.nodes import ONE_READ, Aggregate, Compute, Mlp, Norm, Project, Read, Select, Table
from drasp.ir.operators import Dense
from drasp.ir.program import Program, alive
from drasp.rewrite.draft import Draft, has_axis, is_dense
from drasp.run.numpy_fast import evaluate

ONE_HOT = ("token", "pos")


def simplify(program: Program) -> Program:
    """Repeats the rules below until none applies.

    The result computes the same logits up to rounding, and up to what attention cannot see (a score that is the same for all keys). What is
    symbolic stays so: it merges with nothing, but takes in what is folded into a table.
    """
    draft = Draft.of(program)
    while sum(rule(draft) for rule in RULES):  # every rule in each round
        pass
    return draft.build()


def drop_dead(draft: Draft) -> bool:
    """Statements that the prediction does not depend on."""
    kept = {statement.name for statement in alive(list(draft.statements.values()))}
    dead = [name for name in draft.statements if name not in kept]
    for name in dead:
        draft.remove(name)
    return bool(dead)


def drop_constant_scores(draft: Draft) -> bool:
    """Selectors that are the same for all keys, or zero."""
    dead = [s.name for s in draft.of_type(Select) if s.key == ONE_READ or not draft.matrix(s.name).any()]
    for name in dead:
        draft.remove(name)
    return bool(dead)


def drop_zero_projections(draft: Draft) -> bool:
    """Projections whose operator is zero, but for the last one left."""
    dead = [p.name for p in draft.of_type(Project) if not draft.matrix(p.name).any()]
    dead = dead[: len(draft.of_type(Project)) - 1]
    for name in dead:
        draft.remove(name)
    return bool(dead)


def average_of_one(draft: Draft) -> bool:
    """An average of `one` is `one`."""
    changed = False
    for statement in draft.of_type(Aggregate):
        if statement.value == ONE_READ:
            for reader, slot in draft.readers(statement.name):
                draft.set_read(reader.name, slot, replace(reader.reads[slot], variable="one"))
                changed = True
    return changed


def sums_to_one(draft: Draft, read: Read) -> bool:
    """Whether the coordinates are known to sum to 1: one-hot variables and their averages, not divided by anything."""
    if read.over is not None:
        return False
    if read.variable in (*ONE_HOT, "one"):
        return True
    statement = draft.statements[read.variable]
    return isinstance(statement, Aggregate) and sums_to_one(draft, statement.value)


def joins(draft: Draft, constant: Read, read: Read) -> bool:
    """Whether what is read of `one` can be added to every row of the operator that reads `read`: both over the same divisor, if any."""
    return constant.variable == "one" and constant.over == read.over and sums_to_one(draft, replace(read, over=None))


def merge_selects(draft: Draft) -> bool:
    """Two selectors of the same heads that read the same add up; one that reads `one` joins another whose query or key there sums to 1."""
    heads: dict[str, list[str]] = {}
    for aggregate in draft.of_type(Aggregate):
        for selector in aggregate.selectors:
            heads.setdefault(selector, []).append(aggregate.name)
    groups: dict[tuple[str, ...], list[Select]] = {}
    for select in filter(is_dense, draft.of_type(Select)):
        groups.setdefault(tuple(heads.get(select.name, ())), []).append(select)
    merged: set[str] = set()
    for first, second in (pair for group in groups.values() for pair in permutations(group, 2)):
        if first.name in merged or second.name in merged:
            continue
        same_query, same_key = first.query == second.query, first.key == second.key
        if (same_key and (same_query or joins(draft, second.query, first.query))) or (same_query and joins(draft, second.key, first.key)):
            draft.set_matrix(first.name, draft.matrix(first.name) + draft.matrix(second.name))
            draft.remove(second.name)
            merged.add(second.name)
    return bool(merged)


def merge_projects(draft: Draft) -> bool:
    """Two projections that read the same add up; a constant one joins any whose input sums to 1."""
    for first, second in permutations(filter(is_dense, draft.of_type(Project)), 2):
        if first.input == second.input or joins(draft, second.input, first.input):
            draft.set_matrix(first.name, draft.matrix(first.name) + draft.matrix(second.name))
            draft.remove(second.name)
            return True
    return False


def merge_aggregates(draft: Draft) -> bool:
    """Two averages of the same values under the same selectors are one."""
    seen: dict[tuple[frozenset[str], Read], str] = {}
    changed = False
    for statement in draft.of_type(Aggregate):
        key = (frozenset(statement.selectors), statement.value)
        if key not in seen:
            seen[key] = statement.name
            continue
        for reader, slot in draft.readers(statement.name):
            draft.set_read(reader.name, slot, replace(reader.reads[slot], variable=seen[key]))
            changed = True
    return changed


def merge_inputs(draft: Draft) -> bool:
    """In an mlp or norm, an input read twice is read once; `one` joins any input that sums to 1."""
    statements: list[Mlp | Norm] = [*draft.of_type(Mlp), *draft.of_type(Norm)]
    for statement in statements:
        for i, first in enumerate(statement.inputs):
            for j, second in enumerate(statement.inputs):
                if i != j and (first == second or joins(draft, second, first)):
                    _merge_input(draft, statement, i, j)
                    return True
    return False


def _merge_input(draft: Draft, statement: Mlp | Norm, kept: int, merged: int) -> None:
    blocks = draft.input_blocks(statement)
    blocks[kept] = blocks[kept] + blocks[merged]
    del blocks[merged]
    draft.set_inputs(statement, tuple(r for i, r in enumerate(statement.inputs) if i != merged), blocks)


def fold_tables(draft: Draft) -> bool:
    """What is computed from one one-hot variable alone becomes a table of it, and the table joins the operators that read it. What has none
    goes on reading the table.
    """
    statements: list[Mlp | Norm | Table] = [*draft.of_type(Mlp), *draft.of_type(Norm), *draft.of_type(Table)]
    for statement in filter(is_dense, statements):
        source = _single_source(draft, statement)
        if source is None:
            continue
        table = _tabulate(draft, statement.name, source)
        changed = _fold_divisor(draft, statement.name, source, table[:, 0]) if table.shape[1] == 1 else False
        changed = _fold_values(draft, statement.name, source, table) or changed
        still_read = any(statement.name in r.variables() for s in draft.statements.values() for r in s.reads)
        if still_read and not isinstance(statement, Table):
            op = draft.fresh("T")
            draft.operators[op] = table
            draft.put(Table(statement.name, Read(source), Dense(op)))
            changed = True
        if changed:
            return True
    return False


def _single_source(draft: Draft, statement: Mlp | Norm | Table) -> str | None:
    """The one-hot variable that a statement computes its value from; `one` where it reads nothing else."""
    variables = {r.variable for r in statement.reads} - {"one"}
    if len(variables) > 1 or any(r.over is not None for r in statement.reads):
        return None
    source = variables.pop() if variables else "one"
    return source if source in (*ONE_HOT, "one") else None


def _tabulate(draft: Draft, name: str, source: str) -> np.ndarray:
    """The value of a variable that depends on `source` alone, for each coordinate of it: (size of source, size of variable)."""
    ids = np.arange(draft.basis(source).size)[:, None]
    other = np.zeros_like(ids)
    token_ids, position_ids = (other, ids) if source == "pos" else (ids, other)
    return evaluate(draft.build(), token_ids, position_ids).values[name][:, 0]


def _fold_divisor(draft: Draft, name: str, source: str, sigma: np.ndarray) -> bool:
    """`source / name` is `source` with each row divided; `one / name` is a function of `source` too."""
    changed = False
    for statement in list(draft.statements.values()):
        for slot, read in enumerate(statement.reads):
            if read not in (Read(source, name), Read("one", name)) or not _absorbs(draft, statement.name, slot):
                continue
            if read.variable == source:
                undivide(draft, statement.name, slot, 1 / sigma)
            else:
                _retarget(draft, statement.name, slot, Read(source), lambda op: op / sigma[:, None])
            changed = True
    return changed


def _fold_values(draft: Draft, name: str, source: str, table: np.ndarray) -> bool:
    readers = [(statement, slot) for statement, slot in draft.readers(name) if _absorbs(draft, statement.name, slot)]
    for statement, slot in readers:
        read = draft.statements[statement.name].reads[slot]
        _retarget(draft, statement.name, slot, replace(read, variable=source), lambda op: table @ op)
    return bool(readers)


def undivide(draft: Draft, name: str, slot: int, factor: np.ndarray | float) -> None:
    """Takes the divisor of one read away, and multiplies by `factor` in its place: a scalar, or one number a coordinate.

    Where no operator can take that in, another divisor does: a number, or a table of what is divided.
    """
    read = draft.statements[name].reads[slot]
    if not _absorbs(draft, name, slot):
        divisor, inverse = draft.fresh("d"), 1 / np.asarray(factor, dtype=np.float64).reshape(-1, 1)
        if inverse.size == 1:
            draft.add(Compute(divisor, (Number(float(inverse.item())),)), before=name)
        else:
            op = draft.fresh("T")
            draft.add(Table(divisor, Read(read.variable), Dense(op)), {op: inverse}, before=name)
        draft.set_read(name, slot, replace(read, over=divisor))
        return
    rows = np.broadcast_to(np.asarray(factor, dtype=np.float64), (draft.basis(read.variable).size,))[:, None]
    _retarget(draft, name, slot, replace(read, over=None), lambda op: rows * op)


def _absorbs(draft: Draft, name: str, slot: int) -> bool:
    """Whether all the operators by which a read acts can take in a linear change of it."""
    return all(has_axis(draft.statements[place]) for place, _ in _operators(draft, name, slot))


def _retarget(draft: Draft, name: str, slot: int, read: Read, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Makes a statement take something else in one slot, its operator changed to make up for it: op' = change(op), along that input's axis.

    An average, which has no operator, passes the change on to what reads it. `change` is linear and maps (old size, n) to (new size, n).
    """
    places = list(_operators(draft, name, slot))
    summed = {place: s for place, _ in places if isinstance(s := draft.statements[place], Norm | Mlp)}
    blocks = {place: draft.input_blocks(statement) for place, statement in summed.items()}
    for place, _ in places:
        if place not in summed:
            draft.set_matrix(place, draft.matrix(place))  # symbols mean what they do of what was read before
    draft.set_read(name, slot, read)
    for place, its_slot in places:
        if place in blocks:
            blocks[place][its_slot] = change(blocks[place][its_slot])
        else:
            draft.transform(place, its_slot, change)
    for place, changed in blocks.items():
        statement = draft.statements[place]
        assert isinstance(statement, Norm | Mlp)
        draft.set_inputs(statement, statement.inputs, changed)


def _operators(draft: Draft, name: str, slot: int) -> Iterator[tuple[str, int]]:
    """Where the operators stand by which a read acts: its own statement, or behind an average all that read that."""
    if not isinstance(draft.statements[name], Aggregate):
        yield name, slot
        return
    for reader, reader_slot in draft.readers(name):
        yield from _operators(draft, reader.name, reader_slot)


RULES = (
    drop_dead,
    drop_constant_scores,
    average_of_one,
    merge_selects,
    merge_projects,
    merge_aggregates,
    merge_inputs,
    fold_tables,
    drop_zero_projections,
)
