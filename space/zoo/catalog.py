"""Every known network by name: those of the ShuffleNet v2 paper that are public enough to build.

Printed numbers are FLOPs and parameters in millions, and the top-1 error in percent; they are of
the ShuffleNet v2 paper ("v2 paper") unless the source says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from space.common.text import shorten
from space.network.network import Network
from space.zoo import families as nets
from space.zoo import networks as more
from space.zoo.entry import REGISTERED, Printed, PublishedNetwork, register
from space.zoo.shelf import register_shelf

V2 = "v2 paper"
UNPRINTED: Printed = (None, None, None)
printed: Printed
PLAIN = (
    "The paper prints {over} more than a plain count of the multiply-adds of convolutions and "
    "linear layers; what else it counts is not stated."
)

# size -> printed numbers, what the print is above the count
for size, (printed, over) in {
    "0.5": ((41, 1.4, 39.7), "1.3 %"),
    "1.0": ((146, 2.3, 30.6), "0.8 % (146M for 144.9M)"),
    "1.5": ((299, 3.5, 27.4), "1.1 %"),
    "2.0": ((591, 7.4, 25.1), "1.3 %"),
}.items():
    name, note = f"ShuffleNet v2 {size}x", PLAIN.format(over=over)
    register(name, partial(nets.shufflenet_v2, size), printed, f"{V2}, Tables 5 and 8", note)

register(
    "ShuffleNet v2 2.0x with SE",
    partial(more.shufflenet_v2_se, "2.0"),
    (597, None, 24.6),
    f"{V2}, Table 8",
    "Under-specified: place and width of the SE are not stated. Chosen: on the whole output "
    "of each unit, hidden width half its channels, which adds the 1 % that the paper prints "
    "(591M to 597M); on the branch alone it would add 0.25 %. The rest of the difference is that "
    "of ShuffleNet v2 2.0x.",
)

for size in nets.SHUFFLENET_V2:
    register(
        f"ShuffleNet v2* {size}x",
        partial(more.shufflenet_v2_star, size),
        UNPRINTED,
        f"{V2}, section 4.2 and Table 7",
        "No count published: Table 7 has levels alone (40M, 140M, 300M, 500M), and the text "
        "says that FLOPs grow little. Under-specified: the place of the extra depthwise "
        "convolution in units of stride 2. Chosen: in the branch alone, at stride 1, before its "
        "first 1x1; the projection begins with a depthwise convolution already. Batch norm, no "
        "ReLU after it.",
    )

register(
    "ShuffleNet v2-50",
    more.shufflenet_v2_50,
    (2300, None, 22.8),
    f"{V2}, Table 6 and appendix Table 2",
    "Under-specified: the first unit of conv2 changes widths at stride 1. Chosen: the unit "
    "of stride 2 with stride 1.",
)
register(
    "SE-ShuffleNet v2-164",
    more.se_shufflenet_v2_164,
    (12700, None, 18.56),
    f"{V2}, Table 6 and appendix Table 2",
    "With residual; SE before the addition, hidden width half the channels of the branch it "
    "scales. Under-specified: the first unit of conv2, as in v2-50; units without a shortcut have "
    "SE and ReLU but no addition. The paper prints 1 % more than the count, as for ShuffleNet v2. "
    "What the authors released with these FLOPs and this error (ShuffleNetV2.Large) is another "
    "network: widths 256-2048, 3x3 in 8 groups, SE of full width.",
)

STEM = "Under-specified: the stem is not stated. Chosen: {}, which counts {}M."
# size -> printed numbers, why the count differs
for size, (printed, note) in {
    "0.5": ((38, None, 43.2), "Within the rounding of the print (37.6M)."),
    "1.0": (
        (140, None, 32.6),
        "The v1 paper's own count is 137M, as is ours; the v2 paper prints 140M.",
    ),
    "1.5": ((292, None, 28.5), STEM.format(24, 292)),
    "2.0": ((524, None, 26.3), STEM.format(48, 524)),
}.items():
    name, source = f"ShuffleNet v1 {size}x g=3", f"{V2}, Table 8; v1 paper, Tables 1 and 2"
    register(name, partial(nets.shufflenet_v1, size), printed, source, note)

register(
    "ShuffleNet v1-50 g=3",
    more.shufflenet_v1_50,
    (2300, None, 25.2),
    f"{V2}, Table 6 and appendix Table 2",
    "Under-specified: the width inside the units, and the first unit of conv2, which widens "
    "at stride 1. Chosen: half the channels inside (the v1 paper's quarter counts 1.2G, not "
    "2.3G); what goes in is joined to 296 new channels, made in 4 groups as 3 do not divide 296. "
    "Within the rounding of the print.",
)

for multiplier, printed in {
    "0.25": (41, 0.5, 49.4),
    "0.5": (149, 1.3, 36.3),
    "0.75": (325, 2.6, 31.6),
    "1.0": (569, 4.2, 29.4),
}.items():
    make, source = partial(nets.mobilenet_v1, float(multiplier)), "MobileNet paper, Tables 1 and 6"
    register(f"MobileNet v1 {multiplier}", make, printed, f"{V2}, Table 8; {source}")

ROUNDING = (
    "Under-specified: how the v2 paper's own implementation rounds widths. Chosen: the rounding "
    "of the MobileNet v2 authors (multiples of 8); no usual rule gives all counts of Table 8."
)
MOBILENET_14 = (
    "The MobileNet v2 paper prints 585M and 6.9M parameters; with its authors' rounding it is "
    "582M and 6.1M, as in torchvision."
)
# name -> multiplier, side of the input, printed numbers, note
for name, (times, side, printed, note) in {
    "0.4 160x160": (0.4, 160, (43, None, 43.4), ROUNDING),
    "0.15": (0.15, 224, (39, None, 55.1), ROUNDING),
    "0.75 192x192": (0.75, 192, (145, None, 32.1), ROUNDING),
    "0.6": (0.6, 224, (141, None, 33.3), ROUNDING),
    "1.0": (1.0, 224, (301, 3.4, 28.3), "Parameters as torchvision's: 3.50M; the paper: 3.4M."),
    "1.4": (1.4, 224, (587, 6.9, 26.7), MOBILENET_14),
}.items():
    make, source = partial(nets.mobilenet_v2, times), "MobileNet v2 paper, Tables 2 and 4"
    source = f"{V2}, Table 8 (our impl.); {source}"
    register(f"MobileNet v2 {name}", make, printed, source, note, size=(side, side))

XCEPTION = (
    "Under-specified: the paper takes the small Xception of the Light-Head R-CNN paper, whose "
    "table gives stem 24 and widths 144, 288, 576 at 145M. That is ShuffleNet v1 with one group, "
    "which the v1 paper calls Xception-like and counts at 143M; as plain separable convolutions "
    "the same widths would count about 250M. Other sizes are not published. Chosen: stem 24 and "
    f"first width {', '.join(map(str, more.XCEPTION.values()))}, doubling twice."
)
for size, printed in {
    "0.5": (40, None, 44.9),
    "1.0": (145, None, 34.1),
    "1.5": (305, None, 29.4),
    "2.0": (525, None, 27.6),
}.items():
    make, source = partial(more.xception, size), f"{V2}, Table 8 (our impl.)"
    register(f"Xception {size}x", make, printed, source, XCEPTION)

GROWTHS = "; ".join(", ".join(map(str, growths)) for growths, _ in more.DENSENET.values())
DENSENET = (
    "Under-specified: the paper puts DenseNet's blocks into stages 2-4 of its Table 5 and fits "
    "their channels to the complexity; it states no widths. Chosen: Table 5's stem, depths 4, 8, "
    "4 and last convolution, DenseNet-BC layers (bottleneck 4, transitions that halve) whose "
    f"growth about doubles from stage to stage, fitted to the printed counts: {GROWTHS}."
)
for size, printed in {
    "0.5": (42, None, 58.6),
    "1.0": (142, None, 45.2),
    "1.5": (295, None, 39.9),
    "2.0": (519, None, 34.6),
}.items():
    make, source = partial(more.densenet, size), f"{V2}, Table 8 (our impl.)"
    register(f"DenseNet {size}x", make, printed, source, DENSENET)

register(
    "ResNet-50",
    more.resnet_50,
    (3800, None, 24.0),
    f"{V2}, Table 6; ResNet paper, Table 1",
    "The published network: stride in the first 1x1 of a stage. It counts 3.86G, printed as "
    "3.8G: cut off, not rounded.",
)
register(
    "ResNet-50 v1.5",
    partial(more.resnet_50, stride_first=0),
    (4089, 25.557032, 23.87),
    "torchvision, ResNet50_Weights.IMAGENET1K_V1",
    "Stride in the 3x3, as torchvision and most others build it today.",
)
register(
    "SENet-154",
    more.senet_154,
    (20700, None, 18.68),
    f"{V2}, Table 6; SENet paper, appendix",
    "Table 6 says SENet. SENet-154 is the one with the quoted error (224x224 crop) and, "
    "counted, 20.7G: SE-ResNeXt-152 64x4d with three 3x3 in the stem, the first 1x1 of each "
    "bottleneck halved, 3x3 shortcuts of stride 2, SE of a sixteenth.",
)
register(
    "GoogLeNet inception 3a",
    more.inception_3a,
    (128, 0.159, None),
    "GoogLeNet paper, Table 1",
    "One module, for G3. The paper counts weights in units of 1024 (159K for 163,328) and "
    "has no batch norm, whose 736 parameters are counted here.",
    size=(28, 28),
    stride=1,
)
register(
    "GoogLeNet inception 3a (torchvision)",
    partial(more.inception_3a, kernel5=3),
    UNPRINTED,
    "torchvision, googlenet.inception3a",
    "3x3 in place of 5x5, as torchvision keeps it to load TensorFlow's weights.",
    size=(28, 28),
    stride=1,
)
register(
    "RepVGG-A0",
    more.repvgg_a0,
    UNPRINTED,
    "RepVGG paper, Tables 2 and 3",
    "In training, three branches per unit. The paper counts the deployed form alone.",
)
register(
    "RepVGG-A0 deployed",
    partial(more.repvgg_a0, deployed=1),
    (1400, 8.30, 27.59),
    "RepVGG paper, Tables 2, 3 and 4",
    "Re-parameterised: 1.36G, printed as 1.4G.",
)

register_shelf()

PAPER_NETWORKS: dict[str, Callable[[], Network]] = {
    name: known.network
    for name, known in REGISTERED.items()
    if name.startswith(("ShuffleNet v1 ", "ShuffleNet v2 ", "MobileNet v"))
    and known.of_paper
    and "SE" not in name
}
"""The 18 networks of the paper's Table 8 in these four families: name of the row -> network."""


