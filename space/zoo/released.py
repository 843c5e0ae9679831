"""ImageNet top-1 of released weights, by network: what one gets without training.

Sources: the metadata of torchvision 0.29 (BSD-3); timm's results/results-imagenet.csv (Apache-2.0)
and model cards; PaddleClas, docs/en/models/Mobile_en.md (Apache-2.0); the tables of TensorFlow's
slim models (Apache-2.0) and of megvii-model/ShuffleNet-Series (MIT); the RepVGG paper. All are of
one crop at the network's input size, trained on ImageNet-1k alone. Tests compare them with these
tables.
"""

from __future__ import annotations

from dataclasses import dataclass

AUTHORS = "the authors' weights"
TV_SIMPLE = "torchvision, simple recipe"
TV_PAPER = "torchvision, to reproduce the paper"
TV_NEW = "torchvision, new recipe (600 epochs, cutmix, mixup, EMA)"
TF = "TensorFlow weights, ported"
SLIM = "TensorFlow slim"
RA = "timm RA: RandAugment, RMSProp, EMA"
RMSP = "timm RMSProp: random erasing, mixup, EMA"
LAMB = "timm LAMB, after ResNet Strikes Back"
RA4 = "timm RA4, 3600 epochs, after the MobileNetV4 paper"
PADDLE = "PaddleClas, 240-360 epochs, SGD, label smoothing"
MEGVII = "the ShuffleNet authors': SGD, batch 1024, 300k iterations"


@dataclass(frozen=True, slots=True)
class ReleasedWeights:
    """Weights that anyone can load: `top1` on ImageNet in percent, their name, how they were
    trained."""

    top1: float
    weights: str
    recipe: str


