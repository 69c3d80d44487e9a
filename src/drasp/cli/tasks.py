"""`drasp tasks`."""

import argparse

from drasp.cli.say import tell

TEXT = "every task: name, vocabulary, an example, what is predicted"


def add(parser: argparse.ArgumentParser) -> None:
    """It takes no arguments."""


def command(arguments: argparse.Namespace) -> int:
    import numpy as np

    from drasp.run.trace import short_list
    from drasp.tasks.registry import get_task, task_names

    for name in task_names():
        task = get_task(name)
        lengths = [n for n in task.valid_lengths if n >= 4]
        sample = task.sample(np.random.default_rng(0), 1, (lengths[0], lengths[0] + 4))
        end = int(sample.ends[0]) + 1
        tell(f"{name}: {task.description}")
        tell(f"    vocabulary  {short_list(task.vocabulary)}")
        tell(f"    example     {' '.join(task.vocabulary[i] for i in sample.token_ids[0, :end])}")
        tell(f"    predicts    {'the next token' if task.predict == 'next-token' else 'the set of tokens that may come next'}")
    return 0
