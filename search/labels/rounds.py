"""Trainings in rounds of several at once, on a GPU that holds the images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from search.labels.trainer import LabelTrainer, TrainingJob
from space.common.cli import log
from space.common.text import format_duration

if TYPE_CHECKING:
    from evaluator.training.group import Group, Member


def train_rounds(
    trainer: LabelTrainer,
    jobs: Sequence[Callable[[], TrainingJob]],
    *,
    group: Group | None = None,
    progress: Callable[[float], object] = lambda share: None,
    finish: Callable[[int, dict[str, Any]], object],
    end_round: Callable[[int, int], object] = lambda first, last: None,
) -> None:
    """Train all jobs, round after round, each with the seed and to the row that `LabelTrainer.run`
    has for it.

    Args:
        jobs: each is called when its round begins.
        group: what trains them; None: one on the device of `trainer`.
        progress: called with the finished share of all steps.
        finish: called with the number of a job and its row, once the job has ended.
        end_round: called with the first job of a round and the one after its last.

    Raises:
        NoAnswerError: out of memory with a single training.
        DataError: an image is damaged.
    """
    from evaluator.training.accelerator import Accelerator
    from evaluator.training.group import Group

    group = group or Group(Accelerator(trainer.device))
    if group.at_once is None:
        log(f"measuring how many of {len(jobs)} trainings to run at once")
    first = 0
    done = [0.0] * len(jobs)  # the finished share of each

    def report(number: int, share: float) -> None:
        done[number] = share
        progress(sum(done) / len(done))

    while first < len(jobs):
        open_jobs: dict[int, TrainingJob] = {}
        measured = group.at_once is None

        def opened(number: int, open_jobs: dict[int, TrainingJob] = open_jobs) -> Any:
            open_jobs[number] = jobs[number]()
            return trainer.open(open_jobs[number], at_once=True)

        def step(member: Member, first: int = first) -> None:
            training = member.session.training
            report(first + member.number, training.step / training.total)

        def ended(
            member: Member, first: int = first, open_jobs: dict[int, TrainingJob] = open_jobs
        ) -> None:
            number = first + member.number
            row = trainer.row(
                open_jobs[number],
                member.session,
                diverged=member.diverged,
                at_once=len(open_jobs),
            )
            finish(number, row)
            report(number, 1.0)

        def started(measured: bool = measured, first: int = first) -> None:
            if measured and group.step_s:
                log(round_words(group, trainer.steps, len(jobs) - first))

        last = first + group.round(
            [partial(opened, number) for number in range(first, len(jobs))],
            step=step,
            started=started,
            finish=ended,
        )
        end_round(first, last)
        first = last


def round_words(group: Group, steps: int, trainings: int) -> str:
    """How many trainings go on at once and why, and about how long all take."""
    each = ", ".join(f"{number}: {s * 1e3:.2g}" for number, s in group.step_s.items())
    chosen = group.at_once or max(group.step_s)
    seconds = group.step_s.get(chosen, min(group.step_s.values())) * steps * trainings
    return (
        f"{chosen} trainings at once (milliseconds of a step of each, by their number: {each}); "
        f"{trainings} trainings of {steps} steps: about {format_duration(seconds)} and their tests"
    )
