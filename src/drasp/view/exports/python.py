"""A program as one Python file that needs NumPy alone: each statement a line, with the D-RASP line above it.

Coordinates are numbers in that file, `ID["a"]` the number of a token. A symbolic operator is a function of them,
`lambda q, k: 10 * (k == q - 1)`; a dense one is embedded as base64. What is written computes as `drasp.run.numpy_fast` does, sum for sum
where rounding could tip a comparison.
"""

import base64
import builtins
import keyword
import re
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from drasp.errors import DraspError
from drasp.evidence.schema import Evidence
from drasp.ir.activations import ACTIVATIONS
from drasp.ir.formulas import Apply, Arithmetic, Coordinate, Formula, Negate, Number, Read, Test
from drasp.ir.labels import Label, number_text
from drasp.ir.nodes import (
    Aggregate,
    Bilinear,
    Case,
    Compare,
    Compute,
    Harden,
    Mlp,
    Norm,
    Pair,
    Prediction,
    Project,
    Select,
    Sharpen,
    Statement,
)
from drasp.ir.norms import NORMS
from drasp.ir.operators import HARD, Dense, Sum, Symbolic, Term
from drasp.ir.primitives import RECORDS
from drasp.ir.primitives.primitive import Predicate
from drasp.ir.primitives.python import PythonSides, python_label, python_string
from drasp.ir.program import Header, Program, sides
from drasp.lang.parser import NUMERAL
from drasp.lang.printer import statement_text
from drasp.view.captions import detail
from drasp.view.facts import facts, pairs

WIDTH = 100  # columns of what is wrapped: docstring, vocabulary, embedded tensors
EMBEDDED_AT_MOST = 10_000_000  # numbers of dense operators: a file of some 55 MB
LONGEST = 120  # columns of a statement that is not broken into lines
OUTER, INNER = "\1", "\2"  # where a long statement is broken: with 8 spaces, and inside an override with 12
_COMMENT = textwrap.TextWrapper(
    LONGEST, initial_indent="    # ", subsequent_indent="    # ", break_long_words=False, break_on_hyphens=False
)


def to_python(program: Program, evidence: Evidence | None = None) -> str:
    """The file's text.

    Raises:
        DraspError: the dense operators have more numbers than a file of text should hold.
    """
    embedded = sum(tensor.size for tensor in program.operators.values())
    if embedded > EMBEDDED_AT_MOST:
        raise DraspError(
            f"the program's dense operators have {embedded:,} numbers, and a Python file holds them as text: at most "
            f"{EMBEDDED_AT_MOST:,} are exported; `drasp run` runs any program"
        )
    writer = _Writer(program)
    body = writer.body()
    helpers = _helpers(body, program.header)
    parts = [_docstring(program, evidence), _imports(bool(program.operators), any("math." in text for text in helpers))]
    parts.append(writer.constants(body))
    parts += [f"\n{body}", f"\n{_predict(program.header)}", *(f"\n{text}" for text in helpers)]
    if program.operators:
        parts.append(f"\n{writer.tensors()}")
    return "\n".join(parts)


def _predict(header: Header) -> str:
    classes = header.outputs is not None
    if header.predict == "next-token":
        return _NEXT_TOKEN.format(names=_outputs(header), what="The output" if classes else "The token that comes next")
    return _NEXT_TOKEN_SET.format(names=_outputs(header), what="outputs that hold" if classes else "tokens that may come next")


def _outputs(header: Header) -> str:
    """What the names of the logits are called in the file."""
    return "VOCABULARY" if header.outputs is None else "OUTPUTS"


def _imports(embedded: bool, mathematics: bool) -> str:
    standard = [f"import {name}\n" for name, needed in (("base64", embedded), ("math", mathematics)) if needed]
    return "".join([*standard, "\n"] if standard else []) + "import numpy as np\n"


