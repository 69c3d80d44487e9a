"""The report of a study: a page that needs no other file, and a table for LaTeX."""

from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from drasp.errors import RunFolderError
from drasp.lang.folder import PROGRAM_FILE
from drasp.search.record import replace_text
from drasp.study.analysis import Counts, Estimate, Ranking, TaskSummary, by_tasks, counts, ended, prediction, rankings, trainings
from drasp.study.cell import CELLS, PROGRAM
from drasp.study.plots import curves, key, scatter
from drasp.study.row import GENERALISES, Row
from drasp.study.run import GRID, RESULTS

REPORT, LATEX = "report.html", "table.tex"
MOST_SIDE_BY_SIDE = 6
"""Programs of a task that are shown; those of the same algorithm as one before are named beside it."""


def write_report(rows: Sequence[Row], out: Path) -> None:
    """Writes `report.html` and `table.tex` beside the `results.csv` of a study.

    Raises:
        RunFolderError: they cannot be written.
    """
    try:
        replace_text(out / REPORT, page(rows, out))
        replace_text(out / LATEX, latex(by_tasks(rows)))
    except OSError as error:
        raise RunFolderError(f"{out} cannot be written: {error.strerror}") from None


def page(rows: Sequence[Row], out: Path) -> str:
    """The page as HTML; programs are read from the folder of the study."""
    template = Template(files("drasp.study").joinpath("report.html").read_text(encoding="utf-8"))
    return template.substitute(body="\n".join(_body(rows, out)))


def _body(rows: Sequence[Row], out: Path) -> Iterator[str]:
    models, ranked = ended(rows), rankings(rows)
    yield f"<p>{escape(_told(rows, ranked))}</p>"
    if models:
        yield f'<h2>Size and generalisation</h2><div class="plots">{scatter(models)}</div>'
        yield (
            "<p>Each point is a model: filled where its program is short and in symbols, hollow where it is not. It is a link to its "
            f"program. A model generalises if it is right on {GENERALISES:g} of the sequences of length 101-150 or more (dashed).</p>"
        )
        yield '<h2>What tells those that generalise</h2><div class="plots">' + curves(ranked) + _ranked(ranked) + "</div>"
        yield "<h2>By task</h2>" + _tasks(by_tasks(rows))
    yield from _predicted(rows)
    yield from _along(rows)
    yield "<h2>Programs</h2>"
    for summary in by_tasks(rows):
        yield from _programs(summary.task, [row for row in models if row.task == summary.task], out)
    yield from _failed(rows)
    yield "<h2>How it was made</h2><p>The rows are in " + _link(RESULTS, RESULTS) + ", a line a model; the grid is:</p>"
    yield f"<pre>{escape((out / GRID).read_text(encoding='utf-8-sig'))}</pre>"
    yield f"<p><code>drasp study {GRID} --out FOLDER</code> makes it again.</p>"


def answer(rows: Sequence[Row]) -> str:
    """What was found, in a few sentences."""
    return _told(rows, rankings(rows))


def _told(rows: Sequence[Row], ranked: Sequence[Ranking]) -> str:
    models, failed = ended(rows), {row.cell for row in rows if row.error is not None}
    if not models:
        return f"No model is done yet; {len(failed)} failed." if failed else "No model is done yet."
    learned = [row for row in models if row.learned]
    said = [_counted(f"Of {len(models)} models", counts(models))]
    if len(learned) < len(models):
        said.append(_counted(f"Of the {len(learned)} that have learned the lengths 0-50", counts(learned)))
    ranking = ranked[0]
    if ranking.auc is None:
        said.append("There are too few models of either kind to say how well a short program tells them apart.")
    else:
        among = "" if ranking.learned is None else f", of {ranking.learned} among those that learned"
        said.append(f"As a predictor of generalisation, a short program has an AUC of {ranking.auc}{among}.")
    if failed:
        said.append(f"{len(failed)} failed.")
    return " ".join(said)


def _counted(of: str, found: Counts) -> str:
    do, do_not = found.both + found.generalise_only, found.program_only + found.neither
    return (
        f"{of} {do} generalise, and {found.both} of these have a short program in symbols; "
        f"of the {do_not} others {found.program_only} have one."
    )


def _ranked(ranked: Sequence[Ranking]) -> str:
    rows = [
        (key(number) + " " + escape(r.predictor.name), escape(r.predictor.needs), str(r.models), _said(r.auc), _said(r.learned))
        for number, r in enumerate(ranked)
    ]
    return _table(("predictor", "needs", "models", "AUC", "AUC among those that learned"), rows) + (
        '<p class="muted">In brackets 95 % intervals, by a bootstrap over tasks. Each is rated on the models of which it is known. '
        f"A model has learned if it is right on {GENERALISES:g} of the sequences of length 0-50.</p>"
    )


