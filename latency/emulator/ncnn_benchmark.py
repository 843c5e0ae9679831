"""The networks of ncnn's published benchmark, built after their papers.

Names, input sizes and fused layers are those of ncnn's benchmark programs
(github.com/Tencent/ncnn, benchmark/README.md): batch norms are folded into convolutions, SE layers
are inner products, activations that ncnn does not fuse are layers. Widths are from the papers'
architecture tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from latency.emulator.ncnn_text import NetworkText, Value

Builder = Callable[[NetworkText], Value]
# of (network, input, width of the expansion or 0, output channels, kernel, stride)
Unit = Callable[[NetworkText, Value, int, int, int, int], Value]
# kernel, expansion, output channels, units, stride of the first unit
Stage = tuple[int, float, int, int, int]
NETWORKS: dict[str, Builder] = {}


def _network(build: Builder) -> Builder:
    """Register a network under its function's name, without the underscore."""
    NETWORKS[build.__name__[1:]] = build
    return build


def benchmark_network(name: str) -> NetworkText:
    """A network of `NETWORKS`."""
    net = NetworkText()
    out = NETWORKS[name](net)
    if name != "blazeface":
        net.one("Softmax", out)
    return net


@_network
def _squeezenet(n: NetworkText) -> Value:  # SqueezeNet 1.1
    x = n.pool(n.conv(n.input(3, 227), 64, 3, 2, pad=0), "max", 3, 2)
    for i, (squeeze, expand) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        if i in (2, 4):
            x = n.pool(x, "max", 3, 2)
        x = n.conv(x, squeeze)
        x = n.concat(n.conv(x, expand), n.conv(x, expand, 3))
    return n.global_pool(n.conv(x, 1000, pad=1))


@_network
def _mobilenet(n: NetworkText) -> Value:  # MobileNet v1
    x = n.conv(n.input(3, 224), 32, 3, 2)
    for channels, stride in (
        (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2),
        (1024, 1),
    ):  # fmt: skip
        x = n.conv(n.depthwise(x, 3, stride), channels)
    return n.linear(n.global_pool(x), 1000)


def _stages(n: NetworkText, x: Value, unit: Unit, rows: Iterable[Stage]) -> Value:
    for kernel, expand, out, count, stride in rows:
        for i in range(count):
            x = unit(n, x, round(expand * x.channels), out, kernel, stride if i == 0 else 1)
    return x


def _staged(n: NetworkText, unit: Unit, rows: Iterable[Stage], act: str = "relu") -> Value:
    """A 3x3 stem, stages, a 1x1 convolution to 1280 channels, and the classifier."""
    x = _stages(n, n.conv(n.input(3, 224), 32, 3, 2, act=act), unit, rows)
    return n.linear(n.global_pool(n.conv(x, 1280, act=act)), 1000)


def _inverted(n: NetworkText, x: Value, width: int, out: int, kernel: int, stride: int) -> Value:
    y = n.conv(x, width) if width else x
    y = n.conv(n.depthwise(y, kernel, stride), out, act="")
    return n.add(x, y) if stride == 1 and x.channels == out and width else y


