"""Weights that a training starts from: of an earlier one, or torchvision's of ShuffleNet v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from evaluator.training.loop import Training
from evaluator.training.source import SUFFIX, TrainedWeights, read_trained
from evaluator.training.weights.checkpoint import load_weights
from evaluator.training.weights.foreign_weights import (
    check_tensors,
    file_digest,
    hub_file,
    needed_file,
    read_state,
)
from space.common.cli import log
from space.network.network import Network
from space.network.torch_module import NetworkModule, load_torchvision_weights, torchvision_keys

TORCHVISION = "torchvision"  # as --weights: the file that torchvision fetches
CLASSIFIER = "fc"
SIZES = ("0.5", "1.0", "1.5", "2.0")


@dataclass(frozen=True, eq=False, slots=True)
class TorchvisionWeights:
    """Weights of `torchvision.models.shufflenetv2`. `state`: by torchvision's names."""

    path: Path
    state: Mapping[str, Tensor]
    digest: str

    @property
    def classes(self) -> int:
        """How many classes the classifier is for."""
        return len(self.state[f"{CLASSIFIER}.bias"])


def read_start(weights: Path, network: Network) -> TrainedWeights | TorchvisionWeights:
    """What --weights names. `network`: at its published input and classes.

    Raises:
        ValueError: the file is damaged, or of another network.
        OSError: it cannot be read.
    """
    if weights.suffix == SUFFIX:
        return read_trained(weights)
    return read_torchvision_weights(weights, network)


def load_start(
    start: TrainedWeights | TorchvisionWeights,
    training: Training,
    classes: Sequence[str],
    *,
    quiet: bool = False,
) -> None:
    """Put the weights into the training.

    Raises:
        ValueError: they are of another architecture, or not for these images or classes.
    """
    if isinstance(start, TrainedWeights):
        load_weights(start, training, classes)
    else:
        load_torchvision_start(start, training, len(classes), quiet=quiet)


def read_torchvision_weights(weights: Path, network: Network) -> TorchvisionWeights:
    """The weights that `--weights` names for a network: a file of `torch.save`, or "torchvision"
    for the one that torchvision fetches.

    Args:
        network: at its published input and classes.

    Raises:
        ValueError: the network is none of torchvision's ShuffleNets, the file is not there or
            damaged, or its tensors are not those of the network.
        OSError: it cannot be read.
    """
    try:
        keys = torchvision_keys(network)
    except ValueError as error:
        raise ValueError(
            f"--weights {weights}: only torchvision's ShuffleNet v2 can be read: {error}. Give a "
            ".safetensors that evaluator.train wrote"
        ) from None
    path = _published_file(network) if str(weights) == TORCHVISION else weights
    state = read_state(path)
    with torch.device("meta"):
        own = NetworkModule(network).state_dict()
    expected = {}
    for name, value in own.items():
        prefix, _, leaf = name.rpartition(".")
        expected[f"{keys[prefix]}.{leaf}"] = value
    # The classifier may be for other classes.
    bias = state.get(f"{CLASSIFIER}.bias")
    if bias is not None and bias.ndim == 1 and len(bias):
        for leaf in ("weight", "bias"):
            like = expected[f"{CLASSIFIER}.{leaf}"]
            expected[f"{CLASSIFIER}.{leaf}"] = like.new_empty(len(bias), *like.shape[1:])
    check_tensors(path, state, expected)
    return TorchvisionWeights(path, state, file_digest(path))


def _published_file(network: Network) -> Path:
    """Where torchvision keeps its weights of a network."""
    import torchvision

    names = {
        f"ShuffleNet v2 {size}x": f"shufflenet_v2_x{size.replace('.', '_')}" for size in SIZES
    }
    if network.name not in names:
        raise ValueError(
            f"--weights torchvision is for {', '.join(names)}; got {network.name}. Give the path "
            "of a file"
        )
    name = names[network.name]
    url = torchvision.models.get_model_weights(name).DEFAULT.url
    return needed_file(hub_file(url), "--weights torchvision", name, url)


def load_torchvision_start(
    start: TorchvisionWeights, training: Training, classes: int, *, quiet: bool = False
) -> None:
    """Start from the weights; a classifier for another number of classes starts anew, and a line
    says so.

    Raises:
        ValueError: the images have another number of channels.
    """
    network = training.network
    if network.input_shape[0] != 3:
        raise ValueError(f"{start.path} is for colour images; --channels must be 3, got 1")
    module, state = cast(NetworkModule, training.module), dict(start.state)
    if start.classes != classes:
        prefix = next(ours for ours, key in torchvision_keys(network).items() if key == CLASSIFIER)
        linear = module.get_submodule(prefix).state_dict()
        state |= {f"{CLASSIFIER}.{leaf}": value for leaf, value in linear.items()}
        if not quiet:
            log(
                f"the classifier of {start.path} is for {start.classes} classes and the data has "
                f"{classes}: it starts anew"
            )
    load_torchvision_weights(module, state)
    if training.averaged:
        training.averaged = training.copied_weights()
