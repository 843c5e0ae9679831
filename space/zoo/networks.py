"""Networks for comparison with ShuffleNet v2, beside those of `space.zoo.families`.

Each takes the height and width of the input. Where a paper leaves something open, the note in
`space.zoo.catalog` has what was chosen.
"""

from __future__ import annotations

from space.network.network import Network, NetworkBuilder
from space.zoo.families import STAGE_DEPTHS, shufflenet_v2_like, stages

RESNET_DEPTHS = (3, 4, 6, 3)


def shufflenet_v2_star(size: str, height: int = 224, width: int = 224) -> Network:
    """ShuffleNet v2* (paper, section 4.2): one more 3x3 depthwise convolution in each unit."""
    name = "ShuffleNet v2* {}x"
    return shufflenet_v2_like("shufflenet_v2_variant", name, size, height, width, receptive=1)


def shufflenet_v2_se(size: str = "2.0", height: int = 224, width: int = 224) -> Network:
    """ShuffleNet v2 with a squeeze-and-excitation at the end of each unit (paper, Table 8)."""
    name = "ShuffleNet v2 {}x with SE"
    return shufflenet_v2_like("shufflenet_v2_variant", name, size, height, width, se=True)


def shufflenet_v2_50(height: int = 224, width: int = 224) -> Network:
    """ShuffleNet v2-50 (paper, appendix, Table 2)."""
    builder = NetworkBuilder("ShuffleNet v2-50", height, width)
    builder.add("stem", c_out=64)
    for stage, stride in stages(RESNET_DEPTHS, 1):
        c_out = 244 << stage
        project = int(builder.shape[0] != c_out)
        fields = {"c_out": c_out, "branch": c_out // 2, "stride": stride}
        builder.add("shufflenet_v2_variant", **fields, project=project)
    builder.add("head", c_out=2048)
    return builder.network()


def se_shufflenet_v2_164(height: int = 224, width: int = 224) -> Network:
    """SE-ShuffleNet v2-164 with residual (paper, appendix, Table 2)."""
    builder = NetworkBuilder("SE-ShuffleNet v2-164", height, width)
    builder.add("deep_stem", mid=64, c_out=128)
    for stage, stride in stages((10, 10, 23, 10), 1):
        c_out = 340 << stage
        project = int(builder.shape[0] != c_out)
        fields = {"c_out": c_out, "branch": c_out // 2, "stride": stride, "project": project}
        builder.add("shufflenet_v2_variant", **fields, residual=1, se_branch=c_out // 4)
    builder.add("head", c_out=2048)
    return builder.network()


def shufflenet_v1_50(height: int = 224, width: int = 224) -> Network:
    """ShuffleNet v1-50 with 3 groups (paper, appendix, Table 2)."""
    builder = NetworkBuilder("ShuffleNet v1-50 g=3", height, width)
    builder.add("stem", c_out=64)
    for stage, stride in stages(RESNET_DEPTHS, 1):
        c_out = 360 << stage
        builder.add("shufflenet_v1_wide", c_out=c_out, mid=c_out // 2, stride=stride)
    builder.add("classifier")
    return builder.network()


# Width of stage 2; it doubles twice. 1x: ShuffleNet v1 paper, Table 1, one group.
XCEPTION = {"0.5": 68, "1.0": 144, "1.5": 216, "2.0": 284}


def xception(size: str = "1.0", height: int = 224, width: int = 224) -> Network:
    """The small Xception: ShuffleNet v1's unit with one group ("Xception-like", v1 paper, 4.1)."""
    builder = NetworkBuilder(f"Xception {size}x", height, width)
    builder.add("stem", c_out=24)
    for stage, stride in stages(STAGE_DEPTHS):
        fields = {"c_out": XCEPTION[size] << stage, "stride": stride}
        builder.add("shufflenet_v1", **fields, groups=1)
    builder.add("classifier")
    return builder.network()


# Growth of the three dense blocks and width of the head.
DENSENET = {
    "0.5": ((5, 11, 24), 1024),
    "1.0": ((13, 25, 51), 1024),
    "1.5": ((19, 39, 76), 1024),
    "2.0": ((25, 51, 100), 2048),
}


def densenet(size: str = "1.0", height: int = 224, width: int = 224) -> Network:
    """A small DenseNet-BC in the frame of the ShuffleNet v2 paper's Table 5."""
    growths, last = DENSENET[size]
    builder = NetworkBuilder(f"DenseNet {size}x", height, width)
    builder.add("stem", c_out=24)
    for stage, (growth, depth) in enumerate(zip(growths, STAGE_DEPTHS, strict=True)):
        channels = builder.shape[0]
        builder.add("dense_transition", c_out=channels // 2 if stage else channels)
        for _ in range(depth):
            builder.add("dense_layer", growth=growth)
    builder.add("head", c_out=last)
    return builder.network()


def resnet_50(height: int = 224, width: int = 224, *, stride_first: int = 1) -> Network:
    """ResNet-50 (ResNet paper, Table 1). `stride_first`: stride in the first 1x1 of a stage, as
    in the paper; 0 puts it in the 3x3, as in torchvision ("v1.5")."""
    builder = NetworkBuilder("ResNet-50" if stride_first else "ResNet-50 v1.5", height, width)
    builder.add("resnet_stem", c_out=64)
    for stage, stride in stages(RESNET_DEPTHS, 1):
        fields = {"mid": 64 << stage, "c_out": 256 << stage, "stride": stride}
        builder.add("bottleneck", **fields, stride_first=stride_first if stride > 1 else 0)
    builder.add("classifier")
    return builder.network()


def senet_154(height: int = 224, width: int = 224) -> Network:
    """SENet-154 (SENet paper, appendix "Details of SENet-154")."""
    builder = NetworkBuilder("SENet-154", height, width)
    builder.add("deep_stem", mid=64, c_out=128)
    for stage, stride in stages((3, 8, 36, 3), 1):
        widths = {"mid": 128 << stage, "inner": 256 << stage, "c_out": 256 << stage}
        fields = {"groups": 64, "shortcut_kernel": 3 if stride > 1 else 1, "se": 16 << stage}
        builder.add("bottleneck", **widths, **fields, stride=stride)
    builder.add("classifier")
    return builder.network()


def inception_3a(height: int = 28, width: int = 28, *, kernel5: int = 5) -> Network:
    """GoogLeNet's first module, inception (3a) (GoogLeNet paper, Table 1)."""
    name = "GoogLeNet inception 3a" + ("" if kernel5 == 5 else " (torchvision)")
    builder = NetworkBuilder(name, height, width, channels=192)
    fields = {"c1": 64, "reduce3": 96, "c3": 128, "reduce5": 16, "c5": 32, "pool": 32}
    builder.add("inception", **fields, kernel5=kernel5)
    return builder.network()


def repvgg_a0(height: int = 224, width: int = 224, *, deployed: int = 0) -> Network:
    """RepVGG-A0 (RepVGG paper, Tables 2 and 3: a = 0.75, b = 2.5), in training or `deployed`."""
    builder = NetworkBuilder("RepVGG-A0 deployed" if deployed else "RepVGG-A0", height, width)
    for c_out, depth in ((48, 1), (48, 2), (96, 4), (192, 14), (1280, 1)):
        for index in range(depth):
            kind = "repvgg_deployed" if deployed else "repvgg"
            builder.add(kind, c_out=c_out, stride=1 if index else 2)
    builder.add("classifier")
    return builder.network()
