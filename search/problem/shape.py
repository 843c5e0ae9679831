"""The images that the networks of a search take, and how many classes they tell apart."""

from __future__ import annotations

from dataclasses import dataclass, fields

from latency.table.header import TableHeader, latency_line
from search.problem.size import SHAPE_RANGES
from space.architectures.shufflenet_v2 import ShuffleNetV2Space
from space.common.cli import check_range
from space.common.text import shorten
from space.network.network import Network
from space.network.resize import on_input

SMALLEST, LARGEST = 32, 4096  # sides in pixels; the space divides them by 32


@dataclass(frozen=True, slots=True)
class NetworkShape:
    """Height and width of the images in pixels, their channels, and the classes.

    Example:
        >>> print(NetworkShape(160, 128, channels=1))
        160x128, 1 channel, 1000 classes
    """

    height: int = 224
    width: int = 224
    channels: int = 3
    classes: int = 1000

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        sides = (SMALLEST, LARGEST)
        if not all(sides[0] <= side <= sides[1] for side in (self.height, self.width)):
            raise ValueError(
                f"the sides of --input must be from {SMALLEST} to {LARGEST} pixels; "
                f"got {self.size}"
            )
        check_range(values, **SHAPE_RANGES)

    @property
    def size(self) -> str:
        """HEIGHTxWIDTH."""
        return f"{self.height}x{self.width}"

    def __str__(self) -> str:
        channels = "1 channel" if self.channels == 1 else f"{self.channels} channels"
        classes = "1 class" if self.classes == 1 else f"{self.classes} classes"
        return f"{self.size}, {channels}, {classes}"

    @property
    def space(self) -> ShuffleNetV2Space:
        """The search space of such networks."""
        return ShuffleNetV2Space(
            height=self.height, width=self.width, channels=self.channels, classes=self.classes
        )

    def adapted(self, network: Network) -> Network:
        """Another network on such images, for as many classes; no halving is left out.

        Raises:
            ValueError: its input is smaller than the network's stride.
        """
        return on_input(
            network,
            self.height,
            self.width,
            classes=self.classes,
            channels=self.channels,
            drop=0,
        )


IMAGENET = NetworkShape()


def shape_of(space: ShuffleNetV2Space) -> NetworkShape:
    """The images and classes of a space."""
    return NetworkShape(space.height, space.width, space.channels, space.classes)


def table_shape(
    header: TableHeader,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
    classes: int | None = None,
) -> NetworkShape:
    """What the networks on a table take. A cost model prices any; the blocks of a measured table
    are of networks on one input, with one number of channels and classes.

    Args:
        size: height and width, `channels` and `classes`: what the user asks for; None: the
            table's.

    Raises:
        ValueError: the table is of other networks, or a value is out of its range; the message
            says how to build a table of such networks.
    """
    own = NetworkShape(*header.input_size, channels=header.channels, classes=header.classes)
    height, width = size or header.input_size
    asked = NetworkShape(
        height,
        width,
        own.channels if channels is None else channels,
        own.classes if classes is None else classes,
    )
    if header.layout == "ops":
        return asked
    options: list[tuple[str, object, object]] = [
        ("channels", own.channels, asked.channels),
        ("classes", own.classes, asked.classes),
    ]
    if header.input:  # else it has blocks of several inputs
        options.insert(0, ("input", own.size, asked.size))
    for name, has, got in options:
        if has != got:
            raise ValueError(
                f"--{name} must be {has}, that of the table {shorten(header.target)}; got {got}. "
                f"Another table: {build_command(asked)}"
            )
    return asked


def shape_lines(header: TableHeader, shape: NetworkShape) -> tuple[str, ...]:
    """The line about printed latencies, and what must be known where the networks are no longer
    those of ImageNet: what they are, and of which networks the error is."""
    line = latency_line(header)
    if shape == IMAGENET:
        return (line,)
    lines = [line, f"networks: {shape}"]
    if not error_applies(header, shape):
        lines[0] += f"; that error is of networks of {IMAGENET}"
    return tuple(lines)


def error_applies(header: TableHeader, shape: NetworkShape) -> bool:
    """Whether the table's error is of such networks: that of a cost model, which prices any, is of
    ImageNet's."""
    own = NetworkShape(*header.input_size, channels=header.channels, classes=header.classes)
    return shape == own


def build_command(shape: NetworkShape) -> str:
    """The command that measures a table of such networks."""
    words = ["python -m latency.build --input", shape.size]
    for name in ("channels", "classes"):
        if (value := getattr(shape, name)) != getattr(IMAGENET, name):
            words += [f"--{name}", str(value)]
    return " ".join([*words, "--out PATH"])