def _docstring(program: Program, evidence: Evidence | None) -> str:
    classes = program.header.outputs is not None
    what = f"the set of {'outputs' if classes else 'tokens'} that may come next"
    if program.header.predict == "next-token":
        what = "the output" if classes else "the next token"
    lines = ["A D-RASP program in NumPy, written by drasp.", ""]
    lines += textwrap.wrap(
        f"predict(tokens) gives {what} at each position of a sequence, logits(token_ids) the numbers behind it. "
        "Above each line stand the D-RASP statement that it computes and what that does. A variable holds a row of coordinates for each "
        "position.",
        WIDTH,
    )
    lines += ["", "Evidence:", ""]
    rows = pairs(facts(program, evidence), listed=False)
    width = max(len(name) for name, _ in rows)
    lines += [f"    {name:<{width}}  {' '.join(value.split())}" for name, value in rows]
    text = "\n".join(lines).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{text}\n"""\n'


def _tokens(tokens: Sequence[str]) -> list[str]:
    """The items of a list of tokens; numbers that follow each other are a range."""
    items = []
    start = 0
    while start < len(tokens):
        end = start + 1
        if NUMERAL.fullmatch(tokens[start]):
            while end < len(tokens) and tokens[end] == str(int(tokens[start]) + end - start):
                end += 1
        if end - start > 3:
            items.append(f"*map(str, range({tokens[start]}, {int(tokens[start]) + end - start})),")
        else:
            items += [f"{python_string(token)}," for token in tokens[start:end]]
        start = end
    return items


def _broken(statement: str) -> str:
    """A statement in one line, or in several where it is long."""
    plain = statement.replace(OUTER, " ").replace(INNER, " ")
    if len(plain) <= LONGEST:
        return plain
    return statement.replace(OUTER, "\n        ").replace(INNER, "\n            ")


def _identifiers(program: Program) -> dict[str, str]:
    """For the name of each statement one that Python and the rest of the file leave free."""
    taken = {*keyword.kwlist, *dir(builtins), *_HELPERS, "sees", "np", "math", "base64", "token_ids", "position_ids", "logits", "predict"}
    taken |= {"ID", "ORDER", "PLACE", "VOCABULARY", "OUTPUTS", "OUTPUT_ID", "POSITIONS", "OPERATORS", "HARD", "token", "pos", "one"}
    names = {"token": "token", "pos": "pos", "one": "one"}
    for statement in program.statements:
        name = statement.name
        while name in taken:
            name += "_"
        taken.add(name)
        names[statement.name] = name
    return names


class _Writer:
    """Writes one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.header = program.header
        self.names = _identifiers(program)

    # The parts of the file

    def constants(self, body: str) -> str:
        header = self.header
        lines = ["VOCABULARY = [", *_wrapped(_tokens(header.vocabulary)), "]"]
        lines += ["ID = {token: number for number, token in enumerate(VOCABULARY)}", f"POSITIONS = {header.positions}"]
        if header.outputs is not None:
            lines += ["OUTPUTS = [", *_wrapped(_tokens(header.outputs)), "]"]
            lines += ["OUTPUT_ID = {output: number for number, output in enumerate(OUTPUTS)}"]
        if "PLACE" in body and header.order is not None:
            lines += ["", "# The place of each token in the order, by its number; the tokens outside it compare false."]
            lines += ["ORDER = [", *_wrapped(_tokens(header.order)), "]", "PLACE = np.full(len(VOCABULARY), np.nan)"]
            lines += ["PLACE[[ID[token] for token in ORDER]] = range(len(ORDER))"]
        if "HARD" in body:
            lines += ["", f"HARD = {number_text(HARD)}  # among a few hundred keys, the others get a weight of exactly 0"]
        return "\n".join(lines) + "\n"

    def body(self) -> str:
        used = {variable for statement in self.program.statements for read in statement.reads for variable in read.variables()}
        lines = [_LOGITS, *(line for name, line in _BUILT_IN.items() if name in used)]
        for statement in self.program.statements:
            lines += ["", f"    # {statement_text(statement, self.header)}"]
            lines += _COMMENT.wrap(detail(self.program, statement))
            if isinstance(statement, Prediction):
                total = " + ".join(self.names[name] for name in statement.logits)
                lines.append(f"    return {total or f'np.zeros((len(token_ids), {len(self.header.predicted)}))'}")
            else:
                lines.append(_broken(f"    {self.names[statement.name]} = {self.statement(statement)}"))
        return "\n".join(lines) + "\n"

    def tensors(self) -> str:
        """The dense operators."""
        lines = ["# What no predicate describes: numbers from the model's weights. They are opaque.", "OPERATORS = {"]
        for name, array in self.program.operators.items():
            kind = "<f4" if array.dtype == np.float32 else "<f8"
            text = base64.b64encode(np.ascontiguousarray(array).astype(kind).tobytes()).decode()
            lines += [f'    "{name}": tensor({array.shape}, "{kind}", """', *textwrap.wrap(text, WIDTH), '    """),']
        return "\n".join([*lines, "}", ""])

    # Statements

    def statement(self, statement: Statement) -> str:
        """What stands behind `name =`."""
        reads = [self.read(read) for read in statement.reads]
        if isinstance(statement, Bilinear):
            operator = self.operator(statement)
            if isinstance(statement, Norm):
                eps = f'OPERATORS["{statement.op.name}.eps"]' if isinstance(statement.op, Dense) else "0"
                return f"norm([{', '.join(reads)}], {operator}, {eps})"
            if isinstance(statement, Select | Compare):
                function = "select" if isinstance(statement, Select) else "compare"
                return f"{function}({reads[0]}, {reads[1]}, {operator})"
            if isinstance(statement, Project):
                return f"project({reads[0]}, {operator})"
            return f"lookup({reads[0]}, {operator}, {self.program.bases[statement.name].size})"
        if isinstance(statement, Aggregate):
            selectors = ", ".join(self.names[name] for name in statement.selectors)
            if self.program.header.pad is not None:
                return f"aggregate([{selectors}], {reads[0]}, sees(token_ids))"
            return f"aggregate([{selectors}], {reads[0]})" if selectors else f"average({reads[0]})"
        if isinstance(statement, Mlp):
            kind = NORMS[statement.norm]
            how = f"{statement.act}, centred={kind.centred}, scaled={kind.scaled}"
            return f'mlp([{", ".join(reads)}], "{statement.op}", {how})'
        if isinstance(statement, Harden):
            return f"harden({reads[0]})"
        if isinstance(statement, Sharpen):
            return f"sharpen({reads[0]}, {number_text(statement.power)})"
        if isinstance(statement, Pair):
            return f"pair({reads[0]}, {reads[1]})"
        if isinstance(statement, Compute):
            return f"columns({', '.join(['len(token_ids)', *map(self.formula, statement.formulas)])})"
        assert isinstance(statement, Case)
        branches = (f"{self.coordinate(statement.input, label)} * ({self.formula(formula)})" for label, formula in statement.branches)
        return f"columns(len(token_ids), {' + '.join(branches)})"

    def read(self, read: Read) -> str:
        name = self.names[read.variable]
        return name if read.over is None else f"divide({name}, {self.names[read.over]})"

    # Formulas

    def formula(self, formula: Formula) -> str:
        if isinstance(formula, Number):
            return number_text(formula.value)
        if isinstance(formula, Coordinate):
            return self.coordinate(formula.read, formula.label)
        if isinstance(formula, Test):
            basis = self.program.bases[formula.read.variable]
            return f"{formula.name}({', '.join([self.read(formula.read), *(python_label(label, basis) for label in formula.labels)])})"
        if isinstance(formula, Negate):
            return f"-({self.formula(formula.operand)})"
        if isinstance(formula, Apply):
            return _applied(formula.function, [self.formula(argument) for argument in formula.arguments])
        left, right = self.formula(formula.left), self.formula(formula.right)
        if formula.operator == "/":
            return f"divide({left}, {right})"
        product = formula.operator == "*"
        if product and isinstance(formula.left, Arithmetic) and formula.left.operator in "+-":
            left = f"({left})"
        if isinstance(formula.right, Arithmetic) and (product or formula.right.operator in "+-"):
            right = f"({right})"
        return f"{left} {formula.operator} {right}"

    def coordinate(self, read: Read, label: Label) -> str:
        return f"{self.read(read)}[:, {python_label(label, self.program.bases[read.variable])}]"

    # Operators

    def operator(self, statement: Bilinear) -> str:
        if isinstance(statement.op, Dense):
            return f'OPERATORS["{statement.op.name}"]'
        rows, columns = sides(statement, self.program.bases, self.header)
        row, column = statement.sides.row, statement.sides.column or "out"
        between = PythonSides({"row": row, "column": column}, {"row": rows, "column": columns})
        return f"lambda {row}, {column}:{OUTER}{_operator(statement.op, between)}"


