"""Nodes of a torch module or exported program, read from the graph that torch.export makes."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from latency.audit.aten import SPLITS, Call, arguments, base_name, kind_of
from latency.audit.graph import Node, Shape, Source, first_line, format_shape, quiet, without_batch
from space.common.errors import AuditError


def export(module: Any, input_shape: Shape) -> Any:
    """The exported program of a module in eval mode on one image.

    Raises:
        ValueError: the module refuses an image of this shape.
        AuditError: it runs, but torch.export cannot trace it; the message says where.
    """
    import torch

    image = torch.zeros(1, *input_shape)
    module = module.eval()
    with quiet(), torch.no_grad():
        try:
            return torch.export.export(module, (image,))
        except Exception as error:
            why, where = first_line(error), _line_of(error)
        try:
            module(image)
        except Exception as error:
            raise ValueError(
                f"the model refuses an input of {format_shape(input_shape)}: {first_line(error)}"
                f"{_line_of(error)}; give the one it takes with --input CHANNELSxHEIGHTxWIDTH"
            ) from None
    raise AuditError(f"torch.export cannot trace the model: {why}{where}")


def _line_of(error: BaseException) -> str:
    """The last line outside of torch and of this file that led to an error."""
    import torch

    home = Path(torch.__file__).parent
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not Path(frame.filename).is_relative_to(home) and frame.filename != __file__
    ]
    return f" at {frames[-1].filename}:{frames[-1].lineno} ({frames[-1].line})" if frames else ""


def read_program(program: Any) -> Source:
    """The nodes of an exported program.

    Raises:
        ValueError: its input is not one image of fixed size.
    """
    return _Reader(program).source()


class _Reader:
    def __init__(self, program: Any) -> None:
        signature = program.graph_signature
        self.program = program
        self.user = list(signature.user_inputs)
        self.parameters = dict(signature.inputs_to_parameters)
        self.counted: set[str] = set()
        self.nodes: list[Node] = []
        self.index: dict[Any, int] = {}  # fx node -> ours; constants have none
        self.holds: dict[Any, tuple[str, ...]] = {}  # constant -> parameters it is made of
        self.batch = 1

    def source(self) -> Source:
        graph = self.program.graph
        outputs: list[int] = []
        for node in graph.nodes:
            value = node.meta.get("val")
            if node.op == "placeholder" and node.name in self.user:
                self._input(node)
            elif node.op in ("placeholder", "get_attr"):
                name = self.parameters.get(node.name)
                self.holds[node] = (name,) if name else ()
            elif node.op == "output":
                outputs = [self.index[n] for n in node.all_input_nodes if n in self.index]
            elif not any(n in self.index for n in node.all_input_nodes):
                self.holds[node] = self._parameters(node)
            elif isinstance(value, tuple | list) or hasattr(value, "shape"):
                self.nodes.append(self._node(node))
                self.index[node] = len(self.nodes) - 1
        held = sum(p.numel() for _, p in self.program.named_parameters())
        return Source(tuple(self.nodes), tuple(outputs), held, self.nodes[0].shape)

    def _input(self, node: Any) -> None:
        value = node.meta.get("val")
        shape = tuple(getattr(value, "shape", ()))
        if self.nodes or len(shape) != 4:
            raise ValueError("the model must take one batch of images, [n, channels, h, w]")
        if not all(isinstance(size, int) for size in shape[1:]):
            sizes = "x".join(str(size) for size in shape[1:])
            raise ValueError(
                f"input {node.name} of the exported program has no fixed size ({sizes}): export "
                "it with static channels, height and width"
            )
        self.batch = shape[0]
        self.index[node] = 0
        self.nodes.append(Node(kind="input", source="input", name=node.name, shape=shape[1:]))

    def _parameters(self, node: Any) -> tuple[str, ...]:
        found = (name for n in node.all_input_nodes for name in self.holds.get(n, ()))
        return tuple(dict.fromkeys(found))

    def _shape(self, node: Any) -> Shape:
        value = node.meta.get("val")
        value = value[0] if isinstance(value, tuple | list) and value else value
        return without_batch(tuple(getattr(value, "shape", ())), self.batch)

    def _node(self, node: Any) -> Node:
        is_overload, call = type(node.target).__name__ == "OpOverload", self._call(node)
        fields: dict[str, Any] = {
            "source": str(node.target) if is_overload else base_name(node),
            "name": node.name,
            "inputs": tuple(self.index[n] for n in call.maps),
            "shape": call.taken if call.base in SPLITS else call.shape,  # what its parts slice
            "modules": _modules(node),
        }
        kinds = (kind_of(call) if call.base else None) or {"kind": "unknown"}
        if not all(isinstance(size, int) for size in fields["shape"]):
            kinds = {"kind": "unknown", "missing": "no fixed shape"}
            fields["shape"] = ()
        if kinds["kind"] not in ("pass", "reshape"):
            new = [name for name in self._parameters(node) if name not in self.counted]
            self.counted.update(new)  # a shared parameter counts in the first node only
            fields["params"] = sum(self.program.state_dict[name].numel() for name in new)
        return Node(**{**fields, **kinds})

    def _call(self, node: Any) -> Call:
        reads = node.all_input_nodes
        maps = [n for n in reads if n in self.index]
        constants = [n for n in reads if n not in self.index]
        shapes = self._shape(reads[0]), self._shape(node)
        return Call(node, base_name(node), arguments(node), maps, constants, *shapes)


def _modules(node: Any) -> tuple[tuple[str, str], ...]:
    """(path, class) from the root inwards; the second call of a module is the same module."""
    stack = node.meta.get("nn_module_stack") or {}
    return tuple((path.partition("@")[0], str(kind)) for path, kind in stack.values())
