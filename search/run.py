"""Find networks that are fast on a target: `python -m search.run --target arm --budget 146M`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from search.labels.config import add_options, label_config
from search.optimizer.sampler_names import SAMPLERS
from space.common.cli import INTERRUPTED, Parser, log, run_command

if TYPE_CHECKING:
    from search.optimizer.study import Study
    from search.problem.problem import Problem
from search.problem.target import target_table

TRIALS = 500
PATIENCE_S = 20.0  # what takes longer is said beforehand


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = Parser(
        prog="python -m search.run",
        description="Search networks that are fast on a target device within budgets, compare "
        "them with ShuffleNet v2 at the same budget, and export the winners.",
        epilog="Exit status: 0 done, 1 no network meets the budget, 2 wrong usage, 130 Ctrl-C.",
    )
    result.add_argument(
        "--target",
        required=True,
        help="arm or gpu (published tables), cpu (this machine, measured), another shipped "
        "table's name, or the path of a table",
    )
    result.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="B",
        help="146M (FLOPs), 2.3Mparams, or 30ms; give it again to combine",
    )
    result.add_argument("--trials", type=int, default=TRIALS, help="default: %(default)s")
    result.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    result.add_argument("--out", type=Path, help="default: out/TARGET-BUDGET")
    result.add_argument(
        "--relax",
        action="append",
        default=[],
        choices=("g1", "g2", "g3", "g4"),
        help="open the axes that break a guideline and drop its limit; may be repeated",
    )
    result.add_argument(
        "--guidelines",
        type=Path,
        metavar="FILE",
        help="limits of G1-G4 measured on a device by latency.guidelines; default: the paper's",
    )
    result.add_argument(
        "--sampler",
        default="prescreened",
        choices=SAMPLERS,
        help="default: %(default)s (NSGA-II, each trial the best of many children)",
    )
    result.add_argument(
        "--resume",
        action="store_true",
        help="go on with the study in --out; an error if there is none",
    )
    result.add_argument("--format", choices=("table", "json"), default="table")
    add_options(result)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    return run_command("search.run", lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from search.problem.budget import parse_budgets

    budgets = parse_budgets(args.budget)
    if args.trials < 1:
        raise ValueError(f"--trials must be at least 1; got {args.trials}")
    if args.seed < 0:
        raise ValueError(f"--seed must be at least 0; got {args.seed}")
    asked = label_config(args)
    table = target_table(args.target)
    out = args.out or _default_out(args)
    # A study that labels score is named after them; until they are known, any shows it was begun.
    begun = "study.db" if args.labels_from is None else "study*.db"
    if asked is not None and asked.labels:
        begun = "labels.jsonl"
    if args.resume and not any(out.glob(begun)):
        raise ValueError(f"--resume needs a study in {out}; there is no {out / begun}")

    from latency.microbenchmarks.limits import load_limits
    from search.labels.score import study_file
    from search.optimizer.study import Study
    from search.problem.problem import Problem
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space
    from space.common.files import locked
    from space.cost.guidelines import PAPER_LIMITS

    relax = tuple(sorted(set(args.relax)))
    limits = PAPER_LIMITS if args.guidelines is None else load_limits(args.guidelines)
    problem = Problem(ShuffleNetV2Space(), table, budgets, relax, limits)
    _writable(out)
    _say_cost(problem)
    with locked(out, "search"):
        labelling, judged = None, None
        if asked is not None:
            from search.labels.pipeline import LabelPipeline

            try:
                labelling = LabelPipeline.open(asked, problem, args.seed, out)
                problem = labelling.scored()
            except KeyboardInterrupt:
                return _stopped(out)
            judged = labelling.judged
        elif args.labels_from is not None:
            from search.labels.from_benchmark import score_from_benchmark

            problem, judged = score_from_benchmark(problem, args.labels_from, out)
        for line in judged.lines() if judged is not None else ():
            log(line)
        path = out / study_file(problem.score)
        study = Study.open(problem, seed=args.seed, sampler=args.sampler, path=path)
        if study.trials:
            log(f"{path} holds {study.trials} trials of this search; going on from there")
        if not _search(study, args.trials):
            log(f"stopped; {study.trials} finished trials are in {path}. The same command goes on")
            return INTERRUPTED
        from search.result.write import give  # torch and matplotlib: not before they are needed

        try:
            return give(args, problem, study, out, labelling, judged)
        except KeyboardInterrupt:
            if labelling is None:
                raise
            return _stopped(out)


def _stopped(out: Path) -> int:
    from search.labels.store import FILE

    log(f"stopped; finished trainings are in {out / FILE}. The same command goes on")
    return INTERRUPTED


def _say_cost(problem: Problem) -> None:
    """Tell before it happens that many kinds of units must be tabulated."""
    import time

    variants = len(problem.space.variants())
    started = time.monotonic()
    tables, _ = problem.model.tables((0,) * len(problem.space.variants()[0]))
    seconds = variants * (time.monotonic() - started)
    if seconds > PATIENCE_S:
        size = variants * sum(lookup.table.nbytes for lookup in tables)
        log(
            f"{variants} kinds of units to tabulate as they are met: up to about {seconds:.0f} s "
            f"and {size / 1e9:.1f} GB; relax fewer guidelines to need less"
        )


def _default_out(args: argparse.Namespace) -> Path:
    target = re.sub(r"[^\w.-]+", "_", Path(args.target).stem)
    words = [target, *args.budget, *(f"relax-{name}" for name in sorted(set(args.relax)))]
    if args.guidelines is not None:
        words.append(args.guidelines.stem)
    if args.seed:
        words.append(f"seed{args.seed}")
    if args.sampler != "prescreened":
        words.append(args.sampler)
    if args.data is not None:
        words.append("trained")
    if args.labels_from is not None:
        words.append(f"labels-{Path(args.labels_from).stem}")
    return Path("out") / "-".join(words)


def _writable(out: Path) -> None:
    """OSError now, before any work, if `out` cannot be made or written."""
    import tempfile

    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"--out must be a folder, or a new one; got {out}") from None
    with tempfile.TemporaryFile(dir=out):
        pass


def _search(study: Study, trials: int) -> bool:
    """Run the trials under a progress bar; False if Ctrl-C stopped it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("searching"), BarColumn(), MofNCompleteColumn(), Remaining())
    console = Console(stderr=True)
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("search", total=trials, completed=study.trials)
            for done in study.run(trials):
                progress.update(task, completed=done)
    except KeyboardInterrupt:
        return False
    if study.trials < trials:
        log(f"every architecture of the space was tried: {study.trials} trials")
    return True


if __name__ == "__main__":
    sys.exit(main())
