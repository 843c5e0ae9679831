"""Measured speeds typed from the ShuffleNet v2 paper, in images or batches per second.

Ma, Zhang, Zheng, Sun: "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture
Design", ECCV 2018, arXiv 1807.11164. Speeds are text: their printed digits say how precise they
are. "arm": Snapdragon 810, one thread, batch 1. "gpu": GTX 1080 Ti, cuDNN 7.0, batch 1 except
where a row gives it. Maps are 56x56 in Tables 1 to 3. No model is fitted to Table 4, whose sizes
the paper does not state.
"""

from __future__ import annotations

CITATION = (
    "Ma et al., ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design, "
    "ECCV 2018, arXiv 1807.11164"
)
PAPER_DEVICES = {"arm": "Snapdragon 810", "gpu": "GTX 1080 Ti"}

# Table 1, guideline G1: ten blocks of 1x1 convolutions c1 -> c2 and c2 -> c1.
# (c1, c2) at scale 1: speeds at scales 1, 2, 4 of both widths.
TABLE_1: dict[str, dict[tuple[int, int], tuple[str, str, str]]] = {
    "arm": {
        (32, 32): ("76.2", "21.7", "5.3"),
        (22, 44): ("72.9", "20.5", "5.1"),
        (13, 78): ("69.1", "17.9", "4.6"),
        (9, 108): ("57.6", "15.1", "4.4"),
    },
    "gpu": {
        (128, 128): ("1480", "723", "232"),
        (90, 180): ("1296", "586", "206"),
        (52, 312): ("876", "489", "189"),
        (36, 432): ("748", "392", "163"),
    },
}

# Table 2, guideline G2: ten grouped 1x1 convolutions c -> c.
# (groups, c at scale 1): speeds at scales 1, 2, 4 of the width.
TABLE_2: dict[str, dict[tuple[int, int], tuple[str, str, str]]] = {
    "arm": {
        (1, 64): ("40.0", "10.2", "2.3"),
        (2, 90): ("35.0", "9.5", "2.2"),
        (4, 128): ("32.9", "8.7", "2.1"),
        (8, 180): ("27.8", "7.5", "1.8"),
    },
    "gpu": {
        (1, 128): ("2451", "1289", "437"),
        (2, 180): ("1725", "873", "341"),
        (4, 256): ("1026", "644", "338"),
        (8, 360): ("634", "445", "230"),
    },
}

# Table 3, guideline G3: ten blocks of 1x1 convolutions, in sequence or in parallel and added.
# (fragments, serial): speeds at widths 1, 2, 4 times 128 (gpu) or 64 (arm) for one fragment; with
# more fragments the widths shrink to keep the FLOPs.
TABLE_3: dict[str, dict[tuple[int, int], tuple[str, str, str]]] = {
    "arm": {
        (1, 0): ("40.2", "10.1", "2.3"),
        (2, 1): ("38.6", "10.1", "2.2"),
        (4, 1): ("38.4", "10.1", "2.3"),
        (2, 0): ("33.4", "9.1", "2.2"),
        (4, 0): ("35.0", "8.4", "2.1"),
    },
    "gpu": {
        (1, 0): ("2446", "1274", "434"),
        (2, 1): ("1790", "909", "336"),
        (4, 1): ("752", "745", "349"),
        (2, 0): ("1537", "803", "320"),
        (4, 0): ("691", "572", "292"),
    },
}

# Table 4, guideline G4: ten ResNet bottlenecks of c channels. (ReLU, shortcut): speeds at c = 32,
# 64, 128. The paper states neither the size of the maps nor the bottleneck's ratio. 56x56 is the
# size of the other three tables: a shortcut then costs what an add of as many channels costs in
# Table 3 (arm, 128 channels: 1.1 and 1.4 ms; gpu: 12 us, the time its memory needs for 4.8 MB).
# mid = c / 4 is ResNet's ratio: mid = c / 2 would need 9.0e9 multiply-adds a second of a core
# whose peak is 8e9.
TABLE_4: dict[str, dict[tuple[int, int], tuple[str, str, str]]] = {
    "arm": {
        (0, 0): ("66.3", "20.2", "5.4"),
        (1, 0): ("61.9", "18.8", "5.2"),
        (0, 1): ("57.3", "18.2", "5.1"),
        (1, 1): ("56.7", "16.9", "5.0"),
    },
    "gpu": {
        (0, 0): ("2842", "2376", "1782"),
        (1, 0): ("2647", "2256", "1735"),
        (0, 1): ("2672", "2121", "1458"),
        (1, 1): ("2427", "2066", "1436"),
    },
}

