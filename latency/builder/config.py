"""What a build measures, and where its table goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from latency.devices.session import Session
from latency.table.header import CHANNELS, CLASSES
from latency.table.load import host_table_path
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.cli import check_range
from space.common.files import cache_dir

LEAST_PIXELS, MOST_PIXELS = 32, 4096  # the networks halve an input five times
MOST_NETWORKS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildConfig:
    """What `build_table` measures, on which device, and where the table goes.

    Args:
        device: as `latency.devices.open.open_session` takes it.
        engine: by default onnxruntime, on a GPU torch-cuda; with its `threads` and `dtype`.
        batch: images of a run.
        input: HEIGHTxWIDTH of the networks' images, in pixels.
        channels: of the images; `classes`: of the classifier.
        relax: guidelines; units that break them are measured too.
        coarse: measure fewer blocks.
        out: the table's path, or a folder (one that exists, or ends with a slash); by default the
            host's own table, or a file in the cache folder for another device or other networks.
        seed: of the random networks and orders.
        networks: random networks for the error; as many more determine the scale.
        fresh: discard what an unfinished build measured.
        command: the command line, for the table's header.

    Raises:
        ValueError: a number that is out of its range, which the message has.

    Example:
        >>> BuildConfig(device="gpu", input="160x160").space.height
        160
    """

    device: str = "cpu"
    engine: str | None = None
    threads: int = 1
    batch: int = 1
    dtype: str = "float32"
    input: str = "224x224"
    channels: int = CHANNELS
    classes: int = CLASSES
    relax: tuple[str, ...] = ()
    coarse: bool = False
    out: Path | str | None = None
    seed: int = 0
    networks: int = 20
    fresh: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        values = {
            "threads": self.threads, "batch": self.batch, "seed": self.seed,
            "networks": self.networks, "channels": self.channels, "classes": self.classes,
        }  # fmt: skip
        ranges = {"networks": (2, MOST_NETWORKS), "channels": (1, 1024), "classes": (1, 1_000_000)}
        check_range(values, "threads", "batch", "seed", **ranges)
        found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", self.input, re.ASCII)
        if not found or not all(LEAST_PIXELS <= int(n) <= MOST_PIXELS for n in found.groups()):
            raise ValueError(
                f"--input must be HEIGHTxWIDTH, each from {LEAST_PIXELS} to {MOST_PIXELS} pixels; "
                f"got {self.input!r}"
            )

    @property
    def space(self) -> ShuffleNetV2Space:
        """The search space on such images."""
        height, width = map(int, self.input.split("x"))
        return ShuffleNetV2Space(
            height=height, width=width, channels=self.channels, classes=self.classes
        )

    @property
    def usual(self) -> bool:
        """Whether the networks are those of ImageNet."""
        return (self.input, self.channels, self.classes) == ("224x224", CHANNELS, CLASSES)


def table_path(config: BuildConfig, session: Session) -> Path:
    """The path of a table's header: `config.out`, or a file named after the device."""
    words = [session.chip.partition(" (")[0], session.engine]
    words += [f"{session.threads}-threads"] * (session.threads > 1)
    words += [f"batch-{config.batch}"] * (config.batch > 1)
    words += [session.dtype] * (session.dtype != "float32")
    words += [config.input] * (config.input != "224x224")
    words += [f"{config.channels}-channels"] * (config.channels != CHANNELS)
    words += [f"{config.classes}-classes"] * (config.classes != CLASSES)
    name = "-".join(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in words)
    out = config.out
    if out is None:
        own = config.device == "cpu" and config.usual
        return host_table_path() if own else cache_dir() / f"{name}.json"
    if Path(out).is_dir() or str(out).endswith("/"):
        return Path(out) / f"{name}.json"
    return Path(out).with_suffix(".json")
