"""The command line: plumbing and formatting, no logic. Torch is imported only by the commands that run a model."""

import argparse
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drasp.errors import DraspError

if TYPE_CHECKING:
    from drasp.ir.program import Program
    from drasp.measure import Banded
    from drasp.model.transformer import Transformer
    from drasp.record import FrontierEntry
    from drasp.tasks.protocol import Task

BAD_INPUT, INTERRUPTED = 2, 130
BAR = 20  # characters


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0 done (`decompiled` or `pruned`), 1 `not decompiled`, 2 bad input, 130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        code = int(arguments.command(arguments))
        sys.stdout.flush()  # here, where a closed pipe or a full disk is caught
        return code
    except DraspError as error:
        print(f"drasp: error: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return 0
    except OSError as error:
        print(f"drasp: error: {error}", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            _discard_output()
        return BAD_INPUT


def _discard_output() -> None:
    """What is still to be printed goes nowhere, so that nothing fails on the way out."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drasp", description="Decompiles small trained Transformers into readable, executable programs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function)
        return command

    sub = add("decompile", _decompile, "turn a trained model into a program, with the evidence that it is the same")
    sub.add_argument("model", metavar="MODEL", help="a Hugging Face GPT-2 folder, or the name of a bundled model")
    sub.add_argument("--task", help="a task's name, or FILE.py:NAME for your own; a bundled model knows its task")
    sub.add_argument("--out", type=Path, help="the run folder (default: runs/<model>-<seed>)")
    sub.add_argument(
        "--match", type=_share, default=0.99, help="share of sequences predicted alike, in the worst length band (default: 0.99)"
    )
    sub.add_argument("--statements", type=_positive, default=30, help="the most statements that count as decompiled (default: 30)")
    sub.add_argument("--numbers", type=_positive, default=60, help="the most free numbers that count as decompiled (default: 60)")
    _add_lengths(sub, "0-150")
    sub.add_argument("--seed", type=_seed, default=0, help="of everything random (default: 0)")
    sub.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    sub.add_argument("--time", type=_seconds, default=600.0, help="90s, 10m or 1h, evidence included (default: 10m)")
    sub.add_argument(
        "--evidence", choices=("full", "quick"), default="full", help="quick leaves out what is slow: off the task, interchanges, language"
    )
    sub.add_argument("--force", action="store_true", help="replace a finished run")

    sub = add("run", _run, "what a program predicts for a sequence")
    sub.add_argument("program", metavar="PROGRAM", type=Path, help="a run folder or a .drasp file")
    sub.add_argument("tokens", metavar="TOKENS", help="tokens separated by spaces, as one word; <bos> is put in front when it is missing")
    sub.add_argument("--offset", type=_natural, default=0, help="the first position id (default: 0)")
    sub.add_argument("--trace", action="store_true", help="show every variable at every position")

    sub = add("check", _check, "measure a program against a model on fresh sequences")
    sub.add_argument("program", metavar="PROGRAM", type=Path, help="a run folder or a .drasp file")
    sub.add_argument("--model", required=True, help="a Hugging Face GPT-2 folder, or the name of a bundled model")
    sub.add_argument("--task", help="a task's name, or FILE.py:NAME for your own; a bundled model knows its task")
    sub.add_argument("--sequences", type=_positive, default=20_000, help="how many (default: 20000)")
    _add_lengths(sub, "0-150")
    sub.add_argument("--seed", type=_seed, default=1, help="of the sequences (default: 1)")

    sub = add("show", _show, "a program, what each line's removal costs, its size and evidence")
    sub.add_argument("program", metavar="PROGRAM", type=Path, help="a run folder or a .drasp file")
    pick = sub.add_mutually_exclusive_group()
    pick.add_argument("--frontier", action="store_true", help="of a run folder: what else the search met, size against match")
    pick.add_argument("--statements", type=_positive, help="of a run folder: the program that matches best with at most so many statements")

    sub = add("export", _export, "a program as a Python file, a LaTeX document or Markdown")
    sub.add_argument("program", metavar="PROGRAM", type=Path, help="a run folder or a .drasp file")
    sub.add_argument("--to", required=True, choices=("python", "latex", "markdown"), help="the format")
    sub.add_argument("--out", type=Path, help="the file (default: program.py, .tex or .md in the run folder)")
    sub.add_argument("--force", action="store_true", help="replace the file if it is there")

    sub = add("report", _report, "one HTML page: the program, run on what you type, and its evidence")
    sub.add_argument("program", metavar="PROGRAM", type=Path, help="a run folder or a .drasp file")
    sub.add_argument("--out", type=Path, help="the page (default: report.html in the run folder, or FILE.html beside FILE.drasp)")
    sub.add_argument("--force", action="store_true", help="replace a page that is there")

    sub = add("train", _train, "train a small GPT-2 on a task")
    sub.add_argument("task", metavar="TASK", help="a task's name, or FILE.py:NAME for your own")
    sub.add_argument("--out", type=Path, required=True, help="the model folder")
    sub.add_argument("--layers", type=_positive, default=1, help="(default: 1)")
    sub.add_argument("--heads", type=_positive, default=1, help="(default: 1)")
    sub.add_argument("--width", type=_positive, default=16, help="(default: 16)")
    _add_lengths(sub, "0-50")
    sub.add_argument("--steps", type=_positive, default=20_000, help="batches at the most (default: 20000)")
    sub.add_argument("--learning-rate", type=_rate, default=1e-3, help="the highest, after the warm-up (default: 0.001)")
    sub.add_argument(
        "--weight-decay", type=_dropout, default=0.01, help="of all matrices, each step times the learning rate (default: 0.01)"
    )
    sub.add_argument("--dropout", type=_dropout, default=0.0, help="share of activations dropped in training (default: 0)")
    sub.add_argument("--checkpoints", type=_steps, default=(), help="also write the model after these steps, like 500,1000,2000")
    sub.add_argument("--seed", type=_seed, default=0, help="of weights and sequences (default: 0)")
    sub.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    sub.add_argument("--force", action="store_true", help="replace a finished training")

    add("tasks", _tasks, "every task: name, vocabulary, an example, what is predicted")
    return parser


def _add_lengths(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--lengths", type=_lengths, default=_lengths(default), help=f"of the sequences, both ends included (default: {default})"
    )


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 on")
    return int(text)


def _seed(text: str) -> int:
    seed = _natural(text)
    if seed >= 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r} is too large a seed: it must be below 2**63")
    return seed


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share between 0 and 1, like 0.99")
    return value


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no learning rate like 0.001")
    return value


def _dropout(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to below 1, like 0.1")
    return value


def _steps(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 90s, 10m or 1h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _lengths(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)-(\d+)", text)
    if match is None or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(f"{text!r} is no range of lengths like 0-150")
    return int(match[1]), int(match[2])


def _device(name: str) -> str:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise DraspError("--device cuda: no GPU is available here; use cpu or auto")
    if name not in ("auto", "cpu", "cuda"):
        raise DraspError(f"--device {name}: expected auto, cpu or cuda")
    return name


def _model_and_task(model: str, task: str | None, lengths: tuple[int, int]) -> "tuple[Transformer, Task, str]":
    """Both, and the model's name; what does not fit is said before anything is claimed or searched."""
    from drasp.model.bundled import resolve_model
    from drasp.model.checkpoint import load_transformer
    from drasp.model.given import check_fit
    from drasp.tasks.user import is_python, load_task

    folder, known = resolve_model(model)
    wanted = known if task is None else task
    if wanted is None:
        raise DraspError(f"{folder} has no task.json: say with --task what the model was trained on; `drasp tasks` lists the names")
    if task is None and is_python(wanted):
        raise DraspError(f"{folder} was trained on a task in a Python file, which is run only where you ask for it: add --task {wanted}")
    transformer = load_transformer(folder)
    found = load_task(wanted)
    check_fit(transformer, found, lengths, str(folder))
    return transformer, found, folder.resolve().name


def _decompile(arguments: argparse.Namespace) -> int:
    start = time.monotonic()  # before torch is imported: that takes time too
    from drasp import record

    transformer, task, name = _model_and_task(arguments.model, arguments.task, arguments.lengths)
    from drasp.pipeline import Settings, decompile
    from drasp.progress import Display

    settings = Settings(
        arguments.match,
        arguments.statements,
        arguments.numbers,
        arguments.lengths,
        arguments.seed,
        _device(arguments.device),
        arguments.time,
        arguments.evidence,
    )
    out = arguments.out or Path("runs") / f"{name}-{settings.seed}"
    asked = {**asdict(settings), "lengths": list(settings.lengths), "task": task.name, "model": transformer.sha256}
    journal = record.prepare(out, asked, arguments.force)
    if journal.used:
        _say(f"going on with the unfinished run in {out}, {journal.used:.0f} s of its time used")
    with Display() as display:
        found = decompile(transformer, task, settings, display, start, journal)
    record.finish(out, found.frontier, found.evidence)
    print(_annotated(found.program, found.evidence))
    print(_summary(found.evidence))
    print(f"written to {out}")
    if found.evidence["interrupted"]:
        return INTERRUPTED
    return 1 if found.evidence["verdict"] == "not decompiled" else 0


def _annotated(program: "Program", evidence: Mapping[str, Any]) -> str:
    """The program, beside each line what it does and what its removal costs."""
    from drasp.lang.printer import print_program
    from drasp.naming.captions import captions

    notes: dict[str, list[str]] = {line["statement"]: [f"without it: match {line['match']:.3f}"] for line in evidence.get("lines", [])}
    for swapped in (evidence.get("interchange") or {}).get("variables", []):
        if swapped["faithful"] is False:
            for name in swapped["variables"]:
                notes.setdefault(name, []).append("not faithful")
    said = {name: f" ({'; '.join(parts)})" for name, parts in notes.items()}
    return print_program(program, {name: text + said.get(name, "") for name, text in captions(program).items()})


def _summary(evidence: Mapping[str, Any]) -> str:
    size = evidence["size"]
    lines = [
        f"verdict    {evidence['verdict']}{' (interrupted)' * evidence['interrupted']}{' (out of time)' * evidence['stopped_by_time']}",
        f"size       {size['statements']} statements, {size['opaque']} of them opaque, {size['numbers']} numbers",
        f"match      {_bands(evidence['match'])}",
        f"task       program {_bands(evidence['task'], short=True)}; model {_bands(evidence['model_task'], short=True)}",
        f"baselines  match of the best constant {evidence['baseline']['constant']['all']['accuracy']:.3f}, "
        f"of the best current-token table {evidence['baseline']['current_token']['all']['accuracy']:.3f}",
        *_further(evidence),
        f"seconds    {evidence['seconds']:.1f}",
    ]
    lines[2:2] = [_piece(piece) for piece in evidence.get("named", [])]
    if "reason" in evidence:
        lines.insert(1, f"reason     {evidence['reason']}")
    return "\n".join(lines)


def _further(evidence: Mapping[str, Any]) -> list[str]:
    """A line for each kind of evidence beyond match that there is."""
    lines = []
    mistakes = evidence.get("mistakes")
    if mistakes:
        same, wrong = mistakes["same"]["all"], mistakes["program_wrong"]["all"]
        lines.append(
            f"mistakes   of {same['sequences']} sequences that the model gets wrong the program predicts {_interval(same)} exactly alike, "
            f"and gets {wrong['accuracy']:.3f} wrong"
        )
    for kind, found in (evidence.get("off_task") or {}).items():
        if found:
            trivial = max(each["positions"]["accuracy"] for each in found["baseline"].values())
            lines.append(
                f"off task   {kind.replace('_', ' ')}: alike at {_interval(found['positions'])} of positions (trivially {trivial:.3f}), "
                f"on {found['sequences']['all']['accuracy']:.3f} of sequences"
            )
    for variable in (evidence.get("interchange") or {}).get("variables", []):
        lines.append(_interchanged(variable))
    language = evidence.get("language")
    if language:
        low, high = language["lengths"]
        lines.append(
            f"language   of all {language['sequences']} sequences at {low}-{high} the program gets {_wrong(language['program'])}, "
            f"the model {_wrong(language['model'])}"
        )
    return lines


def _interchanged(variable: Mapping[str, Any]) -> str:
    """`swaps      a1 for head 0.0: both predict the same after 0.994 [0.983, 0.998] of swaps that change something`."""
    parts = [f"{part['kind']} {part['layer']}" + (f".{part['head']}" if "head" in part else "") for part in variable["stands_for"]]
    line = f"swaps      {', '.join(variable['variables'])} for {', '.join(parts)}: "
    changed = variable["value"]["changed"]
    if changed is None:
        return line + "no swap changes anything"
    reading = variable["reading"]["changed"]
    line += f"both predict the same after {_interval(changed, 'agreement')} of swaps that change something"
    if reading is not None:
        line += f" ({reading['agreement']:.3f} where what is read is swapped)"
    return line + "; not faithful" * (not variable["faithful"])


def _wrong(found: Mapping[str, Any]) -> str:
    """`3 wrong, first after "<bos> a"`."""
    shortest = found["shortest"]
    return f"{found['wrong']} wrong" + (f', first after "{" ".join(shortest["tokens"])}"' if shortest else "")


def _interval(share: Mapping[str, Any], key: str = "accuracy") -> str:
    return f"{share[key]:.3f} [{share['low']:.3f}, {share['high']:.3f}]"


def _piece(piece: Mapping[str, Any]) -> str:
    """`named      attention s1: total variation 0.011 to the model's; with it alone match 0.998`."""
    statements = ", ".join(piece["statements"]) or "uniform"
    if piece["kind"] == "attention":
        close = f"total variation {piece['total_variation']:.3f} to the one it replaces"
    else:
        close = f"agrees with the one it replaces at {piece['agreement']:.3f} of positions off the task"
    only = "; behaviour only" * piece["behaviour_only"]
    return f"named      {piece['kind']} ({statements}): {close}; match with it alone {piece['match']:.3f}{only}"


def _bands(shares: Mapping[str, Any], short: bool = False) -> str:
    def one(share: Mapping[str, Any]) -> str:
        low, high = share["lengths"]
        interval = "" if short else f" [{share['low']:.4f}, {share['high']:.4f}]"
        return f"{share['accuracy']:.4f}{interval} at {low}-{high}"

    return ", ".join(one(share) for share in shares["bands"])


def _show(arguments: argparse.Namespace) -> int:
    from drasp.ir.size import size
    from drasp.lang.folder import load_program
    from drasp.record import load_evidence, load_frontier

    if arguments.frontier:
        print(_frontier(load_frontier(arguments.program)))
        return 0
    if arguments.statements is not None:
        arguments.program = _picked(arguments.program, arguments.statements)
    program = load_program(arguments.program)
    evidence = load_evidence(arguments.program)
    if evidence is None:
        found = size(program)
        print(_annotated(program, {}))
        print(f"size       {found.statements} statements, {found.opaque} of them opaque, {found.numbers} numbers")
        return 0
    try:
        text = f"{_annotated(program, evidence)}\n{_summary(evidence)}"
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DraspError(f"{arguments.program}: evidence.json is damaged: {error!r}") from None
    print(text)
    return 0


def _picked(run: Path, statements: int) -> Path:
    """The program of a run's frontier that matches best with at most so many statements; of equals the smaller."""
    from drasp.record import load_frontier

    entries = load_frontier(run)
    small = [entry for entry in entries if entry.statements <= statements]
    if not small:
        raise DraspError(f"--statements {statements}: the smallest program of {run} has {min(e.statements for e in entries)}")
    return run / max(small, key=lambda entry: (entry.match, -entry.statements)).file


def _frontier(entries: "Sequence[FrontierEntry]") -> str:
    """A table, each match drawn as a bar from 0 to 1."""
    lines = ["statements  opaque  numbers   match                        measured on  file"]
    for e in entries:
        bar = "#" * int(BAR * e.match)
        lines.append(f"{e.statements:>10}  {e.opaque:>6}  {e.numbers:>7}  {e.match:.4f}  {bar:<{BAR}}  {e.measured_on:<11}  {e.file}")
    return "\n".join(lines)


def _report(arguments: argparse.Namespace) -> int:
    from drasp.lang.folder import PROGRAM_FILE, load_program
    from drasp.record import REPORT_FILE, check_target, load_evidence, write_made
    from drasp.report.page import report

    path: Path = arguments.program
    program = load_program(path)
    run = path if path.is_dir() else path.parent if path.name == PROGRAM_FILE else None
    out = arguments.out or (path.with_suffix(".html") if run is None else run / REPORT_FILE)
    check_target(out, path, arguments.force)
    write_made(out, report(program, load_evidence(path), path.resolve().stem))
    print(f"written to {out}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from drasp.program import load_program

    program = load_program(arguments.program)
    tokens = arguments.tokens.split()
    if "<bos>" in program.header.vocabulary and tokens[:1] != ["<bos>"]:
        tokens = ["<bos>", *tokens]
    if not tokens:
        raise DraspError("TOKENS is empty: give at least one token")
    print(program.trace(tokens, arguments.offset).text(details=arguments.trace))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from drasp.export.write import export

    print(f"written to {export(arguments.program, arguments.to, arguments.out, arguments.force)}")
    return 0


def _check(arguments: argparse.Namespace) -> int:
    import numpy as np

    from drasp.lang.folder import load_program
    from drasp.measure import baselines, make_judge, model_accuracy, numpy_logits, program_match

    program = load_program(arguments.program)
    transformer, task, _ = _model_and_task(arguments.model, arguments.task, arguments.lengths)
    if program.header.vocabulary != task.vocabulary or program.header.predict != task.predict:
        raise DraspError(f"{arguments.program} is no program for task {task.name}: its vocabulary or what it predicts is another")
    needed = getattr(task, "positions", None) or 0
    if needed > program.header.positions:
        raise DraspError(f"task {task.name} needs {needed} positions, {arguments.program} has {program.header.positions}")
    from drasp.model.forward import TorchTransformer

    model = numpy_logits(TorchTransformer(transformer))
    rng = np.random.default_rng(arguments.seed)
    judge = make_judge(task, model, arguments.lengths, arguments.sequences, rng)
    fitting = make_judge(task, model, arguments.lengths, max(300, arguments.sequences // 10), rng)
    match, accuracy = program_match(program, judge)
    rows: dict[str, Banded] = {
        "match": match,
        "program on the task": accuracy,
        "model on the task": model_accuracy(judge),
        **{f"match of the best {name.replace('_', ' ')}": found for name, found in baselines(judge, fitting).items()},
    }
    width = max(map(len, rows))
    for name, found in rows.items():
        print(f"{name:<{width}}  {_bands(found.as_json())}")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from drasp.tasks.user import load_task

    task = load_task(arguments.task)
    from drasp.train import TrainSettings, train

    settings = replace(
        TrainSettings(),
        layers=arguments.layers,
        heads=arguments.heads,
        width=arguments.width,
        lengths=arguments.lengths,
        steps=arguments.steps,
        seed=arguments.seed,
        learning_rate=arguments.learning_rate,
        dropout=arguments.dropout,
        weight_decay=arguments.weight_decay,
    )
    if settings.width % settings.heads:
        raise DraspError(f"--width {settings.width} is not divisible by --heads {settings.heads}")
    found = train(
        task,
        arguments.out,
        settings,
        device=_device(arguments.device),
        force=arguments.force,
        checkpoints=arguments.checkpoints,
        source=arguments.task,
        report=_say,
    )
    for share in found["accuracy"]:
        low, high = share["lengths"]
        print(f"lengths {low}-{high}: {share['accuracy']:.4f} of {share['sequences']} sequences right")
    print(f"written to {arguments.out}")
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tasks(arguments: argparse.Namespace) -> int:
    import numpy as np

    from drasp.run.trace import short_list
    from drasp.tasks.registry import get_task, task_names

    for name in task_names():
        task = get_task(name)
        lengths = [n for n in task.valid_lengths if n >= 4]
        sample = task.sample(np.random.default_rng(0), 1, (lengths[0], lengths[0] + 4))
        end = int(sample.ends[0]) + 1
        print(f"{name}: {task.description}")
        print(f"    vocabulary  {short_list(task.vocabulary)}")
        print(f"    example     {' '.join(task.vocabulary[i] for i in sample.token_ids[0, :end])}")
        print(f"    predicts    {'the next token' if task.predict == 'next-token' else 'the set of tokens that may come next'}")
    return 0