def _applied(function: str, arguments: Sequence[str]) -> str:
    if function == "relu":
        return f"np.maximum({arguments[0]}, 0)"
    if function == "sign":
        return f"np.sign({arguments[0]})"
    if function in ("min", "max"):
        result = arguments[0]
        for argument in arguments[1:]:
            result = f"np.{function}imum({result}, {argument})"
        return result
    return f"{function}({arguments[0]})"


def _operator(op: Symbolic, sides: PythonSides) -> str:
    """A symbolic operator as an expression of the numbers of its two sides' coordinates."""
    if isinstance(op, Sum):
        return _sum(op, sides, OUTER)
    result = _sum(op.base, sides, INNER)
    for label, operator in op.overrides:
        row = f"{sides.names['row']} == {sides.label(label, 'row')}"
        result = f"np.where({row},{INNER}{_sum(operator, sides, INNER)},{INNER}{result})"
    return result


def _sum(op: Sum, sides: PythonSides, line: str) -> str:
    """Terms and the constant; `line` stands where a line may begin."""
    parts = [_term(term, sides) for term in op.terms]
    if op.constant != 0 or not parts:
        # With several terms it comes first, as the reference interpreter adds.
        parts.insert(len(parts) if len(parts) == 1 else 0, number_text(op.constant))
    return parts[0] + "".join(f"{line}- {part[1:]}" if part.startswith("-") else f"{line}+ {part}" for part in parts[1:])


