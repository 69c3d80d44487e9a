"""Program texts and program folders, damaged: refused in a line, or printed as they are read and run alike everywhere."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from drasp.lang.folder import load_program
from drasp.lang.parser import parse
from drasp.lang.printer import print_program
from mutate import some_bytes, some_file, some_text
from oracle import accepted, assert_means_one_thing
from program_files import FOLDER, read
from strategies import programs, small_numbers
from surface import corpus, files_in, folder_of, fuzzed
from test_export_python import HEADER, STATEMENTS

END = "l = project(inp=x, op=3*(out == inp) - 1)\nprediction = sigmoid(l)\n"
TEXTS = [
    *(HEADER + "\n".join(line.strip() for line in body.strip().splitlines()) + "\n" + END for body in STATEMENTS.values()),
    (Path(__file__).parents[2] / "examples" / "tomita4.drasp").read_text(encoding="utf-8"),
    'drasp 2\nvocabulary "a" "\u0120b" <pad>\noutputs "yes" "no"\npositions 4\npredict next-token\nattention bidirectional\npad <pad>\n'
    'x = aggregate(s=[], v=token)\nl = project(inp=x, op={"a": {"yes": 1}, <pad>: {"no": -2}})\nprediction = softmax(l)\n',
]
DENSE = [read(file) for file in sorted((FOLDER / "simplify").glob("*.before.drasp"))]
DENSE = sorted((program for program in DENSE if program.operators), key=lambda program: len(print_program(program)))[:6]
WRONG = (np.nan, np.inf, 1e308, 0.0)


def check_text(text: str) -> None:
    program = accepted(lambda: parse(text))
    if program is not None:
        assert_means_one_thing(program)


def check_folder(folder: Path) -> None:
    program = accepted(lambda: load_program(folder), folder)
    if program is not None:
        assert_means_one_thing(program)


@corpus("text")
def test_texts_that_were_found(found: Path) -> None:
    check_text(found.read_bytes().decode())


@corpus("program")
def test_program_folders_that_were_found(found: Path) -> None:
    check_folder(found)


@fuzzed(50)
@given(st.data())
def test_any_text(data: st.DataObject) -> None:
    if data.draw(st.integers(0, 2)) == 0:
        valid = print_program(data.draw(programs(small_numbers).filter(lambda program: not program.operators)))
    else:
        valid = data.draw(st.sampled_from(TEXTS))
    check_text(some_text(data.draw, valid))


@fuzzed(40)
@given(st.data())
def test_any_program_folder(data: st.DataObject) -> None:
    program = data.draw(st.one_of(st.sampled_from(DENSE), programs(small_numbers)))
    text, tensors = print_program(program).encode(), dict(program.operators)
    damage = data.draw(st.sampled_from(("text", "bytes", "tensors", "tensors")))
    if damage == "text":
        text = some_file(data.draw, text.decode())
    elif damage == "tensors" and tensors:
        _change(data, tensors)
    operators = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    if damage == "bytes":
        operators = some_bytes(data.draw, operators)
    with folder_of({"program.drasp": text, "operators.safetensors": operators}) as folder:
        check_folder(folder)
        assert set(files_in(folder)) == {"program.drasp", "operators.safetensors"}


def _change(data: st.DataObject, tensors: dict[str, np.ndarray]) -> None:
    """One tensor goes, or changes its name, type, shape or numbers."""
    name = data.draw(st.sampled_from(sorted(tensors)))
    array = tensors.pop(name)
    kind = data.draw(st.sampled_from(("drop", "name", "type", "shape", "number", "turn")))
    if kind == "name":
        tensors[name + data.draw(st.sampled_from(("x", ".eps", "\x1b", "\n")))] = array
    elif kind == "type":
        tensors[name] = array.astype(data.draw(st.sampled_from((np.float16, np.float32, np.int64, np.bool_, np.uint8))))
    elif kind == "shape":
        tensors[name] = np.zeros(data.draw(st.sampled_from(((), (0,), (1,), (0, 3), (1, 1, 1), (7, 5)))))
    elif kind == "number":
        tensors[name] = array.copy()
        with np.errstate(over="ignore"):
            tensors[name].flat[:1] = data.draw(st.sampled_from(WRONG))
    elif kind == "turn":
        tensors[name] = array.T