# (network, top-1, weights, recipe). The first of a network stands for it: the authors' or the
# plainest recipe at its own input size; the others show what a recipe is worth.
_ROWS = (
    ("ShuffleNet v2 0.5x", 61.1, "megvii ShuffleNetV2 0.5x", MEGVII),
    ("ShuffleNet v2 0.5x", 60.552, "torchvision shufflenet_v2_x0_5.IMAGENET1K_V1", TV_PAPER),
    ("ShuffleNet v2 1.0x", 69.362, "torchvision shufflenet_v2_x1_0.IMAGENET1K_V1", TV_PAPER),
    ("ShuffleNet v2 1.5x", 72.996, "torchvision shufflenet_v2_x1_5.IMAGENET1K_V1", TV_NEW),
    ("ShuffleNet v2 2.0x", 76.23, "torchvision shufflenet_v2_x2_0.IMAGENET1K_V1", TV_NEW),
    ("ShuffleNet v2 1.0x released", 69.4, "megvii ShuffleNetV2 1.0x", MEGVII),
    ("ShuffleNet v2 1.5x released", 72.6, "megvii ShuffleNetV2 1.5x", MEGVII),
    ("ShuffleNet v2 2.0x released", 75.0, "megvii ShuffleNetV2 2.0x", MEGVII),
    ("ShuffleNet v1 0.5x g=3", 57.3, "megvii ShuffleNetV1 0.5x g=3", MEGVII),
    ("ShuffleNet v1 1.0x g=3", 67.8, "megvii ShuffleNetV1 1.0x g=3", MEGVII),
    ("ShuffleNet v1 2.0x g=3", 74.1, "megvii ShuffleNetV1 2.0x g=3", MEGVII),
    ("MobileNet v1 0.25", 49.8, "tf-slim mobilenet_v1_0.25_224", SLIM),
    ("MobileNet v1 0.5", 63.3, "tf-slim mobilenet_v1_0.5_224", SLIM),
    ("MobileNet v1 0.75", 68.4, "tf-slim mobilenet_v1_0.75_224", SLIM),
    ("MobileNet v1 1.0", 70.9, "tf-slim mobilenet_v1_1.0_224", SLIM),
    ("MobileNet v1 1.0", 75.388, "timm mobilenetv1_100.ra4_e3600_r224_in1k", RA4),
    ("MobileNet v2 0.75 192x192", 68.7, "tf-slim mobilenet_v2_0.75_192", SLIM),
    ("MobileNet v2 1.0", 71.878, "torchvision mobilenet_v2.IMAGENET1K_V1", TV_SIMPLE),
    ("MobileNet v2 1.0", 72.154, "torchvision mobilenet_v2.IMAGENET1K_V2", TV_NEW),
    ("MobileNet v2 1.0", 72.91, "timm mobilenetv2_100.ra_in1k", RA),
    ("MobileNet v2 1.4", 75.0, "tf-slim mobilenet_v2_1.4_224", SLIM),
    ("MobileNet v2 1.4", 76.528, "timm mobilenetv2_140.ra_in1k", RA),
    ("ResNet-50 v1.5", 76.13, "torchvision resnet50.IMAGENET1K_V1", TV_SIMPLE),
    ("ResNet-50 v1.5", 80.858, "torchvision resnet50.IMAGENET1K_V2", TV_NEW),
    ("RepVGG-A0 deployed", 72.41, "DingXiaoH/RepVGG RepVGG-A0", AUTHORS),
    ("MobileNetV3 small 0.75", 65.284, "timm mobilenetv3_small_075.lamb_in1k", LAMB),
    ("MobileNetV3 small 0.75", 65.706, "timm tf_mobilenetv3_small_075.in1k", TF),
    ("MobileNetV3 small 1.0", 67.668, "torchvision mobilenet_v3_small.IMAGENET1K_V1", TV_SIMPLE),
    ("MobileNetV3 small 1.0", 67.636, "timm mobilenetv3_small_100.lamb_in1k", LAMB),
    ("MobileNetV3 small 1.0", 67.922, "timm tf_mobilenetv3_small_100.in1k", TF),
    ("MobileNetV3 large 0.75", 73.442, "timm tf_mobilenetv3_large_075.in1k", TF),
    ("MobileNetV3 large 0.75", 73.1, "PaddleClas MobileNetV3_large_x0_75", PADDLE),
    ("MobileNetV3 large 1.0", 74.042, "torchvision mobilenet_v3_large.IMAGENET1K_V1", TV_SIMPLE),
    ("MobileNetV3 large 1.0", 75.274, "torchvision mobilenet_v3_large.IMAGENET1K_V2", TV_NEW),
    ("MobileNetV3 large 1.0", 75.784, "timm mobilenetv3_large_100.ra_in1k", RA),
    ("MobileNetV3 large 1.0", 76.31, "timm mobilenetv3_large_100.ra4_e3600_r224_in1k", RA4),
    ("MobileNetV4-Conv-S", 73.756, "timm mobilenetv4_conv_small.e2400_r224_in1k",
     "timm, 2400 epochs, mostly the settings of the paper"),
    ("MobileNetV4-Conv-S", 73.45, "timm mobilenetv4_conv_small.e1200_r224_in1k",
     "timm, 1200 epochs, mostly the settings of the paper"),
    ("PP-LCNet 0.35", 58.09, "PaddleClas PPLCNet_x0_35", PADDLE),
    ("PP-LCNet 0.5", 63.14, "PaddleClas PPLCNet_x0_5", PADDLE),
    ("PP-LCNet 0.5", 63.138, "timm lcnet_050.ra2_in1k", RA),
    ("PP-LCNet 0.75", 68.18, "PaddleClas PPLCNet_x0_75", PADDLE),
    ("PP-LCNet 0.75", 68.786, "timm lcnet_075.ra2_in1k", RA),
    ("PP-LCNet 1.0", 71.32, "PaddleClas PPLCNet_x1_0", PADDLE),
    ("PP-LCNet 1.0", 72.13, "timm lcnet_100.ra2_in1k", RA),
    ("RepGhost 0.5x", 66.978, "timm repghostnet_050.in1k", AUTHORS),
    ("RepGhost 0.58x", 68.938, "timm repghostnet_058.in1k", AUTHORS),
    ("RepGhost 0.8x", 72.24, "timm repghostnet_080.in1k", AUTHORS),
    ("RepGhost 1.0x", 74.208, "timm repghostnet_100.in1k", AUTHORS),
    ("RepGhost 1.11x", 75.06, "timm repghostnet_111.in1k", AUTHORS),
    ("RepGhost 1.3x", 76.378, "timm repghostnet_130.in1k", AUTHORS),
    ("RepGhost 1.5x", 77.474, "timm repghostnet_150.in1k", AUTHORS),
    ("RepGhost 2.0x", 78.802, "timm repghostnet_200.in1k", AUTHORS),
    ("GhostNet 1.0x", 73.958, "timm ghostnet_100.in1k", AUTHORS),
    ("GhostNet 1.0x", 74.0, "PaddleClas GhostNet_x1_0", PADDLE),
    ("MobileOne-S0", 71.398, "timm mobileone_s0.apple_in1k", AUTHORS),
    ("MnasNet 0.5", 67.734, "torchvision mnasnet0_5.IMAGENET1K_V1", TV_PAPER),
    ("MnasNet 1.0", 73.456, "torchvision mnasnet1_0.IMAGENET1K_V1", TV_PAPER),
    ("MnasNet 1.0", 74.672, "timm mnasnet_100.rmsp_in1k", RMSP),
    ("EfficientNet-Lite0", 74.846, "timm tf_efficientnet_lite0.in1k", TF),
    ("EfficientNet-Lite0", 75.488, "timm efficientnet_lite0.ra_in1k", RA),
    ("EfficientNet-B0", 76.542, "timm tf_efficientnet_b0.in1k", TF),
    ("EfficientNet-B0", 77.692, "torchvision efficientnet_b0.IMAGENET1K_V1", AUTHORS),
    ("EfficientNet-B0", 77.698, "timm efficientnet_b0.ra_in1k", RA),
    ("EfficientNet-B0", 78.568, "timm efficientnet_b0.ra4_e3600_r224_in1k", RA4),
    ("RegNetX-200MF", 68.758, "timm regnetx_002.pycls_in1k", AUTHORS),
    ("RegNetX-400MF", 72.482, "timm regnetx_004.pycls_in1k", AUTHORS),
    ("RegNetY-200MF", 70.288, "timm regnety_002.pycls_in1k", AUTHORS),
    ("RegNetY-400MF", 74.004, "timm regnety_004.pycls_in1k", AUTHORS),
    ("RegNetY-400MF", 74.046, "torchvision regnet_y_400mf.IMAGENET1K_V1", TV_SIMPLE),
    ("RegNetY-400MF", 75.804, "torchvision regnet_y_400mf.IMAGENET1K_V2", TV_NEW),
    ("FBNet-C", 75.12, "timm fbnetc_100.rmsp_in1k", RMSP),
    ("SqueezeNet 1.1", 58.178, "torchvision squeezenet1_1.IMAGENET1K_V1", TV_SIMPLE),
    ("ResNet-18", 69.758, "torchvision resnet18.IMAGENET1K_V1", TV_SIMPLE),
)  # fmt: skip


def released_weights(network: str) -> tuple[ReleasedWeights, ...]:
    """The known released weights of a network, the one that stands for it first; none: empty."""
    return tuple(ReleasedWeights(*row[1:]) for row in _ROWS if row[0] == network)


def released_names() -> tuple[str, ...]:
    """The networks with released weights, each once."""
    return tuple(dict.fromkeys(row[0] for row in _ROWS))
