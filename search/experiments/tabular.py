"""Which sampler finds the best of a table of trained networks in the fewest evaluations?"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.experiments.tabular_runs import SAMPLERS, SLOW, run_sampler
from search.experiments.tabular_table import TrainedTable, read_trained_table
from search.sampling.costs import Floats
from space.common.errors import NoAnswerError
from space.common.files import locked, make_folder
from space.common.jsonl import JsonLines
from space.common.progress import Progress
from space.common.provenance import commit, now_utc, versions
from space.common.schema import Integer, Items, Number, Record, Text, check

CHECKPOINTS = (20, 50, 100, 200)
JOURNAL, RESULT, PICTURE = "tabular.jsonl", "tabular.json", "tabular.png"
ADVICE = "choose another --out"
RUN = Record(
    {
        "sampler": Text(choices=SAMPLERS),
        "seed": Integer(0, 1000),
        "networks": Items(Integer(0, 2**31), least=1),
        "seconds": Number(0, 1e9),
    },
    required=("sampler", "seed", "networks", "seconds"),
)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class TabularConfig:
    """A comparison. `workers`: processes; 0: this one alone. `slow_seeds`: seeds of Optuna's GP,
    which takes minutes for each. `out`: the folder of journal, result and picture; None: none."""

    table: Path
    genes: tuple[str, ...]
    value: str
    cost: str | None = None
    limit: str | None = None
    minimise: bool = False
    evaluations: int = 200
    seeds: int = 30
    slow_seeds: int = 5
    workers: int = 0
    out: Path | None = None


Runs = dict[tuple[str, int], dict[str, Any]]
"""(sampler, seed) -> `networks`, the places in the table of those evaluated, and `seconds`."""


def compare_tabular(config: TabularConfig) -> dict[str, Any]:
    """Run every sampler for every seed; runs in the journal of `out` are not repeated.

    Returns:
        The record for JSON: table, networks, feasible, limit, best; `samplers`: of each the seeds,
        seconds an evaluation, and `at` each checkpoint the mean rank of the best network found
        among the feasible ones (1: the best) and its mean regret, in the unit of the value.

    Raises:
        ValueError: the table or the journal is not of this comparison.
        InfeasibleError: no network is within the limit.
        NoAnswerError: a process was killed.
        OSError: a file cannot be read or written.
    """
    table = read_trained_table(
        config.table, config.genes, config.value, config.cost, config.limit, config.minimise
    )
    evaluations = min(config.evaluations, int(table.feasible.sum()))
    with ExitStack() as stack:
        journal = None
        if config.out is not None:
            make_folder(config.out)
            stack.enter_context(locked(config.out, "comparison"))
            journal = stack.enter_context(_open_journal(config, table, evaluations))
        runs = recorded_runs(journal, table, evaluations)
        wanted = _wanted(config)
        missing = [key for key in wanted if key not in runs]
        bar = Progress("comparing", len(wanted), len(wanted) - len(missing), lines="runs")
        with bar:
            for found in _run_all(table, evaluations, missing, config.workers):
                runs[found["sampler"], found["seed"]] = found
                if journal is not None:
                    journal.append(found)
                bar.update(bar.done + 1)
    kept = {key: runs[key] for key in wanted}
    return _record(config, table, evaluations, kept)


def _wanted(config: TabularConfig) -> list[tuple[str, int]]:
    """The slow ones first, so that no process works alone at the end."""
    slow = [(SLOW, seed) for seed in range(min(config.slow_seeds, config.seeds))]
    return slow + [
        (name, seed) for seed in range(config.seeds) for name in SAMPLERS if name != SLOW
    ]


def _identity(config: TabularConfig, table: TrainedTable, evaluations: int) -> dict[str, Any]:
    return {
        "format": 1,
        "table": table.digest,
        "genes": list(table.genes),
        "value": config.value,
        "minimise": config.minimise,
        "cost": config.cost,
        "limit": table.limit,
        "evaluations": evaluations,
    }


def _open_journal(config: TabularConfig, table: TrainedTable, evaluations: int) -> JsonLines:
    """The journal of a folder, whose first line says what is compared.

    Raises:
        ValueError: it is of another comparison.
        OSError: it cannot be read or written.
    """
    assert config.out is not None
    path = config.out / JOURNAL
    journal = JsonLines(path, what="a comparison", advice=ADVICE)
    identity = _identity(config, table, evaluations)
    try:
        if not journal.rows:
            journal.append(identity)
        elif journal.rows[0] != identity:
            differ = [name for name in identity if journal.rows[0].get(name) != identity[name]]
            raise ValueError(f"{path}: of another comparison ({', '.join(differ)}); {ADVICE}")
    except BaseException:
        journal.close()
        raise
    return journal


def recorded_runs(journal: JsonLines | None, table: TrainedTable, evaluations: int) -> Runs:
    """The runs in a journal.

    Raises:
        ValueError: a line is no run on this table.
    """
    runs: Runs = {}
    for number, row in enumerate(journal.rows[1:] if journal else (), 2):
        assert journal is not None
        try:
            check(row, RUN)
            places = row["networks"]
            if len(set(places)) != len(places) or len(places) > evaluations:
                raise ValueError(f"must have at most {evaluations} networks, all different")
            if max(places) >= len(table.rows) or not table.feasible[places].all():
                raise ValueError("must have networks of the table within the limit")
        except ValueError as error:
            raise journal.damaged(number, error) from None
        runs[row["sampler"], row["seed"]] = row
    return runs


def _run_all(
    table: TrainedTable, evaluations: int, wanted: Sequence[tuple[str, int]], workers: int
) -> Iterator[dict[str, Any]]:
    """The runs that are wanted, as they end.

    Raises:
        NoAnswerError: a process was killed.
    """
    workers = min(workers, len(wanted))
    if workers <= 1:
        yield from (_run(table, evaluations, *each) for each in wanted)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"))
    try:
        with _environment_of_workers():
            futures = [pool.submit(_run, table, evaluations, *each) for each in wanted]
        for ready in as_completed(futures):
            yield ready.result()
    except BrokenProcessPool:
        raise NoAnswerError(
            "a process was killed, most often for want of memory; use fewer --workers"
        ) from None
    finally:  # on Ctrl-C too: the pool would wait for its runs
        pool.shutdown(wait=False, cancel_futures=True)
        for process in active_children():
            process.terminate()


@contextmanager
def _environment_of_workers() -> Iterator[None]:
    """One thread for each process that starts in the block, and Ctrl-C for the parent alone."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _run(table: TrainedTable, evaluations: int, name: str, seed: int) -> dict[str, Any]:
    places, seconds = run_sampler(name, table, evaluations, seed)
    return {"sampler": name, "seed": seed, "networks": places, "seconds": round(seconds, 3)}