def _term(term: Term, sides: PythonSides) -> str:
    inner = term.primitive.python(sides)
    sign, strength = "-" if term.strength < 0 else "", abs(term.strength)
    if isinstance(term.primitive, Predicate):
        return f"{sign}{'HARD' if strength == HARD else number_text(strength)} * ({inner})"
    return f"{sign}{inner}" if strength == 1 else f"{sign}{number_text(strength)} * {inner}"


def _wrapped(items: Iterable[str], indent: int = 4) -> list[str]:
    """Items side by side, as many to a line as fit; none is broken."""
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + 1 + len(item) <= WIDTH:
            lines[-1] += f" {item}"
        else:
            lines.append(" " * indent + item)
    return lines


def _helpers(body: str, header: Header) -> list[str]:
    """The functions that the body calls, and those that they call."""
    needed: set[str] = set()
    texts = _HELPERS | (_BIDIRECTIONAL if header.bidirectional else {})
    texts["project"] = _PROJECT.format(names=_outputs(header))
    if header.pad is not None:
        texts["aggregate"] = _PADDED["aggregate"]
        texts["sees"] = _PADDED["bidirectional" if header.bidirectional else "causal"].replace("PAD", python_string(header.pad))
    search = ["\n".join(line for line in body.splitlines() if not line.startswith("    #"))]
    while search:
        text = search.pop()
        for name in texts.keys() - needed:
            if re.search(rf"(?<![\w.]){name}(\(|, centred=)", text):
                needed.add(name)
                search.append(texts[name])
    if "OPERATORS" in body or "mlp" in needed:
        needed.add("tensor")
    return [text for name, text in texts.items() if name in needed]


