"""What a network is and what it costs on paper: ops, blocks, networks, search spaces, G1-G4.

Each public name is imported on first use. numpy is enough, except for `build_module` and
`load_torchvision_weights`, which need torch.
"""

from typing import TYPE_CHECKING

from space.common.lazy import public_names

if TYPE_CHECKING:
    from space.architectures.search_space import Architecture as Architecture
    from space.architectures.shufflenet_v2 import ShuffleNetV2Space as ShuffleNetV2Space
    from space.cost.guidelines import PAPER_LIMITS as PAPER_LIMITS
    from space.cost.guidelines import Guidelines as Guidelines
    from space.cost.lookup import CostModel as CostModel
    from space.graph.op import Op as Op
    from space.network.block import Block as Block
    from space.network.network import Network as Network
    from space.network.network import feature_layers as feature_layers
    from space.network.torch_module import build_module as build_module
    from space.network.torch_module import load_torchvision_weights as load_torchvision_weights
    from space.zoo.catalog import published_network as published_network
    from space.zoo.catalog import published_networks as published_networks
    from space.zoo.catalog import shelf_networks as shelf_networks

_MODULES = {
    "Architecture": "space.architectures.search_space",
    "Block": "space.network.block",
    "CostModel": "space.cost.lookup",
    "Guidelines": "space.cost.guidelines",
    "Network": "space.network.network",
    "Op": "space.graph.op",
    "PAPER_LIMITS": "space.cost.guidelines",
    "ShuffleNetV2Space": "space.architectures.shufflenet_v2",
    "build_module": "space.network.torch_module",
    "feature_layers": "space.network.network",
    "load_torchvision_weights": "space.network.torch_module",
    "published_network": "space.zoo.catalog",
    "published_networks": "space.zoo.catalog",
    "shelf_networks": "space.zoo.catalog",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = public_names(__name__, _MODULES)
