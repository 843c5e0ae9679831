"""Networks trained one after the other, each a row on disk before the next begins."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluator.data_batches import ArrayBatches
from evaluator.measured_file import Row, read_header, read_rows, write_header, write_rows
from evaluator.measured_plan import Run
from evaluator.recipe import Recipe
from evaluator.train_loop import DivergedError, Training
from space.command import say
from space.files import commit, versions
from space.small import on_input


def read_back(path: Path, header: Mapping[str, Any], *, what: str, option: str) -> list[Row]:
    """The rows in `path`; none if it does not exist. `what` they are, and the `option` that named
    the file, are for the message.

    Raises:
        ValueError: they are of trainings with another `header`.
    """
    if not path.exists():
        return []
    rows, there = read_rows(path), read_header(path)
    other = [name for name in header if there.get(name) != header[name]]
    if other:
        raise ValueError(
            f"{path} holds {what} with other {', '.join(other)}. Choose another {option}"
        )
    return rows


def train_missing(
    path: Path,
    rows: list[Row],
    runs: Sequence[Run],
    recipes: Mapping[str, Recipe],
    parts: Sequence[tuple[Tensor, Tensor]],
    told: Mapping[str, Any],
    header: Mapping[str, Any],
) -> Iterator[tuple[int, Row]]:
    """Train the runs that have no row yet, and add theirs to `rows` and to `path`.

    `parts`: pixels and labels of the training and the test part; `told`: more for the header,
    that may differ when the trainings go on. Yields each run's number, from 1, and its row.
    """
    done = {row.key for row in rows}
    device, classes = header["device"], len(header["classes"])
    for number, run in enumerate(runs, start=1):
        if run.key in done:
            continue
        recipe = recipes[run.recipe]
        data = [ArrayBatches(*part, recipe, run.seed, device=device) for part in parts]
        row = _train(run, recipe, header["images"][0], classes, data, device)
        rows.append(row)
        write_rows(path, rows)
        now = {"rows": len(rows), "planned": len(runs), "date": row.date, "commit": commit()}
        packages = versions("torch", "torchvision", "numpy", "pillow")
        write_header(path, {**now, **told, "versions": packages, **header})
        yield number, row


def _train(
    run: Run, recipe: Recipe, images: int, classes: int, data: list[ArrayBatches], device: str
) -> Row:
    whole = run.entry.network()
    network = on_input(whole, recipe.input, recipe.input, classes=classes, drop=recipe.drop)
    started, cpu = time.perf_counter(), time.process_time()
    train, test = data
    training = Training(network, recipe, images, train, test, seed=run.seed, device=device)
    try:
        for _ in training.run():
            pass
        accuracy, loss = training.history[-1].test_accuracy, training.history[-1].test_loss
    except DivergedError as error:  # a result too: such a network trains badly
        say(f"{run.entry.name}: {error}")
        accuracy, loss = 100 / classes, float("nan")
    return Row(
        name=run.entry.name,
        group=run.entry.group,
        architecture=run.entry.architecture,
        recipe=run.recipe,
        seed=run.seed,
        accuracy=round(accuracy, 4),
        loss=round(loss, 6),
        flops=network.flops,
        params=network.params,
        flops_224=whole.flops,
        cpu_s=round(time.process_time() - cpu, 2),
        seconds=round(time.perf_counter() - started, 2),
        torch=torch.__version__,
        commit=commit(),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