_LOGITS = '''\
def logits(token_ids, position_ids=None):
    """The logits of one sequence, (time, vocabulary), from its token ids; position ids are 0, 1, 2, ... where none are given."""'''

_BUILT_IN = {
    "token": "    token = one_hot(token_ids, len(VOCABULARY))",
    "pos": "    pos = one_hot(range(len(token_ids)) if position_ids is None else position_ids, POSITIONS)",
    "one": "    one = np.ones((len(token_ids), 1))",
}

_NEXT_TOKEN = '''\
def predict(tokens):
    """{what} at each position of a sequence, a list of tokens such as ["<bos>", ...]."""
    return [{names}[number] for number in logits([ID[token] for token in tokens]).argmax(axis=1)]
'''

_NEXT_TOKEN_SET = '''\
def predict(tokens):
    """The set of {what} at each position of a sequence, a list of tokens such as ["<bos>", ...]."""
    return [{{{names}[number] for number in np.flatnonzero(row > 0)}} for row in logits([ID[token] for token in tokens])]
'''

_PROJECT = '''\
def project(values, op):
    """What a variable adds to the logits."""
    return values @ matrix(op, values.shape[1], len({names}))
'''


_HELPERS = {
    "one_hot": '''\
def one_hot(numbers, size):
    """A row for each position, 1 at its number and 0 elsewhere."""
    if not all(0 <= number < size for number in numbers):
        raise ValueError(f"ids must lie in 0 to {size - 1}: {list(numbers)}")
    result = np.zeros((len(numbers), size))
    result[np.arange(len(numbers)), numbers] = 1
    return result
''',
    "select": '''\
def select(query, key, op):
    """The score of every query position (down) for every key position (across)."""
    return query @ matrix(op, query.shape[1], key.shape[1]) @ key.T
''',
    "aggregate": '''\
def aggregate(scores, values):
    """The average of values under the softmax of the summed scores; a position sees itself and those before it."""
    total = np.where(np.tri(len(values), dtype=bool), sum(scores), -np.inf)
    weights = np.exp(total - total.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True)) @ values
''',
    "average": '''\
def average(values):
    """At each position the average of the values so far."""
    return np.cumsum(values, axis=0) / np.arange(1, len(values) + 1)[:, None]
''',
    "project": _PROJECT.format(names="VOCABULARY"),
    "lookup": '''\
def lookup(values, op, size):
    """The row of a table for each position."""
    return values @ matrix(op, values.shape[1], size)
''',
    "compare": '''\
def compare(first, second, op):
    """The score of one variable for another at the same position."""
    return ((first @ matrix(op, first.shape[1], second.shape[1])) * second).sum(axis=1)[:, None]
''',
    "norm": '''\
def norm(inputs, op, eps):
    """The root of z op z + eps, z the inputs side by side."""
    z = np.concatenate(inputs, axis=1)
    return np.sqrt(np.maximum(((z @ matrix(op, z.shape[1], z.shape[1])) * z).sum(axis=1), 0) + eps)[:, None]
''',
    "mlp": '''\
def mlp(inputs, name, activation, centred, scaled):
    """The model's own MLP with the norm before it."""
    weights = {part.removeprefix(f"{name}."): array for part, array in OPERATORS.items() if part.startswith(f"{name}.")}
    total = sum(values @ weights[f"in.{number}"] for number, values in enumerate(inputs))
    if centred:
        total = total - total.mean(axis=1, keepdims=True)
    if scaled:
        sigma = weights["sigma"] if "sigma" in weights else np.sqrt(np.square(total).mean(axis=1, keepdims=True) + weights["eps"])
        total = divide(total, sigma) * weights["gain"] + weights["shift"]
    hidden = total @ weights["w_in"] + weights["b_in"]
    gated = "w_gate" in weights
    hidden = activation(total @ weights["w_gate"] + weights["b_gate"]) * hidden if gated else activation(hidden)
    return hidden @ weights["w_out"] + weights["b_out"]
''',
    "harden": '''\
def harden(values):
    """One-hot of the largest coordinate, the first of equals."""
    return one_hot(values.argmax(axis=1), values.shape[1])
''',
    "sharpen": '''\
def sharpen(values, power):
    """Each coordinate to a power, renormalised; a negative coordinate counts as 0."""
    positive = np.maximum(values, 0)
    powers = divide(positive, positive.max(axis=1, keepdims=True)) ** power
    return divide(powers, powers.sum(axis=1, keepdims=True))
''',
    "pair": '''\
def pair(first, second):
    """The product of each coordinate of the first with each of the second."""
    return (first[:, :, None] * second[:, None, :]).reshape(len(first), -1)
''',
    "columns": '''\
def columns(time, *formulas):
    """Formulas side by side, each one coordinate at every position."""
    return np.stack([np.broadcast_to(np.asarray(formula, float), time) for formula in formulas], axis=1)
''',
    "exists": '''\
def exists(values, coordinate):
    """1 where a share is not 0, else 0."""
    return (values[:, coordinate] > 1e-6).astype(float)
''',
    "only": '''\
def only(values):
    """1 where a single coordinate is not 0, else 0."""
    return ((values > 1e-6).sum(axis=1) == 1).astype(float)
''',
    "balance": '''\
def balance(values, first, second):
    """1 where two shares are equal, else 0."""
    return (np.abs(values[:, first] - values[:, second]) <= 1e-6).astype(float)
''',
    "step": '''\
def step(x):
    """1 where x is positive, else 0."""
    return np.where(np.asarray(x) > 0, 1.0, 0.0)
''',
    **{name: activation.python for name, activation in ACTIVATIONS.items()},
    "divide": '''\
def divide(x, n):
    """x / n; 0 where n is 0."""
    return x / np.where(np.equal(n, 0), np.inf, n)
''',
    "matrix": '''\
def matrix(op, rows, columns):
    """An operator as a matrix: that of a function has at each place what it says of the row's and the column's number."""
    if not callable(op):
        return op
    with np.errstate(invalid="ignore", over="ignore"):  # of a token without a place, and of too large a number
        values = op(np.arange(rows)[:, None], np.arange(columns)[None, :])
    return np.broadcast_to(np.nan_to_num(np.asarray(values, float), nan=np.nan), (rows, columns))
''',
    **{name: text for record in RECORDS for name, text in record.helpers.items()},
    "tensor": '''\
def tensor(shape, kind, text):
    """An embedded tensor."""
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape).astype(float)
''',
}
"""The functions that a written file may need, each with all that it says of its own meaning."""