# Table 7, detection: images per second of a Light-Head R-CNN detector with each backbone, at
# 40, 140, 300 and 500 MFLOPs. GTX 1080 Ti, batch 4, images of 800x1200.
TABLE_7: dict[str, tuple[int, int, int, int]] = {
    "ShuffleNet v2": (188, 146, 109, 87),
    "ShuffleNet v2*": (183, 138, 105, 83),
    "Xception": (178, 131, 101, 83),
    "ShuffleNet v1": (152, 85, 76, 60),
    "MobileNet v2": (146, 111, 94, 72),
}

# Appendix, Table 1a: networks at larger inputs, at 40, 140, 300 and 500 MFLOPs.
# (family, input height, input width): (gpu speeds, arm speeds). GPU batches have 8 images at 40
# MFLOPs and 320x320, else 1.
APPENDIX_1A: dict[tuple[str, int, int], tuple[str, str]] = {
    ("ShuffleNet v2", 320, 320): ("315 525 474 422", "28.1 12.5 6.1 3.4"),
    ("ShuffleNet v1", 320, 320): ("236 414 344 275", "27.2 11.4 5.1 3.1"),
    ("MobileNet v2", 320, 320): ("187 460 389 335", "11.4 6.4 4.6 2.7"),
    ("ShuffleNet v2", 480, 640): ("424 394 297 250", "9.3 4.0 1.9 1.1"),
    ("ShuffleNet v1", 480, 640): ("396 269 198 156", "8.0 3.7 1.6 1.0"),
    ("MobileNet v2", 480, 640): ("338 248 208 165", "3.8 2.0 1.4 0.8"),
    ("ShuffleNet v2", 720, 1080): ("248 197 141 115", "3.5 1.5 0.7 0.4"),
    ("ShuffleNet v1", 720, 1080): ("203 131 96 77", "2.9 1.4 0.4 0.3"),
    ("MobileNet v2", 720, 1080): ("159 117 99 78", "1.4 0.7 0.3 0.3"),
}

# Appendix, Table 1b: ten stacked units on arm. (unit, height and width of the map): speeds for
# ShuffleNet v2 units of 64, 128, 256 channels; the other units have channels of equal FLOPs. The
# gpu column is not usable: it is not monotonic as printed.
APPENDIX_1B: dict[tuple[str, int], tuple[str, str, str]] = {
    ("ShuffleNet v2", 56): ("34.8", "12.3", "3.9"),
    ("ShuffleNet v1", 56): ("24.3", "9.4", "3.0"),
    ("MobileNet v2", 56): ("25.8", "10.0", "3.0"),
    ("ShuffleNet v2", 28): ("174.5", "53.4", "16.6"),
    ("ShuffleNet v1", 28): ("139.7", "43.9", "13.2"),
    ("MobileNet v2", 28): ("118.3", "46.2", "13.3"),
}

# Table 8, held out of every fit; "our impl." rows of MobileNet v2.
# network: (printed MFLOPs, gpu speed in batches of 8 per second, arm speed).
PAPER_SPEEDS: dict[str, tuple[int, str, str]] = {
    "ShuffleNet v2 0.5x": (41, "417", "57.0"),
    "ShuffleNet v2 1.0x": (146, "341", "24.4"),
    "ShuffleNet v2 1.5x": (299, "255", "11.8"),
    "ShuffleNet v2 2.0x": (591, "217", "6.7"),
    "ShuffleNet v1 0.5x g=3": (38, "347", "56.8"),
    "ShuffleNet v1 1.0x g=3": (140, "213", "21.8"),
    "ShuffleNet v1 1.5x g=3": (292, "164", "10.3"),
    "ShuffleNet v1 2.0x g=3": (524, "133", "6.4"),
    "MobileNet v1 0.25": (41, "502", "36.4"),
    "MobileNet v1 0.5": (149, "382", "16.5"),
    "MobileNet v1 0.75": (325, "314", "10.6"),
    "MobileNet v1 1.0": (569, "247", "6.5"),
    "MobileNet v2 0.4 160x160": (43, "333", "33.2"),
    "MobileNet v2 0.15": (39, "351", "33.6"),
    "MobileNet v2 0.75 192x192": (145, "235", "15.9"),
    "MobileNet v2 0.6": (141, "249", "14.9"),
    "MobileNet v2 1.0": (301, "180", "8.9"),
    "MobileNet v2 1.4": (587, "137", "5.4"),
}

# The other rows of Table 8, which no table is fitted to or validated on: (gpu speed in batches of
# 8 per second, arm speed).
TABLE_8_OTHERS: dict[str, tuple[int, float]] = {
    "ShuffleNet v2 2.0x with SE": (161, 5.6),
    "Xception 0.5x": (384, 52.9),
    "Xception 1.0x": (278, 19.5),
    "Xception 1.5x": (219, 10.5),
    "Xception 2.0x": (174, 6.7),
    "DenseNet 0.5x": (366, 39.7),
    "DenseNet 1.0x": (279, 15.8),
    "DenseNet 1.5x": (274, 9.7),
    "DenseNet 2.0x": (197, 6.1),
}
