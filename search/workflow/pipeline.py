"""One search, step by step: config -> problem -> study -> summarize -> measure -> train -> export
-> write.

Each step after the study takes a `SearchResult` and returns one with a further field filled.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from latency.microbenchmarks.limits import load_limits
from search.labels.config import LabelConfig, label_config
from search.labels.pipeline import LabelPipeline
from search.labels.report import accuracy_lines, trained_record
from search.labels.score import ScoreComparison, score_from_benchmark, study_file
from search.labels.store import FILE
from search.optimizer.study import Study
from search.problem.baseline import baseline
from search.problem.budget import parse_budgets
from search.problem.estimate_score import EstimateScore, why_no_estimate, with_estimate
from search.problem.latencies import check_latencies
from search.problem.problem import Problem, target_table
from search.problem.shape import IMAGENET, shape_of, table_shape
from search.problem.size import parse_size
from search.result.rows import result_rows, with_measurements
from search.result.search_result import SearchResult
from search.result.shelf import ShelfPrices, choose_shelf, shelf_prices, with_whole_runs
from search.result.winners import limit_of, require_feasible, winners
from search.result.write import export_winners, write
from search.workflow.config import SearchConfig
from space.common.cli import log
from space.common.files import locked, writable_folder
from space.common.progress import Progress
from space.common.text import shorten
from space.cost.guidelines import PAPER_LIMITS

PATIENCE_S = 20.0  # an estimate is printed for what takes longer


def search(config: SearchConfig) -> SearchResult:
    """Search, compare with ShuffleNet v2, export the winners, and write the result's files.

    Every finished trial and training is on disk before the next starts; the same config continues
    where an earlier run stopped.

    Raises:
        ValueError: the config cannot be used; the message says what must hold.
        InfeasibleError: no network meets the budgets.
        OSError: a file cannot be read or written.
        KeyboardInterrupt: stopped; the message says what is on disk.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> out = Path(tempfile.mkdtemp())
        >>> result = search(SearchConfig(target="arm", budgets=("41M",), trials=40, out=out))
        >>> [row.name for row in result.rows if row.role == "baseline"]
        ['ShuffleNet v2 0.5x']
        >>> (out / "winner-1.onnx").exists()
        True
    """
    labels, source = label_config(config.labels), config.labels.labels_from
    budgets, table = parse_budgets(config.budgets), target_table(config.target)
    limits = PAPER_LIMITS if config.guidelines is None else load_limits(config.guidelines)
    shape = table_shape(
        table.header,
        size=None if config.input is None else parse_size(config.input),
        channels=config.channels,
        classes=config.classes,
    )
    if labels is not None and shape.channels != IMAGENET.channels:
        raise ValueError(
            f"--data trains on images of 3 channels; the networks take {shape.channels}: search "
            "without --data"
        )
    problem = Problem(shape.space, table, budgets, config.relax, limits)
    _check_resume(config, labels)
    check_latencies(problem)
    folder = writable_folder(config.folder)
    _log_tabulation(problem)
    with locked(folder, "search"):
        try:
            pipeline = comparison = None
            if labels is not None:
                pipeline = LabelPipeline.open(labels, problem, config.seed, folder)
                _check_classes(pipeline, problem, config.classes)
            if source is not None:
                problem, comparison = score_from_benchmark(problem, source, folder)
            elif pipeline is not None:
                problem, comparison = pipeline.score()
            for line in comparison.lines() if comparison else ():
                log(line)
            problem = _with_score(problem, config)
            prices = shelf_prices(table, shape) if config.shelf else None
            result = measure(summarize(run_study(problem, config), config, prices))
            if pipeline is not None:
                result = train(result, pipeline, comparison)
            elif source is not None and comparison is not None:
                record = {**comparison.record(), "file": Path(source).name}
                result = replace(result, accuracy={"source": "predicted", "labels": record})
        except KeyboardInterrupt as error:
            if error.args or labels is None:
                raise
            raise KeyboardInterrupt(
                f"stopped; finished trainings are in {folder / FILE}. The same command continues"
            ) from None
        return write(export_winners(result))


def _with_score(problem: Problem, config: SearchConfig) -> Problem:
    """The problem with the estimate as its score, if that is asked for and known."""
    if not config.estimated:
        return problem
    if why := why_no_estimate(problem):
        log(f"the closed form is the score: {why}")
        return problem
    return with_estimate(problem, recipe=config.estimate_recipe, optimism=config.optimism)


def run_study(problem: Problem, config: SearchConfig) -> Study:
    """Run the trials that the study in the folder lacks, under a progress bar.

    Raises:
        ValueError: the study there is of another search.
        KeyboardInterrupt: stopped; finished trials are on disk.
    """
    path = config.folder / _study_file(problem)
    study = Study.open(problem, seed=config.seed, sampler=config.sampler, path=path)
    if study.trials:
        log(f"{path} holds {study.trials} trials of this search; going on from there")
    try:
        with Progress("searching", config.trials, study.trials, lines="trials") as bar:
            if not bar.shown:
                log(_start_line(problem, config))
            for done in study.run(config.trials):
                bar.update(done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped; {study.trials} finished trials are in {path}. The same command continues"
        ) from None
    if study.trials < config.trials:
        log(f"every architecture of the space was tried: {study.trials} trials")
    return study


def _study_file(problem: Problem) -> str:
    """Of both scores that need no labels the same: whoever changes the score is told."""
    return "study.db" if isinstance(problem.score, EstimateScore) else study_file(problem.score)


def _start_line(problem: Problem, config: SearchConfig) -> str:
    shape, budget = shape_of(problem.space), " and ".join(map(str, problem.budgets))
    networks = "" if shape == IMAGENET else f" of {shape}"
    target = shorten(config.target).strip("'")
    return (
        f"searching networks{networks} for {target} within {budget}: "
        f"{config.trials} trials, into {config.folder}"
    )


def summarize(
    study: Study, config: SearchConfig, prices: ShelfPrices | None = None
) -> SearchResult:
    """From the trials of a study to winners, baseline, the bound and the shelf; no file is
    written.

    Args:
        prices: the latencies of networks off the shelf; None: they are not compared.

    Raises:
        InfeasibleError: no trial meets the budgets.
    """
    problem, found = study.problem, study.evaluated()
    require_feasible(problem, found)
    base = baseline(problem)
    best = tuple(winners(found, base))
    rows = tuple(result_rows(problem, found, best, base))
    return SearchResult(
        target=config.target,
        command=config.command,
        seed=study.seed,
        folder=config.folder,
        study=config.folder / _study_file(problem),
        problem=problem,
        found=found,
        duplicates=study.duplicates,
        baseline=base,
        winners=best,
        limit=limit_of(problem, found, base),
        rows=rows,
        shelf=None if prices is None else choose_shelf(prices, rows, problem),
    )


def measure(result: SearchResult) -> SearchResult:
    """The result with end-to-end latencies, where its table is of this machine."""
    count, shelf = len(result.rows), result.shelf
    others = [] if shelf is None else [each.row for each in shelf.candidates]
    found = with_measurements([*result.rows, *others], result.header)
    if shelf is not None:
        shelf = with_whole_runs(shelf, found[count:], found[:count])
    return replace(result, rows=tuple(found[:count]), shelf=shelf)


def train(
    result: SearchResult, pipeline: LabelPipeline, comparison: ScoreComparison | None
) -> SearchResult:
    """Train the winners and the baseline alike; the result with their accuracies."""
    record = trained_record(pipeline, comparison)
    if comparison is None and isinstance(result.problem.score, EstimateScore):
        record["labels"]["score"] = "estimate"
    networks = {row.name: row.network for row in result.rows if row.genes}
    accuracies = pipeline.train_final(networks)
    base = None if result.baseline is None else result.baseline.name
    weights = {name: pipeline.weights(networks[name], each) for name, each in accuracies.items()}
    return replace(
        result,
        rows=tuple(replace(row, accuracy=accuracies.get(row.name, ())) for row in result.rows),
        files={name: {"trained": paths} for name, paths in weights.items()},
        accuracy=record,
        accuracy_lines=accuracy_lines(pipeline, accuracies, base),
    )


def _check_resume(config: SearchConfig, labels: LabelConfig | None) -> None:
    # A study whose score comes from labels is named after them; until they are known, any study
    # will do.
    begun = "study.db" if config.labels.labels_from is None else "study*.db"
    if labels is not None and labels.labels:
        begun = FILE
    folder = config.folder
    if config.resume and not any(folder.glob(begun)):
        raise ValueError(f"--resume needs a study in {folder}; there is no {folder / begun}")


def _check_classes(pipeline: LabelPipeline, problem: Problem, asked: int | None) -> None:
    """ValueError if the user, or the table, says another number of classes than the images. A
    table of ImageNet's says nothing: it is the default."""
    data, classes = pipeline.final.data, problem.space.classes
    said = asked is not None or classes != IMAGENET.classes
    if said and classes != len(data.classes):
        raise ValueError(
            f"--classes, or those of the table, must be the {len(data.classes)} of {data.name}; "
            f"got {classes}"
        )


def _log_tabulation(problem: Problem) -> None:
    """Print an estimate where many kinds of units must be tabulated."""
    variants = problem.space.variants()
    started = time.monotonic()
    tables, _ = problem.model.tables((0,) * len(variants[0]))
    seconds = len(variants) * (time.monotonic() - started)
    if seconds > PATIENCE_S:
        size = len(variants) * sum(lookup.table.nbytes for lookup in tables)
        log(
            f"{len(variants)} kinds of units to tabulate as they are met: up to about "
            f"{seconds:.0f} s and {size / 1e9:.1f} GB; relax fewer guidelines to need less"
        )