_SEES = '''\
def sees(token_ids):
    """Which keys (across) each position sees: {keys}, but no padding, unless there is nothing else."""
    seen = {seen}
    real = seen & (np.asarray(token_ids) != ID[PAD])
    return np.where(real.any(axis=1, keepdims=True), real, seen)
'''

_PADDED = {
    "aggregate": '''\
def aggregate(scores, values, seen):
    """The average of values under the softmax of the summed scores, of what each position sees."""
    total = np.where(seen, sum(scores), -np.inf)
    weights = np.exp(total - total.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True)) @ values
''',
    "causal": _SEES.format(keys="itself and those before it", seen="np.tri(len(token_ids), dtype=bool)"),
    "bidirectional": _SEES.format(keys="all of them", seen="np.ones((len(token_ids), len(token_ids)), dtype=bool)"),
}

_BIDIRECTIONAL = {
    "aggregate": '''\
def aggregate(scores, values):
    """The average of values under the softmax of the summed scores."""
    total = sum(scores)
    weights = np.exp(total - total.max(axis=1, keepdims=True))
    return (weights / weights.sum(axis=1, keepdims=True)) @ values
''',
    "average": '''\
def average(values):
    """At each position the average of all values."""
    return np.broadcast_to(values.mean(axis=0), values.shape)
''',
}