@_network
def _mobilenet_v2(n: NetworkText) -> Value:  # as its Caffe version: a first expansion of 1
    return _staged(n, _inverted, (
        (3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (3, 6, 32, 3, 2), (3, 6, 64, 4, 2), (3, 6, 96, 3, 1),
        (3, 6, 160, 3, 2), (3, 6, 320, 1, 1),
    ))  # fmt: skip


@_network
def _mobilenet_v3(n: NetworkText) -> Value:  # Large; stride 2 in the second 160-channel unit
    x = n.conv(n.input(3, 224), 16, 3, 2, act="HardSwish")
    for kernel, width, out, squeeze, swish, stride in (
        (3, 0, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2),
        (5, 120, 40, 1, 0, 1), (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1),
        (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 480, 112, 1, 1, 1),
        (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 1), (5, 672, 160, 1, 1, 2),
        (5, 960, 160, 1, 1, 1),
    ):  # fmt: skip
        act = "HardSwish" if swish else "relu"
        y = n.conv(x, width, act=act) if width else x
        y = n.depthwise(y, kernel, stride, act="" if squeeze else act)
        if squeeze:
            y = n.squeeze_excite(y, y.channels // 4, "relu", "HardSigmoid")
            y = n.one("HardSwish" if swish else "ReLU", y)
        y = n.conv(y, out, act="")
        x = n.add(x, y) if stride == 1 and x.channels == out else y
    x = n.global_pool(n.conv(x, 960, act="HardSwish"))
    return n.linear(n.linear(x, 1280, act="HardSwish"), 1000)


@_network
def _shufflenet(n: NetworkText) -> Value:  # ShuffleNet v1, g = 3
    x = n.pool(n.conv(n.input(3, 224), 24, 3, 2), "max", 3, 2)
    for stage, (out, count) in enumerate(((240, 4), (480, 8), (960, 4))):
        for i in range(count):
            first = stage == 0 and i == 0
            made = out - x.channels if i == 0 else out
            width = 54 if first else x.channels // 4
            y = n.conv(x, width, groups=1 if first else 3)
            if not first:
                y = n.one("ShuffleChannel", y, "0=3")
            y = n.conv(n.depthwise(y, 3, 1 + (i == 0), act=""), made, groups=3, act="")
            joined = n.concat(n.pool(x, "avg", 3, 2), y) if i == 0 else n.add(x, y)
            x = n.one("ReLU", joined)
    return n.linear(n.global_pool(x), 1000)


@_network
def _mnasnet(n: NetworkText) -> Value:  # MnasNet-B1
    return _staged(n, _inverted, (
        (3, 0, 16, 1, 1), (3, 3, 24, 3, 2), (5, 3, 40, 3, 2), (5, 6, 80, 3, 2), (3, 6, 96, 2, 1),
        (5, 6, 192, 4, 2), (3, 6, 320, 1, 1),
    ))  # fmt: skip


@_network
def _proxylessnasnet(n: NetworkText) -> Value:  # ProxylessNAS, mobile
    return _staged(n, _inverted, (
        (3, 0, 32, 1, 1), (5, 1.5, 32, 1, 2), (3, 3, 32, 1, 1), (7, 3, 40, 1, 2),
        (3, 3, 40, 1, 1), (5, 3, 40, 2, 1), (7, 6, 80, 1, 2), (5, 3, 80, 3, 1), (5, 6, 96, 1, 1),
        (5, 3, 96, 3, 1), (7, 6, 192, 1, 2), (7, 6, 192, 1, 1), (7, 3, 192, 2, 1),
        (7, 6, 320, 1, 1),
    ))  # fmt: skip


def _mbconv(n: NetworkText, x: Value, width: int, out: int, kernel: int, stride: int) -> Value:
    y = n.conv(x, width, act="Swish") if width else x
    y = n.depthwise(y, kernel, stride, act="Swish")
    y = n.squeeze_excite(y, x.channels // 4, "Swish", "sigmoid")
    y = n.conv(y, out, act="")
    return n.add(x, y) if stride == 1 and x.channels == out else y


@_network
def _efficientnet_b0(n: NetworkText) -> Value:
    rows = (
        (3, 0, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2), (5, 6, 112, 3, 1),
        (5, 6, 192, 4, 2), (3, 6, 320, 1, 1),
    )  # fmt: skip
    return _staged(n, _mbconv, rows, act="Swish")


@_network
def _efficientnetv2_b0(n: NetworkText) -> Value:
    x = n.conv(n.input(3, 224), 32, 3, 2, act="Swish")
    x = n.conv(x, 16, 3, act="Swish")
    for out, count in ((32, 2), (48, 2)):  # Fused-MBConv4
        for i in range(count):
            y = n.conv(x, 4 * x.channels, 3, 2 if i == 0 else 1, act="Swish")
            y = n.conv(y, out, act="")
            x = y if i == 0 else n.add(x, y)
    x = _stages(n, x, _mbconv, ((3, 4, 96, 3, 2), (3, 6, 112, 5, 1), (3, 6, 192, 8, 2)))
    return n.linear(n.global_pool(n.conv(x, 1280, act="Swish")), 1000)


@_network
def _regnety_400m(n: NetworkText) -> Value:  # RegNetY-400MF, groups of 8 channels
    x = n.conv(n.input(3, 224), 32, 3, 2)
    for out, count in ((48, 1), (104, 3), (208, 6), (440, 6)):
        for i in range(count):
            squeeze = x.channels // 4
            y = n.conv(n.conv(x, out), out, 3, 2 if i == 0 else 1, groups=out // 8)
            y = n.squeeze_excite(y, squeeze, "relu", "sigmoid")
            y = n.conv(y, out, act="")
            short = n.conv(x, out, 1, 2, act="") if i == 0 else x
            x = n.one("ReLU", n.add(short, y))
    return n.linear(n.global_pool(x), 1000)


@_network
def _blazeface(n: NetworkText) -> Value:  # BlazeFace's trunk
    x = n.conv(n.pad(n.input(3, 128), pixels=3), 24, 5, 2, act="ReLU", pad=0)
    for out, stride in (
        (24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1),
        (88, 1), (96, 2), *[(96, 1)] * 4,
    ):  # fmt: skip
        if stride == 2:
            y = n.pad(x, pixels=2)
            y = n.conv(y, x.channels, 3, 2, act="", groups=x.channels, pad=0)
            short = n.pool(x, "max", 2, 2, full=False)
        else:
            y, short = n.depthwise(x, 3, act=""), x
        y = n.conv(y, out, act="")
        if out > x.channels:
            short = n.pad(short, channels=out - x.channels)
        x = n.one("ReLU", n.add(y, short))
    return x


def _lrn(n: NetworkText, x: Value) -> Value:
    return n.one("LRN", x, "0=0 1=5 2=0.0001 3=0.75")


@_network
def _googlenet(n: NetworkText) -> Value:
    x = n.pool(n.conv(n.input(3, 224), 64, 7, 2), "max", 3, 2)
    x = n.conv(n.conv(_lrn(n, x), 64), 192, 3)
    x = n.pool(_lrn(n, x), "max", 3, 2)
    for i, (one, three_in, three, five_in, five, pool) in enumerate((
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128), (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    )):  # fmt: skip
        if i in (2, 7):
            x = n.pool(x, "max", 3, 2)
        x = n.concat(
            n.conv(x, one),
            n.conv(n.conv(x, three_in), three, 3),
            n.conv(n.conv(x, five_in), five, 5),
            n.conv(n.pool(x, "max", 3, 1, pad=1), pool),
        )
    return n.linear(n.global_pool(x), 1000)


def _resnet(n: NetworkText, counts: Sequence[int], bottleneck: bool) -> Value:
    x = n.pool(n.conv(n.input(3, 224), 64, 7, 2), "max", 3, 2)
    for width, count in zip((64, 128, 256, 512), counts, strict=True):
        out = 4 * width if bottleneck else width
        for i in range(count):
            stride = 2 if width > 64 and i == 0 else 1
            if bottleneck:
                y = n.conv(n.conv(n.conv(x, width, 1, stride), width, 3), out, act="")
            else:
                y = n.conv(n.conv(x, width, 3, stride), out, 3, act="")
            short = n.conv(x, out, 1, stride, act="") if i == 0 else x
            x = n.one("ReLU", n.add(short, y))
    return n.linear(n.global_pool(x), 1000)


@_network
def _resnet18(n: NetworkText) -> Value:
    return _resnet(n, (2, 2, 2, 2), bottleneck=False)


@_network
def _resnet50(n: NetworkText) -> Value:
    return _resnet(n, (3, 4, 6, 3), bottleneck=True)


@_network
def _alexnet(n: NetworkText) -> Value:  # Caffe's, with two groups
    x = _lrn(n, n.conv(n.input(3, 227), 96, 11, 4, pad=0))
    x = n.conv(n.pool(x, "max", 3, 2), 256, 5, groups=2)
    x = n.pool(_lrn(n, x), "max", 3, 2)
    x = n.conv(n.conv(n.conv(x, 384, 3), 384, 3, groups=2), 256, 3, groups=2)
    x = n.pool(x, "max", 3, 2)
    return n.linear(n.linear(n.linear(x, 4096, act="relu"), 4096, act="relu"), 1000)


@_network
def _vgg16(n: NetworkText) -> Value:
    x = n.input(3, 224)
    for out, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x = n.conv(x, out, 3)
        x = n.pool(x, "max", 2, 2)
    return n.linear(n.linear(n.linear(x, 4096, act="relu"), 4096, act="relu"), 1000)
