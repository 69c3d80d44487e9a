"""`drasp check`."""

import argparse
from dataclasses import replace

from drasp.cli.arguments import TASK_HELP, add_lengths, add_program, model_and_task, positive, seed
from drasp.cli.libraries import importing
from drasp.cli.say import tell
from drasp.errors import DraspError

TEXT = "measure a program against a model on fresh sequences"
FITTING_LEAST = 300  # sequences that what is trivial is read off; else a tenth of the others


def add(parser: argparse.ArgumentParser) -> None:
    add_program(parser)
    parser.add_argument("--model", required=True, help="a Hugging Face GPT-2 folder, or the name of a bundled model")
    parser.add_argument("--task", help=TASK_HELP)
    parser.add_argument("--sequences", type=positive, default=20_000, help="how many (default: 20000)")
    add_lengths(parser)
    parser.add_argument("--seed", type=seed, default=1, help="of the sequences (default: 1)")


def command(arguments: argparse.Namespace) -> int:
    import numpy as np

    from drasp.lang.folder import load_program
    from drasp.learn.evaluation import Examinee, by_the_model, draw, numpy_logits, predictor, trivial
    from drasp.tasks.protocol import outputs, parts
    from drasp.view.facts import by_bands

    program = load_program(arguments.program)
    transformer, task, *_ = model_and_task(arguments.model, arguments.task, arguments.lengths)
    header = program.header
    if (header.vocabulary, header.predicted, header.predict) != (task.vocabulary, outputs(task), task.predict):
        raise DraspError(f"{arguments.program} is no program for task {task.name}: its vocabulary or what it predicts is another")
    needed = getattr(task, "positions", None) or 0
    if needed > program.header.positions:
        raise DraspError(f"task {task.name} needs {needed} positions, {arguments.program} has {program.header.positions}")
    with importing():
        from drasp.model.forward import TorchTransformer

    found = parts(task)
    examinee = Examinee(found.judged, numpy_logits(TorchTransformer(transformer)), arguments.lengths, all_inputs=found.all_inputs)
    examinee = replace(examinee, bidirectional=program.header.bidirectional)
    rng = np.random.default_rng(arguments.seed)
    fresh = draw(examinee, arguments.sequences, rng)
    fitting = draw(replace(examinee, task=found.search, all_inputs=False), max(FITTING_LEAST, arguments.sequences // 10), rng)
    predicted = predictor(program, fresh)
    rows = {
        "match": fresh.match(predicted),
        "program on the task": fresh.accuracy(predicted),
        "model on the task": fresh.accuracy(by_the_model),
        **{f"match of the best {name.replace('_', ' ')}": fresh.match(guess) for name, guess in trivial(fitting).items()},
    }
    width = max(map(len, rows))
    for name, shares in rows.items():
        tell(f"{name:<{width}}  {'nobody knows what is right' if shares is None else by_bands(shares)}")
    return 0
