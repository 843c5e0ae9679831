"""Train the networks of the measured benchmark, each with one short recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from evaluator.data.cache import decoded
from evaluator.data.dataset import split, subset
from evaluator.data.open import open_data
from evaluator.measured_benchmark.plan import BenchmarkConfig
from evaluator.measured_benchmark.rows import (
    TrainingRow,
    header_path,
    read_benchmark,
    read_rows,
    write_header,
    write_rows,
)
from evaluator.measured_benchmark.trainer import BenchmarkTrainer
from evaluator.training.process import device_of
from space.common.cli import log
from space.common.files import check_regular, locked, writable_folder
from space.common.provenance import commit, now_utc, versions

HELD_OUT = 0.1  # of each class of the training images, for what selects networks


def train_benchmark(config: BenchmarkConfig) -> list[TrainingRow]:
    """Train what has no row yet. Each row is on disk before the next training begins.

    Raises:
        ValueError: the data cannot be used, or the file is damaged or has rows of other settings.
        OSError: a file cannot be read or written.
        NoAnswerError: out of memory, or a training's process was killed.
    """
    config = replace(config, device=device_of(config.device))
    for path in (config.out, header_path(config.out)):
        if path.exists():
            check_regular(path)
    with locked(writable_folder(config.out.parent), "benchmark"):
        return _train(config)


def _train(config: BenchmarkConfig) -> list[TrainingRow]:
    torch.set_num_threads(config.threads)
    runs = config.planned()
    recipes = config.recipes()
    short = recipes["short"]
    data = open_data(config.data)
    train, held, _ = split(data.train, len(data.classes), seed=0, held_out=HELD_OUT)
    parts = (subset(train, short.images, seed=0), data.test, held)
    sizes = [len(part) for part in parts]
    log(f"{data.name}: {sizes[0]} images to train on, {sizes[1]} to test on, {sizes[2]} set aside")
    header: dict[str, Any] = {
        "recipes": {name: recipe.record() for name, recipe in recipes.items()},
        "images": sizes,
        "classes": list(data.classes),
        "device": config.device,
        "threads": config.threads,
    }
    rows = _stored_rows(config.out, header)
    # Before the first row, so that no row is without one.
    _write_header(config.out, rows, len(runs), header)
    if rows:
        log(f"{config.out} holds {len(rows)} rows; resuming from it")
    trainer = BenchmarkTrainer(
        config=config,
        parts=[(decoded(p, short.input), torch.from_numpy(p.labels.copy())) for p in parts],
        data=" ".join(part.key for part in parts),
        classes=data.classes,
    )
    numbers = {run.key: number for number, run in enumerate(runs, start=1)}
    for row in rows:
        trainer.forget(row.key)  # killed between the row and this
    done = {row.key for row in rows}
    for row in trainer.rows([run for run in runs if run.key not in done]):
        rows.append(row)
        rows.sort(key=lambda row: numbers.get(row.key, 0))  # the same file in any order of ends
        write_rows(config.out, rows)
        _write_header(config.out, rows, len(runs), header)
        trainer.forget(row.key)
        log(
            f"{numbers[row.key]} of {len(runs)}: {row.name}, {row.recipe}, seed {row.seed}: "
            f"{row.accuracy:.2f} % in {row.cpu_s:.0f} s of processor, {row.seconds:.0f} s"
        )
    return rows


def _stored_rows(path: Path, header: dict[str, Any]) -> list[TrainingRow]:
    if not path.exists():
        return []
    rows = read_rows(path)
    if len(rows) <= 1 and not header_path(path).exists():
        # An earlier version wrote the first row before any header. Killed in between, it left the
        # row's checkpoint, which has the same settings or is not used.
        log(f"{path} has no header: its first training is repeated, or read from its checkpoint")
        return []
    rows, stored = read_benchmark(path)
    different = [name for name in header if stored.get(name) != header[name]]
    if different:
        raise ValueError(
            f"{path} holds a benchmark with other {', '.join(different)}. Choose another --out"
        )
    return rows


def _write_header(
    path: Path, rows: list[TrainingRow], planned: int, header: dict[str, Any]
) -> None:
    now = {
        "rows": len(rows),
        "planned": planned,
        "date": max((row.date for row in rows), default=now_utc()),
        "commit": commit(),
        "command": f"python -m evaluator.measured --data DIR --out {path.name}",
        "versions": versions("torch", "torchvision", "numpy", "pillow"),
    }
    write_header(path, {**now, **header})
