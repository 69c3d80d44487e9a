"""Pictures: automata are those that tasks and programs are, and what is drawn is XML."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drasp.ir.program import Header, Program
from drasp.lang.folder import load_program
from drasp.lang.parser import parse
from drasp.run.numpy_fast import logits
from drasp.tasks.registry import get_task
from drasp.view.pictures import automaton_figures, counter_figures, reads_picture
from drasp.view.pictures.automaton import Automaton, State, automaton_of, automaton_of_task
from drasp.view.pictures.counters import counter_of
from drasp.view.pictures.states import said, states_picture
from drasp.view.words import algorithm, task_scene
from strategies import programs
from test_evidence_language import D2

ROOT = Path(__file__).parents[1]
SPECIAL = ("<bos>", "<sep>", "<eos>", "<pad>")
TOMITA4 = (ROOT / "examples" / "tomita4.drasp").read_text(encoding="utf-8")


def _own(name: str) -> Automaton | None:
    task = get_task(name)
    return automaton_of_task(task, Header(task.vocabulary, task.positions or 152, task.predict))


@pytest.mark.parametrize(
    ("task", "states"),
    [("D2", 3), ("D3", 4), ("tomita1", 1), ("tomita2", 2), ("tomita3", 4), ("tomita4", 3), ("tomita6", 3), ("aaaastar", 4), ("abcde", 6)],
)
def test_tasks_are_the_automata_that_they_are_known_for(task: str, states: int) -> None:
    found = _own(task)
    assert found is not None
    assert len(found.states) == states


@pytest.mark.parametrize("task", ["D12", "sort", "majority"])
def test_what_counts_far_or_maps_is_no_automaton(task: str) -> None:
    assert _own(task) is None


def test_a_program_is_its_tasks_automaton_or_another() -> None:
    program = parse(TOMITA4)
    found, own = automaton_of(program), _own("tomita4")
    assert found is not None
    assert own is not None
    assert found.same(own)
    (figure,) = automaton_figures(program, get_task("tomita4"))
    assert "automaton of 3 states" in figure.caption
    assert figure.caption.endswith("it is the task's own.")
    other = automaton_figures(program, get_task("tomita2"))
    assert [figure.caption.split(",")[0] for figure in other] == ["What the program does", "The task's own automaton"]


@st.composite
def machines(draw: st.DrawFn) -> list[tuple[bool, list[int | None]]]:
    """Of each state whether it ends, and where each of two symbols leads, if anywhere; one leads somewhere."""
    count = draw(st.integers(1, 4))
    states = []
    for _ in range(count):
        steps = [draw(st.none() | st.integers(0, count - 1)) for _ in range(2)]
        states.append((draw(st.booleans()), steps if any(step is not None for step in steps) else [0, None]))
    return states


def _minimal(machine: list[tuple[bool, list[int | None]]]) -> int:
    """How many states that are reached differ, by refining until nothing is told apart any more (Moore, 1956)."""
    reached = [0]
    for state in reached:
        reached += [step for step in dict.fromkeys(machine[state][1]) if step is not None and step not in reached]
    kinds: dict[int, Any] = dict.fromkeys(reached, 0)
    for _ in reached:
        seen = {s: (kinds[s], machine[s][0], tuple(None if n is None else kinds[n] for n in machine[s][1])) for s in reached}
        numbers = {kind: i for i, kind in enumerate(dict.fromkeys(seen.values()))}
        kinds = {s: numbers[kind] for s, kind in seen.items()}
    return len(set(kinds.values()))


@settings(max_examples=60, deadline=None)
@given(machines())
def test_the_automaton_of_a_machine_is_the_smallest_that_does_the_same(machine: list[tuple[bool, list[int | None]]]) -> None:
    vocabulary = ("a", "b", *SPECIAL)

    def after(prefix: list[int]) -> int:
        state = 0
        for symbol in prefix[1:]:
            step = machine[state][1][symbol]
            assert step is not None
            state = step
        return state

    def answers(ids: np.ndarray) -> np.ndarray:
        found = np.zeros((*ids.shape, len(vocabulary)), dtype=bool)
        for row, prefix in enumerate(ids.tolist()):
            ends, steps = machine[after(prefix)]
            found[row, -1, [*(s for s, step in enumerate(steps) if step is not None), *[4] * ends]] = True
        return found

    task: Any = SimpleNamespace(vocabulary=vocabulary, predict="next-token-set", answers=answers)
    found = automaton_of_task(task, Header(vocabulary, 40, "next-token-set"))
    assert found is not None
    assert len(found.states) == _minimal(machine)
    ElementTree.fromstring(states_picture(found))


@settings(max_examples=40, deadline=None)
@given(programs())
def test_an_automaton_says_what_its_program_says(program: Program) -> None:
    found = automaton_of(program)
    if found is None:
        return
    tokens = program.header.vocabulary
    letters = [tokens[i] for i in program.header.symbols]
    for symbols in product(letters, repeat=min(2, found.length)):
        state, prefix = found.states[0], ["<bos>"]
        for symbol in symbols:
            row = logits(program, np.array([[tokens.index(token) for token in prefix]]))[0, -1]
            follows = {token for token, x in zip(tokens, row, strict=True) if x > 0 and token in (*letters, "<eos>")}
            steps = dict(state.follow)
            assert follows == {*steps, *["<eos>"] * state.ends}
            if symbol not in steps:
                break
            state, prefix = found.states[steps[symbol]], [*prefix, symbol]


def test_any_token_is_text_in_a_picture() -> None:
    tokens = ("<script>", '"&', "x" * 40, "é🙂")
    found = Automaton((State(True, tuple((token, i % 2) for i, token in enumerate(tokens))), State(False, ())), 3, 9)
    drawn = ElementTree.fromstring(states_picture(found))
    labels = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert labels == [f"<script>, {'x' * 11}…", '"&, é🙂']
    assert drawn.get("aria-label") == said(found)
    assert "State 2: nothing may follow." in said(found)


def test_an_arrow_leads_from_each_line_to_those_that_read_it() -> None:
    program = load_program(ROOT / "examples" / "tomita4.drasp")
    picture = reads_picture(program)
    assert picture is not None
    drawn = ElementTree.fromstring(picture)
    names = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert names[-len(program.statements) :] == [s.name for s in program.statements]
    words = (drawn.get("aria-label") or "").split(". ")
    assert "a1 reads token, s1" in words
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}path"))) == sum(sentence.count(",") + 1 for sentence in words)


def test_of_many_lines_there_is_no_picture() -> None:
    lines = "\n".join(f"more{i} = relu(one[0])" for i in range(40))
    head, body = TOMITA4.rstrip().rsplit("\n", 1)
    assert reads_picture(parse(f"{head}\n{lines}\n{body}\n")) is None


@pytest.mark.parametrize("task", ["D2", None])
def test_a_counter_shows_what_may_follow_at_each_of_its_values(task: str | None) -> None:
    program = parse(D2)
    scene = None if task is None else task_scene(program, get_task(task), (0, 50))
    sentences = algorithm(program, scene)
    counter = counter_of(program.header, sentences)
    assert counter is not None
    assert counter.name == "the number of `a` minus the number of `b`"
    assert counter.ends == (task is not None)
    assert counter.values == (range(3) if task else range(-2, 4))
    ids = {token: i for i, token in enumerate(program.header.vocabulary)}
    for value in counter.values:
        tokens = [ids["<bos>"], *[ids["a" if value > 0 else "b"]] * abs(value)]
        last = logits(program, np.array([tokens]), np.arange(len(tokens))[None])[0, -1] > 0
        told = {name: value in allowed for name, allowed in counter.rows}
        assert told == {"a": last[ids["a"]], "b": last[ids["b"]], "the end": last[ids["<eos>"]]}
    (figure,) = counter_figures(program, sentences)
    drawn = ElementTree.fromstring(figure.svg)
    circles = [each for each in drawn.iter() if each.tag.endswith("circle")]
    assert len(circles) == 3 * len(counter.values)
    assert sum(each.get("fill") == "currentColor" for each in circles) == sum(len(allowed) for _, allowed in counter.rows)


def test_what_hangs_on_no_counter_has_no_such_picture() -> None:
    program = parse(TOMITA4)
    assert counter_figures(program, algorithm(program)) == []