def published_networks() -> dict[str, PublishedNetwork]:
    """The networks of the ShuffleNet v2 paper by name, in the order of its tables, and those known
    for its guidelines.

    Example:
        >>> from space import published_networks
        >>> [name for name in published_networks() if name.startswith("MobileNet v1")]
        ['MobileNet v1 0.25', 'MobileNet v1 0.5', 'MobileNet v1 0.75', 'MobileNet v1 1.0']
    """
    return {name: known for name, known in REGISTERED.items() if known.of_paper}


def known_networks() -> dict[str, PublishedNetwork]:
    """Every known network by name: `published_networks`, then the others of `shelf_networks`."""
    return dict(REGISTERED)


def shelf_networks() -> dict[str, PublishedNetwork]:
    """Every network that can be had off the shelf: its weights are released, with their top-1 on
    ImageNet and how they were trained.

    Example:
        >>> from space import shelf_networks
        >>> known = shelf_networks()["MobileNetV4-Conv-S"]
        >>> known.network().flops, known.top1, known.weights[0].weights
        (186005568, 73.756, 'timm mobilenetv4_conv_small.e2400_r224_in1k')
    """
    return {name: known for name, known in REGISTERED.items() if known.weights}


def published_network(name: str) -> PublishedNetwork:
    """The known network with this name: how to build it, and what was published of it.

    Raises:
        ValueError: no network has this name; the message lists the known ones.

    Example:
        >>> from space import published_network
        >>> known = published_network("ShuffleNet v2 1.0x")
        >>> known.network().flops, known.published_flops, known.source
        (144907992, 146000000, 'v2 paper, Tables 5 and 8')
    """
    if name not in REGISTERED:
        raise ValueError(
            f"unknown network {shorten(name)}: known ones are {', '.join(REGISTERED)}"
        )
    return REGISTERED[name]
