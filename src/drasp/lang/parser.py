"""Text to program. The grammar gives the shape of a line; this file gives it its meaning, and says what is wrong with it where."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from drasp.errors import ParseError, ProgramError, Span
from drasp.ir.axis import Side
from drasp.ir.formulas import FUNCTIONS, TESTS, Apply, Arithmetic, Coordinate, Formula, Negate, Number, Read, Test
from drasp.ir.labels import Label, Range
from drasp.ir.nodes import (
    ONE_READ,
    Aggregate,
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
    Table,
)
from drasp.ir.operators import HARD, Dense, Except, Operator, Sum, Term
from drasp.ir.primitives import RECORDS, WORDS
from drasp.ir.primitives.primitive import Names, Predicate, Primitive
from drasp.ir.primitives.reading import Made, Node
from drasp.ir.program import Header, Predict, Program, tensor_names

if TYPE_CHECKING:
    from lark import Lark, Token, Tree
    from lark.exceptions import UnexpectedInput

VERSIONS = (1, 2)
"""Of the format: outputs and padding are of version 2."""
PREDICTION_FUNCTIONS = {"next-token": "softmax", "next-token-set": "sigmoid"}

DEEPEST = 150
"""Levels that an expression is nested at the most: Python, to which programs are exported, takes some 200 pairs of brackets."""
_WHOLE = re.compile(r"[0-9]{1,9}")
NUMERAL = re.compile(r"0|[1-9][0-9]{0,5}")
"""The tokens over which a range in the vocabulary can run."""


def _node(tree: "Tree[Token] | Token") -> Node:
    """The tree of the grammar's library as ours: words become `text`."""
    from lark import Token

    if isinstance(tree, Token):
        return Node(tree.type, str(tree), (), Span(tree.line or 1, tree.column or 1))
    children = tree.children
    text = ""
    if tree.data == "negative" or (children and isinstance(children[0], Token)):
        text, children = str(children[0]), children[1:]
    return Node(str(tree.data), text, tuple(map(_node, children)), Span(tree.meta.line, tree.meta.column))


def _levels(node: Node, chained: bool) -> int:
    """How deep an expression is nested; where `chained`, each part of a sum or product is nested in what comes before it."""
    own = len(node.parts) // 2 if chained and node.kind in ("sum", "product") else 1
    return own + max((_levels(part, chained) for part in node.parts), default=0)


def parse(text: str, operators: Mapping[str, np.ndarray] | None = None, source: str = "<text>") -> Program:
    """The program that a text says.

    Args:
        text: as `print_program` writes it; comments are dropped, and a byte order mark before it.
        operators: the dense tensors by name; those that no statement uses are left out.
        source: what error messages call the text: the name of its file.

    Raises:
        ParseError: the text is no program.
    """
    return _Reader(text.removeprefix("\ufeff"), source).program(operators or {})


@cache
def _lark() -> "Lark":
    from lark import Lark  # here, so that what never parses starts without it

    grammar = Path(__file__).with_name("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", propagate_positions=True, maybe_placeholders=False)