def _tasks(summaries: Sequence[TaskSummary]) -> str:
    heads = ("task", "models", "generalise", "with a program", "of those that generalise", "statements", "algorithms")
    rows = [
        (
            f'<a href="#task-{escape(s.task)}">{escape(s.task)}</a>',
            *map(str, (s.models, s.generalise, s.programs, s.both)),
            _span(s),
            str(s.algorithms),
        )
        for s in summaries
    ]
    return _table(heads, rows)


def _predicted(rows: Sequence[Row]) -> Iterator[str]:
    found = prediction(rows)
    if found is None:
        return
    yield "<h2>What programs of short sequences foretell</h2>"
    yield (
        f"<p>{found.models} models were decompiled from sequences of lengths 0-50 alone, and their programs run on longer ones, without "
        "the model. How often the program is right there says how often the model will be; where it errs, the model will.</p>"
    )
    rows_of = [
        ("accuracy at 101-150, correlation over models", _said(found.correlation), _said(found.trivial), "as at 0-50"),
        ("accuracy at 101-150, mean error", f"{found.error:.3f}", f"{found.trivial_error:.3f}", "as at 0-50"),
        (f"which sequences fail, balanced accuracy ({found.judged} models)", _said(found.balanced), _said(found.longer), "the longer half"),
    ]
    yield _table(("", "program", "trivial guess", "which is"), rows_of)


def _along(rows: Sequence[Row]) -> Iterator[str]:
    found = trainings(rows)
    if not found:
        return
    yield "<h2>Along the training</h2><p>The step from which on, of those that were looked at, each holds.</p>"
    told = [(escape(t.cell), str(t.looked), _step(t.solved), _step(t.program)) for t in found]
    yield _table(("model", "steps looked at", "generalises", "has a short program"), told)


def _programs(task: str, models: Sequence[Row], out: Path) -> Iterator[str]:
    """The programs of a task, those that differ side by side."""
    yield f'<h3 id="task-{escape(task)}">{escape(task)}</h3>'
    with_program = [row for row in models if row.has_program]
    alike: dict[str | None, list[Row]] = {}
    for row in with_program:
        alike.setdefault(row.algorithm, []).append(row)
    groups = list(alike.values())
    if groups:
        yield '<div class="side">' + "".join(_figure(group, out) for group in groups[:MOST_SIDE_BY_SIDE]) + "</div>"
    rest = [row for group in groups[MOST_SIDE_BY_SIDE:] for row in group] + [row for row in models if not row.has_program]
    if rest:
        yield "<ul>" + "".join(f"<li {_anchor(row)}>{_about(row)}</li>" for row in rest) + "</ul>"


def _figure(group: Sequence[Row], out: Path) -> str:
    """One algorithm: the program of its first model, and whose else it is."""
    file = out / CELLS / group[0].cell / PROGRAM / PROGRAM_FILE
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        text = f"{file.name} is not there any more"
    body = text.partition("\n\n")[2] or text
    names = "".join(f"<div {_anchor(row)}>{_about(row)}</div>" for row in group)
    return f"<figure><figcaption>{names}</figcaption><pre>{escape(body.strip())}</pre></figure>"


def _about(row: Row) -> str:
    right = "" if row.accuracy_101_150 is None else f", right at 101-150 on {row.accuracy_101_150:.3f}"
    match = "" if row.match is None else f", match {row.match:.3f}"
    file = f"{CELLS}/{row.cell}/{PROGRAM}/{PROGRAM_FILE}"
    return f"{_link(file, row.cell)}: {escape(row.verdict or '')}, {row.statements} statements{match}{right}"


def _failed(rows: Sequence[Row]) -> Iterator[str]:
    failed = [row for row in rows if row.error is not None]
    if failed:
        yield "<h2>What failed</h2>" + _table(("model", "why"), [(escape(row.cell), escape(row.error or "")) for row in failed])


def latex(summaries: Sequence[TaskSummary]) -> str:
    """A table for a paper; it needs the package booktabs."""
    lines = [r"\begin{tabular}{lrrrr}", r"\toprule", r"task & models & generalise & with a program & statements \\", r"\midrule"]
    for s in summaries:
        task = "".join("\\" + c if c in "_&%#$" else c for c in s.task)
        lines.append(rf"{task} & {s.models} & {s.generalise} & {s.programs} & {_span(s)} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _span(summary: TaskSummary) -> str:
    if summary.statements is None:
        return "-"
    low, high = summary.statements
    return str(low) if low == high else f"{low}-{high}"


def _said(estimate: Estimate | None) -> str:
    return "-" if estimate is None else str(estimate)


def _step(step: int | None) -> str:
    return "not by the end" if step is None else str(step)


def _anchor(row: Row) -> str:
    return f'id="{escape(row.cell)}"'


def _link(target: str, text: str) -> str:
    return f'<a href="{escape(target)}">{escape(text)}</a>'


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The cells of `rows` are HTML."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
