"""What reads what, as an arc diagram: the lines of a program one below the other, and an arrow from each to those that read it."""

from drasp.ir.nodes import Aggregate, Prediction, Project
from drasp.ir.program import Program
from drasp.view.pictures.drawing import LETTER, Place, arrow, picture, text

DOWN, BOW = 24.0, 15.0  # pixels: from line to line, and how far an arrow reaches aside for each line that it passes
MOST = 30
"""Lines of a picture that can still be followed."""


def reads_picture(program: Program) -> str | None:
    """The SVG; None where there are too many lines."""
    sources = {s.name: _sources(program, s.name) for s in program.statements}
    built_in = [name for name in program.header.built_in if any(name in read for read in sources.values())]
    names = [*built_in, *sources]
    if len(names) > MOST:
        return None
    wide = LETTER * max(map(len, names)) + 12
    places = {name: Place(wide / 2, DOWN * (row + 0.5)) for row, name in enumerate(names)}
    parts, widest = [text(place, name) for name, place in places.items()], 0.0
    for name, read in sources.items():
        for each in read:
            start, end = (Place(wide, places[one].y + off) for one, off in ((each, 4), (name, -4)))
            reach = BOW * (end.y - start.y + 8) / DOWN
            aside = wide + reach * 4 / 3  # a cubic curve comes three quarters as far as what it is drawn to
            parts.append(arrow(start, [Place(aside, start.y), Place(aside, end.y)], end))
            widest = max(widest, reach)
    said = " ".join(f"{name} reads {', '.join(read)}." for name, read in sources.items() if read)
    return picture(parts, wide + widest + 10, DOWN * len(names), said)


def _sources(program: Program, name: str) -> tuple[str, ...]:
    """What a statement reads: variables, and the lines whose attention or logits it takes."""
    statement = program.by_name[name]
    variables = [variable for read in statement.reads for variable in read.variables()]
    lines = statement.selectors if isinstance(statement, Aggregate) else statement.logits if isinstance(statement, Prediction) else ()
    constant = isinstance(statement, Project) and set(variables) == {"one"}  # it speaks the same everywhere
    return tuple(dict.fromkeys([*([] if constant else variables), *lines]))
