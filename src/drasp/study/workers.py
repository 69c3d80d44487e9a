"""Many pieces of work on the processes of Dask (distributed): started here, or those of a scheduler that runs already."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drasp.errors import DraspError, in_one_line, kind_and_message

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 20.0
"""Seconds within which a scheduler must answer."""


BATCH = 1_000
"""Pieces of work that a scheduler is given at once."""


@dataclass(frozen=True)
class Lost:
    """A piece of work that no process ended, and why."""

    reason: str


@contextmanager
def client_of(workers: int, scheduler: str | None) -> Iterator["Client"]:
    """A connection to a scheduler; without an address to one of this process, with so many worker processes, started by spawn.

    Raises:
        DraspError: Dask is not installed, or no scheduler answers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError:
        raise DraspError("drasp study needs Dask: pip install 'drasp[study]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what is lost is told by the study
    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=PATIENCE)
        except (OSError, ValueError, TimeoutError) as error:
            raise DraspError(f"--scheduler {scheduler}: no scheduler answers there ({_brief(error)})") from None
        with client:
            yield client
        return
    quiet = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    try:
        with dask.config.set(_wishes(dask.config.get("distributed.nanny.pre-spawn-environ"))):
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, memory_limit=0, **quiet)
    except (OSError, RuntimeError, TimeoutError) as error:
        raise DraspError(f"the worker processes could not be started ({_brief(error)})") from None
    with cluster, Client(cluster) as client:
        yield client


def _wishes(environment: Mapping[str, object]) -> dict[str, object]:
    """What Dask is to do otherwise than it would.

    Args:
        environment: the variables that it sets for its workers.
    """
    return {
        "distributed.worker.profile.enabled": False,  # it would look at a worker a hundred times a second
        # Memory would be given back whenever that can be: a third of all the time.
        "distributed.nanny.pre-spawn-environ": {name: value for name, value in environment.items() if name != "MALLOC_TRIM_THRESHOLD_"},
        # A worker has nothing in hand but what it works on: where it dies, nothing else is blamed.
        "distributed.scheduler.worker-saturation": 1.0,
    }


def outcomes(client: "Client", work: Callable[..., object], *items: Sequence[object]) -> Iterator[tuple[int, Lost | None]]:
    """As `map`, in the order in which it comes: the number of each piece of work, and whether it is lost. What a process had begun when it
    was killed is begun again by another.

    What the work gives is not fetched: a process may die as soon as it has given it. It is to leave it in a file.

    Raises:
        DraspError: the scheduler is gone, or the work raised it.
    """
    from distributed import as_completed

    futures = client.map(work, *items, pure=False, batch_size=BATCH)
    numbers = {future.key: number for number, future in enumerate(futures)}
    try:
        for future in as_completed(futures):
            if future.status == "cancelled":
                raise DraspError("the scheduler is gone; the same command goes on")
            yield numbers[future.key], _lost(future.exception()) if future.status == "error" else None
            future.release()
    finally:
        with suppress(Exception):  # the scheduler may be what is gone
            client.cancel(futures)


def _lost(error: BaseException) -> Lost:
    """Why a piece of work has no result. Raises what no other will escape."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return Lost("each process that worked on it was killed; perhaps it needs more memory than there is")
    if isinstance(error, DraspError):
        raise error
    return Lost(_brief(error))


def _brief(error: BaseException) -> str:
    return in_one_line(kind_and_message(error), 120)
