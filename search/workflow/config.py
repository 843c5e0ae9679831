"""What a search is asked for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluator.estimate import RECIPES
from search.labels.config import LabelOptions
from search.problem.size import SHAPE_RANGES, parse_size
from space.common.cli import check_range
from space.common.text import shorten

TRIALS = 500
SCORES = ESTIMATE, CLOSED_FORM = "estimate", "closed-form"
OPTIMISM = (-10, 10)
PLAIN = (
    "target",
    "trials",
    "seed",
    "out",
    "guidelines",
    "sampler",
    "resume",
    "score",
    "estimate_recipe",
    "optimism",
    *SHAPE_RANGES,
)
"""Fields that are options of the same name."""
LONGEST_NAME = 100  # of a target in the name of a folder


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
        input: HEIGHTxWIDTH of the images that the networks take on the target, `channels` of
            them, and `classes`; None: those of the target's table.
        sampler: one of `search.optimizer.SAMPLERS`.
        resume: a study in `out` is required.
        shelf: compare with networks off the shelf.
        score: "estimate" of ImageNet top-1 or "closed-form"; None: the estimate, where no labels
            make the score. Networks without an estimate have the closed form.
        estimate_recipe: the published recipe that the estimate is of, one of
            `evaluator.estimate.RECIPES`.
        optimism: standard deviations that are added to the estimate, which is one below its mean.
        labels: accuracy options; without labels the estimate ranks networks.

    Raises:
        ValueError: no target, a number out of its range, an unknown score or recipe, a score
            beside labels, which make another, or an option of the estimate beside another score.

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
    input: str | None = None
    channels: int | None = None
    classes: int | None = None
    shelf: bool = True
    score: str | None = None
    estimate_recipe: str = RECIPES[0]
    optimism: float = 0.0

    def __post_init__(self) -> None:
        if not self.target.strip():
            raise ValueError(
                f"--target must be a name such as arm, or the path of a table; got {self.target!r}"
            )
        values = {n: getattr(self, n) for n in ("trials", "seed", *SHAPE_RANGES)}
        check_range(values, "trials", "seed", **SHAPE_RANGES)
        check_range({"optimism": self.optimism}, optimism=OPTIMISM)
        for option, value, known in (
            ("score", self.score, (None, *SCORES)),
            ("estimate-recipe", self.estimate_recipe, RECIPES),
        ):
            if value not in known:
                names = ", ".join(name for name in known if name is not None)
                raise ValueError(f"--{option} must be one of {names}; got {shorten(value)}")
        if self.score is not None and self.labelled:
            raise ValueError(
                f"--score {self.score} must be without labels, which make another score: leave it "
                "out, or --labels-from, or ask for --labels 0"
            )
        if not self.estimated and (self.optimism or self.estimate_recipe != RECIPES[0]):
            option = "optimism" if self.optimism else "estimate-recipe"
            other = "labels" if self.labelled else f"--score {self.score}"
            raise ValueError(
                f"--{option} must be without {other}: it is of the estimate, which is then not "
                "the score; leave one out"
            )
        object.__setattr__(self, "relax", tuple(sorted(set(self.relax))))

    @property
    def labelled(self) -> bool:
        """Whether labels make the score: read from a file, or trained, more than none."""
        labels = self.labels
        return labels.labels_from is not None or (labels.data is not None and labels.labels != 0)

    @property
    def folder(self) -> Path:
        """`out`, or the default folder."""
        if self.out is not None:
            return self.out
        target = re.sub(r"[^\w.-]+", "_", Path(self.target).stem)[:LONGEST_NAME]
        words = [target, *self.budgets, *(f"relax-{name}" for name in self.relax)]
        if self.input is not None:
            words.append(self.input)
        words += [f"{n}{v}" for n in SHAPE_RANGES if (v := getattr(self, n)) is not None]
        if self.guidelines is not None:
            words.append(self.guidelines.stem)
        if self.seed:
            words.append(f"seed{self.seed}")
        if self.sampler != "prescreened":
            words.append(self.sampler)
        words += self._score_names()
        if self.labels.data is not None:
            words.append("trained")
        if self.labels.labels_from is not None:
            words.append(f"labels-{Path(self.labels.labels_from).stem}")
        return Path("out") / "-".join(words)

    @property
    def estimated(self) -> bool:
        """Whether the estimate is to be the score; networks without one have the closed form."""
        return self.score == ESTIMATE or (self.score is None and not self.labelled)

    def _score_names(self) -> list[str]:
        """In the name of a folder: what differs from the default estimate."""
        if not self.estimated:
            return []
        names = []
        if self.estimate_recipe != RECIPES[0]:
            names.append(self.estimate_recipe)
        if self.optimism:
            names.append(f"optimism{self.optimism:.12g}")
        return names

    @property
    def command(self) -> str:
        """The command that gives the same result, for a record."""
        words = ["python", "-m", "search.run", "--target", self.target]
        words += [word for budget in self.budgets for word in ("--budget", budget.strip())]
        words += [word for name in self.relax for word in ("--relax", name)]
        if self.guidelines is not None:
            words += ["--guidelines", str(self.guidelines)]
        if self.input is not None:
            words += ["--input", self.input]
        for name in SHAPE_RANGES:
            if (value := getattr(self, name)) is not None:
                words += [f"--{name}", str(value)]
        words += ["--trials", str(self.trials), "--seed", str(self.seed)]
        words += ["--no-shelf"] * (not self.shelf)
        if self.estimated:
            words += ["--score", ESTIMATE, "--estimate-recipe", self.estimate_recipe]
            words += ["--optimism", f"{self.optimism:.12g}"]
        elif self.score is not None:
            words += ["--score", self.score]
        return shlex.join([*words, "--sampler", self.sampler, *self.labels.words()])


def split_inputs(words: Sequence[str], *, trained: bool) -> tuple[str | None, int | None]:
    """The values of --input: HEIGHTxWIDTH of the networks on the target, and N, the side of the
    images that labels and winners are trained on.

    Args:
        trained: whether something is trained.

    Raises:
        ValueError: a value is of neither form, or one of them comes twice.
    """
    sides = [word for word in words if re.fullmatch(r"[0-9]+", word)]
    sizes = [word for word in words if word not in sides]
    for word in sizes:
        parse_size(word)
    if sides and not trained:
        raise ValueError(
            f"--input must be HEIGHTxWIDTH such as 160x160; got {shorten(sides[0])}, a side of "
            "training images, which needs --data"
        )
    if len(sizes) > 1 or len(sides) > 1:
        raise ValueError(
            "--input must come once as HEIGHTxWIDTH of the networks on the target, and once as "
            f"the side of training images, at most; got {shorten(' '.join(words))}"
        )
    side = int(sides[0][:9]) if sides else None
    return sizes[0] if sizes else None, side
