"""What a search is asked for."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from search.labels.config import LabelOptions
from space.common.cli import check_range

TRIALS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """What a search is asked for; `search.search` runs it.

    Args:
        target: a name (arm, gpu, cpu, or another shipped table) or the path of a table.
        budgets: as users type them: "146M" (FLOPs), "2.3Mparams", "30ms"; one for each cost.
        trials: evaluated architectures, those of an earlier run in `out` included.
        out: folder of the files; None: `out/` and a name made of the other options.
        relax: guidelines ("g1" ... "g4") whose axes are open and whose limits do not bind.
        guidelines: limits of G1-G4 measured by latency.guidelines; None: the paper's.
        sampler: one of `search.optimizer.SAMPLERS`.
        resume: a study in `out` is required.
        labels: accuracy options; without them the training-free score ranks networks.

    Raises:
        ValueError: `trials` below 1 or `seed` below 0.

    Example:
        >>> SearchConfig(target="arm", budgets=("146M",), seed=3).folder.as_posix()
        'out/arm-146M-seed3'
    """

    target: str
    budgets: tuple[str, ...]
    trials: int = TRIALS
    seed: int = 0
    out: Path | None = None
    relax: tuple[str, ...] = ()
    guidelines: Path | None = None
    sampler: str = "prescreened"
    resume: bool = False
    labels: LabelOptions = field(default_factory=LabelOptions)

    def __post_init__(self) -> None:
        check_range({"trials": self.trials, "seed": self.seed}, "trials", "seed")
        object.__setattr__(self, "relax", tuple(sorted(set(self.relax))))

    @property
    def folder(self) -> Path:
        """`out`, or the default folder."""
        if self.out is not None:
            return self.out
        target = re.sub(r"[^\w.-]+", "_", Path(self.target).stem)
        words = [target, *self.budgets, *(f"relax-{name}" for name in self.relax)]
        if self.guidelines is not None:
            words.append(self.guidelines.stem)
        if self.seed:
            words.append(f"seed{self.seed}")
        if self.sampler != "prescreened":
            words.append(self.sampler)
        if self.labels.data is not None:
            words.append("trained")
        if self.labels.labels_from is not None:
            words.append(f"labels-{Path(self.labels.labels_from).stem}")
        return Path("out") / "-".join(words)

    @property
    def command(self) -> str:
        """The command that gives the same result, for a record."""
        words = ["python", "-m", "search.run", "--target", self.target]
        words += [word for budget in self.budgets for word in ("--budget", budget.strip())]
        words += [word for name in self.relax for word in ("--relax", name)]
        if self.guidelines is not None:
            words += ["--guidelines", str(self.guidelines)]
        words += ["--trials", str(self.trials), "--seed", str(self.seed)]
        return shlex.join([*words, "--sampler", self.sampler, *self.labels.words()])