def best_so_far(
    table: TrainedTable, places: Sequence[int], evaluations: int
) -> tuple[NDArray[np.intp], Floats]:
    """Rank among the feasible networks (1: the best; equal ones share the least) and regret, each
    [evaluations], of the best of the first 1 ... networks. A shorter run stays at its last."""
    all_places = [*places, *[places[-1]] * (evaluations - len(places))]
    ordered = np.sort(table.value[table.feasible])
    best = np.maximum.accumulate(table.value[all_places])
    ranks = 1 + len(ordered) - np.searchsorted(ordered, best, side="right")
    return ranks, ordered[-1] - best


def _record(
    config: TabularConfig, table: TrainedTable, evaluations: int, runs: Runs
) -> dict[str, Any]:
    points = sorted({min(point, evaluations) for point in (*CHECKPOINTS, evaluations)})
    samplers = []
    for name in SAMPLERS:
        mine = [run for (sampler, _), run in sorted(runs.items()) if sampler == name]
        if not mine:
            continue
        curves = [best_so_far(table, run["networks"], evaluations) for run in mine]
        ranks, regrets = (np.array(each) for each in zip(*curves, strict=True))
        samplers.append(
            {
                "sampler": name,
                "seeds": len(mine),
                "seconds": sum(run["seconds"] for run in mine)
                / sum(len(run["networks"]) for run in mine),
                "at": {
                    str(point): {
                        "rank": float(ranks[:, point - 1].mean()),
                        "worst_rank": int(ranks[:, point - 1].max()),
                        "regret": float(regrets[:, point - 1].mean()),
                    }
                    for point in points
                },
                "regret": regrets.mean(axis=0).tolist(),
            }
        )
    best = float(table.value[table.feasible].max())
    return {
        **_identity(config, table, evaluations),
        "file": config.table.name,
        "networks": len(table.rows),
        "complete": table.complete,
        "feasible": int(table.feasible.sum()),
        "best": -best if config.minimise else best,
        "seeds": config.seeds,
        "samplers": samplers,
        "versions": versions("numpy", "scipy", "optuna", "torch"),
        "commit": commit(),
        "date": now_utc(),
    }
