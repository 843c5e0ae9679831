"""Write an ncnn network layer by layer: the text of its .param file, without weights.

Layer names and parameter numbers are those of ncnn's documentation (docs/developer-guide,
"operators"). A value that several layers read gets the Split layer that ncnn requires.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MAGIC = 7767517  # first line of every .param file
FUSED = {"": 0, "relu": 1, "sigmoid": 4}  # activations that are parameter 9 of layers with weights


@dataclass(frozen=True, slots=True)
class Value:
    """The output of a layer: its name and shape."""

    name: str
    channels: int
    size: int


@dataclass
class NetworkText:
    """The layers of a network. Each method adds a layer and returns its output. Windows are padded
    by (kernel - 1) // 2 unless `pad` is given."""

    flops: int = 0  # multiply-adds of convolutions and inner products
    image: tuple[int, int, int] = (0, 0, 0)  # width, height, channels
    _layers: list[tuple[str, list[str], str, str]] = field(default_factory=list)

    def _add(
        self, kind: str, inputs: list[Value], channels: int, size: int, text: str = ""
    ) -> Value:
        name = f"v{len(self._layers)}" if self._layers else "in0"  # as pnnx names it
        self._layers.append((kind, [value.name for value in inputs], name, text))
        return Value(name, channels, size)

    def input(self, channels: int, size: int) -> Value:
        self.image = (size, size, channels)
        return self._add("Input", [], channels, size, f"0={size} 1={size} 2={channels}")

    def conv(
        self,
        x: Value,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        act: str = "relu",
        groups: int = 1,
        pad: int | None = None,
    ) -> Value:
        """A convolution with bias, depthwise where `groups` are all channels.

        Args:
            act: of `FUSED`, or the kind of a layer of its own.
        """
        pad = (kernel - 1) // 2 if pad is None else pad
        size = (x.size + 2 * pad - kernel) // stride + 1
        weights = x.channels // groups * channels * kernel * kernel
        self.flops += weights * size * size
        text = f"0={channels} 1={kernel} 3={stride} 4={pad} 5=1 6={weights} 9={FUSED.get(act, 0)}"
        kind = "Convolution"
        if groups > 1:
            kind, text = "ConvolutionDepthWise", f"{text} 7={groups}"
        out = self._add(kind, [x], channels, size, text)
        return out if act in FUSED else self.one(act, out)

    def depthwise(self, x: Value, kernel: int, stride: int = 1, *, act: str = "relu") -> Value:
        return self.conv(x, x.channels, kernel, stride, act=act, groups=x.channels)

    def linear(self, x: Value, channels: int, *, act: str = "") -> Value:
        weights = x.channels * x.size * x.size * channels
        self.flops += weights
        text = f"0={channels} 1=1 2={weights} 9={FUSED.get(act, 0)}"
        out = self._add("InnerProduct", [x], channels, 1, text)
        return out if act in FUSED else self.one(act, out)

    def pool(
        self, x: Value, kind: str, kernel: int, stride: int, *, pad: int = 0, full: bool = True
    ) -> Value:
        """`kind`: max or avg. `full`: windows may overlap the edge, as in Caffe."""
        extra = stride - 1 if full else 0
        size = (x.size + 2 * pad - kernel + extra) // stride + 1
        text = f"0={int(kind == 'avg')} 1={kernel} 2={stride} 3={pad} 5={int(not full)}"
        return self._add("Pooling", [x], x.channels, size, text)

    def global_pool(self, x: Value) -> Value:
        return self._add("Pooling", [x], x.channels, 1, "0=1 4=1")

    def one(self, kind: str, x: Value, text: str = "") -> Value:
        """A layer whose output has the shape of its input: ReLU, Swish, HardSwish, ..."""
        return self._add(kind, [x], x.channels, x.size, text)

    def add(self, a: Value, b: Value) -> Value:
        return self._add("BinaryOp", [a, b], a.channels, a.size, "0=0")

    def concat(self, *values: Value) -> Value:
        return self._add("Concat", list(values), sum(v.channels for v in values), values[0].size)

    def pad(self, x: Value, *, channels: int = 0, pixels: int = 0) -> Value:
        """Zero channels after the others, zeros at the bottom and right."""
        text = f"0=0 1={pixels} 2=0 3={pixels} 4=0 5=0.0 7=0 8={channels}"
        return self._add("Padding", [x], x.channels + channels, x.size + pixels, text)

    def squeeze_excite(self, x: Value, channels: int, act: str, gate: str) -> Value:
        """`act` after the first layer, `gate` after the second; as in `conv`."""
        y = self.linear(self.global_pool(x), channels, act=act)
        scale = self.linear(y, x.channels, act=gate)
        return self._add("BinaryOp", [x, scale], x.channels, x.size, "0=2")

    def text(self) -> str:
        """The .param file; its input is `in0`, its output `out0`."""
        uses = Counter(name for _, inputs, _, _ in self._layers for name in inputs)
        lines: list[str] = []
        read: Counter[str] = Counter()
        last = self._layers[-1][2]
        for number, (kind, inputs, name, text) in enumerate(self._layers):
            words = []
            for source in inputs:
                words.append(f"{source}_{read[source]}" if uses[source] > 1 else source)
                read[source] += 1
            made = "out0" if name == last else name
            lines.append(" ".join([kind, f"l{number}", str(len(words)), "1", *words, made, text]))
            if uses[name] > 1:
                copies = [f"{name}_{i}" for i in range(uses[name])]
                lines.append(f"Split s{number} 1 {len(copies)} {name} {' '.join(copies)}")
        blobs = len(self._layers) + sum(count for count in uses.values() if count > 1)
        return "\n".join([str(MAGIC), f"{len(lines)} {blobs}", *lines, ""])