class _Reader:
    """Reads one text."""

    def __init__(self, text: str, source: str) -> None:
        self.lines = text.split("\n")
        self.text = text if text.endswith("\n") else text + "\n"
        self.source = source
        self.vocabulary: tuple[str, ...] = ()
        self.outputs: tuple[str, ...] = ()

    def program(self, operators: Mapping[str, np.ndarray]) -> Program:
        from lark.exceptions import UnexpectedInput

        try:
            tree = _lark().parse(self.text)
        except UnexpectedInput as error:
            raise self._syntax_error(error) from None
        return self._program([self._line(line) for line in tree.children], operators)

    def _line(self, tree: "Tree[Token] | Token") -> Node:
        place = Span(tree.meta.line, tree.meta.column) if hasattr(tree, "meta") else Span(1, 1)
        try:
            line = _node(tree)
            self._check_depth(line, place, chained=False)
        except RecursionError:
            raise self._too_deep(place) from None
        return line

    def _check_depth(self, node: Node, place: Span, chained: bool) -> None:
        if _levels(node, chained) > DEEPEST:
            raise self._too_deep(place)

    def _too_deep(self, place: Span) -> ParseError:
        return self.error(place, f"an expression is nested too deeply: {DEEPEST} levels at the most")

    def _program(self, lines: list[Node], operators: Mapping[str, np.ndarray]) -> Program:
        header = self._header({line.kind: line for line in lines})
        spans: dict[str | None, Span] = {None: lines[-1].span}
        statements = []
        for line in lines:
            if line.kind == "statement":
                if line.text in spans:
                    raise self.error(line, f"statement {line.text}: assigned twice")
                spans[line.text] = line.span
                statements.append(self._statement(line, header))
        used = {name for statement in statements for name in tensor_names(statement)}
        try:
            return Program(header, tuple(statements), {name: array for name, array in operators.items() if name in used})
        except ProgramError as error:
            raise self.error(spans[error.statement], str(error)) from None

    # Errors

    def error(self, place: Node | Span, message: str) -> ParseError:
        span = place.span if isinstance(place, Node) else place
        return ParseError(message, self.source, span, self.lines[span.line - 1].rstrip("\r"))

    def _at(self, place: Node, make: Callable[[], Made]) -> Made:
        """What `make` makes; where it breaks a rule of the language, the error says where."""
        try:
            return make()
        except ProgramError as error:
            raise self.error(place, error.reason) from None

    def _syntax_error(self, error: "UnexpectedInput") -> ParseError:
        from lark.exceptions import UnexpectedCharacters, UnexpectedToken

        span = Span(error.line, error.column)
        if isinstance(error, UnexpectedToken):
            found = _TERMINALS[error.token.type] if error.token.type in ("_NL", "$END") else repr(str(error.token))
            expected = error.accepts or error.expected
        else:
            assert isinstance(error, UnexpectedCharacters)
            found, expected = repr(error.char), error.allowed or set()
            if error.char == '"':
                return self.error(span, "this string does not end, or has a character that JSON does not allow")
        return self.error(span, f"expected {_expected(expected)}, found {found}")

    # Header

    def _header(self, lines: dict[str, Node]) -> Header:
        version = lines["version"]
        if self._integer(version) not in VERSIONS:
            raise self.error(version, f"this is format version {version.text}; version {' or '.join(map(str, VERSIONS))} is expected")
        self.vocabulary = tuple(token for member in lines["vocabulary"].parts for token in self._new_tokens(member))
        header = self._at(lines["vocabulary"], lambda: Header(self.vocabulary, 1, "next-token"))
        positions, predict = self._integer(lines["positions"]), lines["predict"].text
        header = self._at(lines["positions"], lambda: replace(header, positions=positions))
        header = self._at(lines["predict"], lambda: replace(header, predict=cast(Predict, predict)))
        if "order" in lines:
            order = tuple(token for member in lines["order"].parts for token in self._known_tokens(member))
            header = self._at(lines["order"], lambda: replace(header, order=order))
        if "outputs" in lines:
            self.outputs = tuple(name for member in lines["outputs"].parts for name in self._new_tokens(member))
            header = self._at(lines["outputs"], lambda: replace(header, outputs=self.outputs))
        if "attention" in lines:
            if lines["attention"].text != "bidirectional":
                raise self.error(lines["attention"], f"attention is bidirectional, not {lines['attention'].text}, or is not mentioned")
            header = replace(header, bidirectional=True)
        if "pad" in lines:
            header = replace(header, pad=self._token(lines["pad"][0]))
        return header

    def _new_tokens(self, member: Node) -> list[str]:
        """The tokens of a member of the vocabulary, or the names of outputs; a range runs over decimal numbers."""
        if member.kind == "token":
            return [self._string(member)]
        ends = [self._string(end) for end in member.parts]
        if not all(NUMERAL.fullmatch(end) for end in ends) or int(ends[0]) > int(ends[1]):
            raise self.error(member, "a range in the vocabulary runs from one whole number to a larger one")
        return [str(number) for number in range(int(ends[0]), int(ends[1]) + 1)]

    def _known_tokens(self, member: Node) -> list[str]:
        """The tokens of a member of the order; a range runs over the vocabulary."""
        if member.kind == "token":
            return [self._token(member)]
        first, last = (self.vocabulary.index(self._token(end)) for end in member.parts)
        if first > last:
            raise self.error(member, "the range ends before it starts")
        return list(self.vocabulary[first : last + 1])

    # Small things

    def _string(self, node: Node) -> str:
        """The token that a string or `<word>` says."""
        if node.text.startswith("<"):
            return node.text
        try:
            return str(json.loads(node.text))
        except ValueError:
            raise self.error(node, f"{node.text} is no JSON string") from None

    def _token(self, node: Node) -> str:
        token = self._string(node)
        if token not in self.vocabulary:
            raise self.error(node, f"token {node.text} is not in the vocabulary")
        return token

    def _integer(self, node: Node) -> int:
        """A whole number, not negative."""
        if not _WHOLE.fullmatch(node.text):
            raise self.error(node, "expected a whole number")
        return int(node.text)

    def _number(self, node: Node) -> float:
        """A number with or without a sign."""
        if node.kind == "negative":
            return -self._number(node[0])
        if node.kind != "number":
            raise self.error(node, "expected a number")
        value = float(node.text)
        if not isfinite(value):
            raise self.error(node, "this number is too large")
        return value

    def _label(self, node: Node) -> Label:
        """A coordinate: a token, an output, an index, or a pair."""
        if node.kind == "token":
            return self._string(node) if self._string(node) in self.outputs else self._token(node)
        if node.kind == "pair":
            return self._label(node[0]), self._label(node[1])
        if node.kind != "number":
            raise self.error(node, 'expected a coordinate: a token in quotes, such as "a", or the number of a position or of a coordinate')
        return self._integer(node)

    def _member(self, node: Node) -> Label | Range:
        if node.kind != "range":
            return self._label(node)
        first, last = map(self._label, node.parts)
        if isinstance(first, tuple) or isinstance(last, tuple):
            raise self.error(node, "a range runs over tokens or numbers")
        return Range(first, last)

    def _members(self, node: Node) -> tuple[Label | Range, ...]:
        if node.kind != "braces":
            raise self.error(node, "expected a set: {...}")
        return tuple(map(self._member, node.parts))

    def _entries(self, node: Node) -> list[tuple[Label, Node]]:
        """The keys and values of a table."""
        if node.kind != "braces":
            raise self.error(node, "expected a table: {key: value, ...}")
        for item in node.parts:
            if item.kind != "entry":
                raise self.error(item, "expected key: value")
        return [(self._label(item[0]), item[1]) for item in node.parts]

    def _name(self, node: Node) -> str:
        if node.kind != "name":
            raise self.error(node, "expected a name")
        return node.text

    def _names(self, node: Node, what: str) -> tuple[str, ...]:
        """The names of a sum of names."""
        if node.kind != "sum":
            return (self._name(node),)
        for sign in node.parts[1::2]:
            if sign.text != "+":
                raise self.error(sign, f"{what} are added")
        return tuple(map(self._name, node.parts[::2]))

    def _read(self, node: Node) -> Read:
        """`x` or `x / n`."""
        if node.kind == "product" and len(node.parts) == 3 and node[1].text == "/":
            return Read(self._name(node[0]), self._name(node[2]))
        if node.kind != "name":
            raise self.error(node, "expected a variable: x or x / n")
        return Read(node.text)

    # Statements

    def _statement(self, line: Node, header: Header) -> Statement:
        name, value = line.text, line[0]
        if value.kind == "call" and value.text in _STATEMENTS:
            return self._at(value, lambda: _STATEMENTS[value.text](self, name, _Call(self, value), header))
        formulas = value.parts if value.kind == "list" else (value,)
        return Compute(name, tuple(map(self._whole_formula, formulas)))

    def _select(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(0, ("q", "k", "op"), optional=("q",))
        query = self._read(call.keywords["q"]) if "q" in call.keywords else ONE_READ
        return Select(name, query, self._read(call.keywords["k"]), self._operator(call.keywords["op"], Select.sides))

    def _aggregate(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(0, ("s", "v"))
        selectors = call.keywords["s"]
        empty = selectors.kind == "list" and not selectors.parts
        return Aggregate(name, () if empty else self._names(selectors, "selectors"), self._read(call.keywords["v"]))

    def _project(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(0, ("inp", "op"), optional=("inp",))
        variable = self._read(call.keywords["inp"]) if "inp" in call.keywords else ONE_READ
        return Project(name, variable, self._operator(call.keywords["op"], Project.sides))

    def _norm(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(None, ("op",))
        return Norm(name, tuple(map(self._read, call.positional)), self._operator(call.keywords["op"], Norm.sides))

    def _mlp(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(None, ("op", "act", "norm"), optional=("act", "norm"))
        kinds = {keyword: self._name(call.keywords[keyword]) for keyword in ("act", "norm") if keyword in call.keywords}
        return Mlp(name, tuple(map(self._read, call.positional)), self._name(call.keywords["op"]), **kinds)

    def _table(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(1, ("op",))
        return Table(name, self._read(call.positional[0]), self._operator(call.keywords["op"], Table.sides))

    def _harden(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(1)
        return Harden(name, self._read(call.positional[0]))

    def _sharpen(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(2)
        return Sharpen(name, self._read(call.positional[0]), self._number(call.positional[1]))

    def _pair(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(2)
        return Pair(name, self._read(call.positional[0]), self._read(call.positional[1]))

    def _compare(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(2, ("op",))
        first, second = map(self._read, call.positional)
        return Compare(name, first, second, self._operator(call.keywords["op"], Compare.sides))

    def _case(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(2)
        branches = tuple((label, self._whole_formula(value)) for label, value in self._entries(call.positional[1]))
        return Case(name, self._read(call.positional[0]), branches)

    def _prediction(self, name: str, call: "_Call", header: Header) -> Statement:
        call.check(1)
        wanted = PREDICTION_FUNCTIONS[header.predict]
        if call.node.text != wanted:
            raise self.error(call.node, f"a program that predicts {header.predict} ends with {wanted}(...)")
        logits = call.positional[0]
        return Prediction(() if logits.text == "0" else self._names(logits, "logits"), name)

    def _operator(self, node: Node, names: Names) -> Operator:
        return _OperatorReader(self, names).operator(node)

    # Formulas

    def _whole_formula(self, node: Node) -> Formula:
        self._check_depth(node, node.span, chained=True)
        return self._formula(node)

    def _formula(self, node: Node) -> Formula:
        if _is_number(node):
            return Number(self._number(node))
        if node.kind == "negative":
            return Negate(self._formula(node[0]))
        if node.kind == "paren":
            return self._formula(node[0])
        if node.kind in ("sum", "product"):
            result = self._formula(node[0])
            for sign, operand in zip(node.parts[1::2], node.parts[2::2], strict=True):
                if sign.text == "%":
                    raise self.error(sign, "a formula has no remainder, only + - * /")
                result = Arithmetic(sign.text, result, self._formula(operand))
            return result
        if node.kind == "subscript":
            return Coordinate(self._read(node[0][0] if node[0].kind == "paren" else node[0]), self._label(node[1]))
        if node.kind == "name":
            raise self.error(node, f'a formula reads single coordinates: {node.text}["a"] or {node.text}[0]')
        if node.kind != "call":
            raise self.error(node, "expected a formula: coordinates such as x[0], numbers, + - * / and functions")
        call = _Call(self, node)
        if node.text in TESTS:
            call.check(1 + TESTS[node.text].coordinates)
            return Test(node.text, self._read(call.positional[0]), tuple(map(self._label, call.positional[1:])))
        if node.text not in FUNCTIONS:
            raise self.error(node, f"{node.text} is no function here; there are {', '.join([*_STATEMENTS, *FUNCTIONS, *TESTS])}")
        call.check(None)
        return self._at(node, lambda: Apply(node.text, tuple(map(self._formula, call.positional))))


def _is_number(node: Node) -> bool:
    return node.kind == "number" or (node.kind == "negative" and node[0].kind == "number")


class _OperatorReader:
    """Reads an operator between two sides that have names; the records of the primitives ask it for what they are made of."""

    def __init__(self, reader: _Reader, names: Names) -> None:
        self.reader = reader
        self.names = names
        self.error = reader.error
        self.at = reader._at
        self.label = reader._label
        self.members = reader._members
        self.entries = reader._entries
        self.integer = reader._integer
        self.number = reader._number

    def operator(self, node: Node) -> Operator:
        if node.kind == "name" and node.text not in WORDS:
            return Dense(node.text)
        if node.kind != "except":
            return self._sum(node)
        rows = tuple((label, self._sum(value)) for label, value in self.entries(node[1]))
        return self.at(node, lambda: Except(self._sum(node[0]), rows))

    def _sum(self, node: Node) -> Sum:
        parts = node.parts if node.kind == "sum" else (node,)
        terms: list[Term] = []
        constant = 0.0
        for i, part in enumerate(parts[::2]):
            sign = -1.0 if i and parts[2 * i - 1].text == "-" else 1.0
            if _is_number(part):
                constant += sign * self.number(part)
            else:
                terms.append(self._term(part, sign))
        return self.at(node, lambda: Sum(tuple(terms), constant))

    def _term(self, node: Node, strength: float) -> Term:
        """A primitive with its strength: `8*(...)`, `hard(...)`, `last`."""
        written = node.kind == "product"
        if node.kind == "product":
            if len(node.parts) != 3 or node[1].text != "*":
                raise self.error(node[1], "an operator is a sum of primitives, each with a strength in front: 8*(...)")
            strength, node = strength * self.number(node[0]), node[2]
        elif node.kind == "negative":
            strength, node = -strength, node[0]
        if node.kind == "call" and node.text == "hard":
            if written:
                raise self.error(node, "hard(...) is a strength of its own")
            return Term(strength * HARD, self.predicate(self.only(node)))
        primitive = self._primitive(node)
        if self.names.selector and not written and primitive.binary:
            raise self.error(node, "a predicate in a selector needs a strength: 20*(...) or hard(...)")
        return Term(strength, primitive)

    def _primitive(self, node: Node) -> Primitive:
        for record in RECORDS:
            if record.reads(node):
                return record.parse(self, node)
        if node.kind == "paren":
            return self.predicate(node)
        shapes = dict.fromkeys(record.shape for record in RECORDS if record.shape is not None)
        raise self.error(
            node,
            f"expected an operator: a predicate in parentheses, hard(...), {', '.join(shapes)}, a number, or the name of a tensor",
        )

    def predicate(self, node: Node) -> Predicate:
        if node.kind == "paren":
            return self.predicate(node[0])
        for record in RECORDS:
            if issubclass(record.kind, Predicate) and record.reads(node):
                return cast(Predicate, record.parse(self, node))
        raise self.error(node, f"expected a predicate: {self.sides()} compared with something")

    def only(self, node: Node) -> Node:
        return _Call(self.reader, node).only()

    def side(self, node: Node) -> Side:
        if node.kind == "name" and node.text in (self.names.row, self.names.column):
            return "row" if node.text == self.names.row else "column"
        raise self.error(node, f"expected {self.sides()}")

    def sides(self) -> str:
        return self.names.row if self.names.column is None else f"{self.names.row} or {self.names.column}"


class _Call:
    """A function and its arguments."""

    def __init__(self, reader: _Reader, node: Node) -> None:
        self.reader = reader
        self.node = node
        self.positional: list[Node] = []
        self.keywords: dict[str, Node] = {}
        for argument in node.parts:
            if argument.kind != "keyword":
                self.positional.append(argument)
            elif argument.text in self.keywords:
                raise reader.error(argument, f"{argument.text}= is given twice")
            else:
                self.keywords[argument.text] = argument[0]

    def only(self) -> Node:
        """The single argument."""
        self.check(1)
        return self.positional[0]

    def check(self, positional: int | None, keywords: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> None:
        """Refuses a call without exactly these arguments; `positional` is how many stand without a name, None for one or more."""
        function = self.node.text
        for argument in self.node.parts:
            if argument.kind == "keyword" and argument.text not in keywords:
                taken = ", ".join(f"{name}=" for name in keywords) or "no named argument"
                raise self.reader.error(argument, f"{function} has no {argument.text}=; it takes {taken}")
        for name in keywords:
            if name not in self.keywords and name not in optional:
                raise self.reader.error(self.node, f"{function} needs {name}=")
        if positional is None:
            if not self.positional:
                raise self.reader.error(self.node, f"{function} needs an argument")
        elif len(self.positional) != positional:
            place = self.positional[positional] if len(self.positional) > positional else self.node
            count = f"{positional or 'no'} unnamed argument{'s' if positional != 1 else ''}"
            raise self.reader.error(place, f"{function} takes {count}, not {len(self.positional)}")


_STATEMENTS: dict[str, Callable[[_Reader, str, _Call, Header], Statement]] = {
    "select": _Reader._select,
    "aggregate": _Reader._aggregate,
    "project": _Reader._project,
    "norm": _Reader._norm,
    "mlp": _Reader._mlp,
    "table": _Reader._table,
    "harden": _Reader._harden,
    "sharpen": _Reader._sharpen,
    "pair": _Reader._pair,
    "compare": _Reader._compare,
    "case": _Reader._case,
    "softmax": _Reader._prediction,
    "sigmoid": _Reader._prediction,
}

_TERMINALS = {
    "NAME": "a name",
    "NUMBER": "a number",
    "STRING": "a token in quotes",
    "SPECIAL": "a token such as <bos>",
    "WORDS": "a word",
    "_NL": "the end of the line",
    "$END": "the end of the text",
    "IN": "in",
    "DRASP": "drasp 1",
}
_STARTS_VALUE = {"NAME", "NUMBER", "STRING", "SPECIAL", "LPAR", "LSQB", "LBRACE", "MINUS", "NOT"}
_OPERATORS = {"PLUS", "MINUS", "STAR", "SLASH", "PERCENT", "RELATION", "IN", "AND", "OR", "EXCEPT"}


def _expected(terminals: set[str]) -> str:
    """What may stand at a place, in words."""
    rest = set(terminals)
    words = []
    if rest >= {"NAME", "NUMBER", "LPAR"}:
        words.append("a value")
        rest -= _STARTS_VALUE
    if len(rest & _OPERATORS) > 3:
        words.append("an operator")
        rest -= _OPERATORS | {"LPAR", "LSQB", "EQUAL"}
    return " or ".join([*words, *sorted(map(_terminal, rest))])


def _terminal(name: str) -> str:
    if name in _TERMINALS:
        return _TERMINALS[name]
    pattern = _lark().get_terminal(name).pattern
    return f"'{pattern.value}'" if pattern.type == "str" else name.lower()
