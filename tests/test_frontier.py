"""The frontier: no program on it is both larger and worse than another, and it stays small."""

import json
import random
from dataclasses import replace

import pytest

from drasp.core.budget import OutOfBudget
from drasp.errors import RunFolderError
from drasp.lang.folder import load_program
from drasp.lang.parser import parse
from drasp.learn.trial import Found, Trial
from drasp.model.bundled import ZOO
from drasp.model.checkpoint import load_transformer
from drasp.passes.circuit import expand, header_of
from drasp.passes.token_table import token_table
from drasp.search import runner
from drasp.search.decompile import decompile
from drasp.search.frontier import Frontier, FrontierTuning, Point, listing
from drasp.search.plan import PLAN, Stage
from drasp.search.record import check_target, load_frontier, save
from drasp.search.settings import Settings
from drasp.tasks.registry import get_task
from small_models import LITTLE

ENTRY = '[{"statements": 4, "opaque": 0, "numbers": 8, "match": 0.5, "measured_on": "select", "file": "."}]'
SHORT = Settings(lengths=(0, 10), evidence="quick")
HEADER = 'drasp 1\nvocabulary "a" <bos>\npositions 6\npredict next-token\n'


def _program(statements, number=1):
    """A program of some statements; with another number it is another one."""
    body = "".join(f"logits{i} = project(op={{<bos>: {i + number}}})\n" for i in range(statements - 1))
    return parse(HEADER + body + f"prediction = softmax({' + '.join(f'logits{i}' for i in range(statements - 1))})\n")


def _points(frontier):
    return [(p.statements, p.match) for p in frontier.with_result(Point(_program(101), 1.0, "evidence"))[:-1]]


@pytest.mark.parametrize("seed", range(8))
def test_what_is_kept_is_what_no_other_program_beats(seed):
    rng = random.Random(seed)
    met = [(rng.randrange(2, 18), rng.randrange(40, 100) / 100) for _ in range(60)]
    frontier = Frontier(FrontierTuning())
    for number, (statements, match) in enumerate(met, 1):
        frontier.add(_program(statements, number), match, "select")
    expected = {(s, m) for s, m in met if m >= 0.5 and not any(o != (s, m) and o[0] <= s and o[1] >= m for o in met)}
    assert _points(frontier) == sorted(expected)


def test_a_program_measured_again_stands_with_its_last_match():
    frontier, program = Frontier(FrontierTuning()), _program(3)
    frontier.add(program, 0.99, "select")
    frontier.add(program, 0.97, "verify")
    assert _points(frontier) == [(3, 0.97)]


def test_of_too_many_programs_those_go_that_gain_least():
    frontier = Frontier(FrontierTuning(points=3))
    for statements, match in ((2, 0.5), (3, 0.75), (4, 0.76), (5, 0.9), (6, 0.91)):
        frontier.add(_program(statements), match, "select")
    assert _points(frontier) == [(2, 0.5), (3, 0.75), (6, 0.91)]


def test_programs_too_large_are_not_kept():
    frontier = Frontier(FrontierTuning())
    frontier.add(_program(101), 1.0, "select")
    assert _points(frontier) == []


@pytest.fixture(scope="module")
def stopped():
    """A search that met the model as a program and the current-token table, and was stopped."""

    def stop(edges, oracle, aim, budget):
        for program in (token_table(header_of(oracle.study), oracle.sample), expand(edges.whole, oracle, aim)):
            yield Trial(program, "")
            yield Found(program)
        raise OutOfBudget

    plan = replace(PLAN, stages=(Stage("only", (stop,), until=0.75),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "PLAN", plan)
        return decompile(load_transformer(ZOO / "bin_majority"), get_task("bin_majority"), SHORT, tuning=LITTLE)


def test_a_run_leaves_its_frontier_beside_the_result(stopped, tmp_path):
    assert [point.statements for point in stopped.frontier] == [2, len(stopped.program.statements)]
    save(tmp_path / "run", stopped.frontier, stopped.evidence)
    entries = load_frontier(tmp_path / "run")
    assert tuple(entries) == stopped.evidence.frontier == listing(stopped.frontier)
    assert json.loads((tmp_path / "run" / "frontier.json").read_text()) == stopped.evidence.to_json()["frontier"]
    assert load_program(tmp_path / "run") == stopped.program
    for entry, point in zip(entries, stopped.frontier, strict=True):
        program = load_program(tmp_path / "run" / entry.file)
        assert program == point.program
        assert len(program.statements) == entry.statements


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '["a"]', '[{"statements": 1}]', ENTRY.replace("0.5", "NaN"), ENTRY.replace('"."', '"../x"'), ENTRY.replace("4", '"4"')],
)
def test_a_damaged_frontier_is_told_in_one_line(text, tmp_path):
    (tmp_path / "frontier.json").write_text(text)
    with pytest.raises(RunFolderError, match="is damaged"):
        load_frontier(tmp_path)


def test_what_is_made_from_a_program_never_takes_the_place_of_it(tmp_path):
    program = tmp_path / "program.drasp"
    program.touch()
    for target in (program, tmp_path / "evidence.json", tmp_path / "frontier.json"):
        for source in (tmp_path, program):
            with pytest.raises(RunFolderError, match="belongs to the program"):
                check_target(target, source, force=True)
    check_target(tmp_path / "report.html", tmp_path, force=False)
