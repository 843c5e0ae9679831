"""Which network a training learns from, as a user names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from space.common.cli import check_range

# Of the teacher's term in the loss, and of its logits: as Tian et al. (2020, "Contrastive
# Representation Distillation") compare distillation on small images.
SHARE, TEMPERATURE = 0.9, 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig:
    """Which network to learn from, and how.

    Raises:
        ValueError: a value is out of its range.

    Args:
        name: of torchvision or timm (also torchvision:NAME, timm:NAME), or the path of a
            .safetensors of `evaluator.train` or of an ONNX file.
        weights: a file with the weights of a named network; None: those that the library fetches.
        input: side of its input; None: as its weights were trained.
        share: of its term in the loss. `temperature`: of the logits in it.
    """

    name: str
    weights: Path | None = None
    input: int | None = None
    share: float = SHARE
    temperature: float = TEMPERATURE

    def __post_init__(self) -> None:
        ranges = {"teacher_share": (0, 1), "temperature": (0.01, 1000), "teacher_input": (8, 4096)}
        values = {"teacher_share": self.share, "temperature": self.temperature}
        check_range({**values, "teacher_input": self.input}, **ranges)
