"""Nodes of a torch module or exported program, read from the graph that torch.export makes."""

from __future__ import annotations

import traceback
from math import prod
from pathlib import Path
from typing import Any

from latency.audit.aten import SPLITS, Call, arguments, base_name, kind_of
from latency.audit.graph import (
    FOREIGN_ERRORS,
    Node,
    Shape,
    Source,
    first_line,
    format_shape,
    quiet,
    without_batch,
)
from space.common.errors import AuditError

LARGEST_RUN = 2**22
"""Elements of an image on which a model may run to see whether it takes the image at all."""
_SIZES = ("sym_size", "sym_numel", "sym_stride", "sym_storage_offset")


def export(module: Any, input_shape: Shape) -> Any:
    """The exported program of a module in eval mode on one image.

    Raises:
        ValueError: the module refuses an image of this shape.
        AuditError: it runs, but torch.export cannot trace it; the message says where.
    """
    import torch

    with quiet(), torch.no_grad():
        try:
            module = module.eval()
            image = _image(module, input_shape)
            return torch.export.export(module, (image,))
        except FOREIGN_ERRORS as error:
            why, where = first_line(error), _line_of(error)
        if prod(input_shape) <= LARGEST_RUN:
            try:
                module(_image(module, input_shape))
            except FOREIGN_ERRORS as error:
                raise ValueError(
                    f"the model refuses an input of {format_shape(input_shape)}: "
                    f"{first_line(error)}{_line_of(error)}; give the one it takes with --input "
                    "CHANNELSxHEIGHTxWIDTH"
                ) from None
    raise AuditError(f"torch.export cannot trace the model: {why}{where}")


def _image(module: Any, input_shape: Shape) -> Any:
    """A black image, of the kind and on the device of the module's weights."""
    import torch

    weights = [t for t in (*module.parameters(), *module.buffers()) if t.dtype.is_floating_point]
    options = {"dtype": weights[0].dtype, "device": weights[0].device} if weights else {}
    image = torch.zeros(1, *input_shape, **options)
    if any(torch.nn.parameter.is_lazy(weight) for weight in weights):
        module(image)  # lazy modules have their weights after a first run
    return image


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
        self.owners = _owners(program)
        self.counted: set[str] = set()
        self.nodes: list[Node] = []
        self.index: dict[Any, int] = {}  # fx node -> ours; constants have none
        self.holds: dict[Any, tuple[str, ...]] = {}  # constant -> parameters it is made of
        self.batch = 1
        self.batch_symbol: Any = None

    def source(self) -> Source:
        graph = self.program.graph
        outputs: list[int] = []
        for node in graph.nodes:
            value = node.meta.get("val")
            if node.op == "placeholder" and node.name in self.user:
                self._input(node)
            elif node.op in ("placeholder", "get_attr"):
                name = self.owners.get(self.parameters.get(node.name, ""))
                self.holds[node] = (name,) if name else ()
            elif node.op == "output":
                outputs = [self.index[n] for n in node.all_input_nodes if n in self.index]
            elif not any(n in self.index for n in node.all_input_nodes) or _is_size(node):
                self.holds[node] = self._parameters(node)
            elif value is not None:  # an assertion has none
                self.nodes.append(self._node(node))
                self.index[node] = len(self.nodes) - 1
        held = sum(self.program.state_dict[name].numel() for name in set(self.owners.values()))
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
        self.batch = shape[0] if isinstance(shape[0], int) else 1
        self.batch_symbol = getattr(getattr(shape[0], "node", None), "expr", None)
        self.index[node] = 0
        self.nodes.append(Node(kind="input", source="input", name=node.name, shape=shape[1:]))

    def _parameters(self, node: Any) -> tuple[str, ...]:
        found = (name for n in node.all_input_nodes for name in self.holds.get(n, ()))
        return tuple(dict.fromkeys(found))

    def _shape(self, node: Any) -> Shape:
        value = node.meta.get("val")
        value = value[0] if isinstance(value, tuple | list) and value else value
        sizes = tuple(self._of_one_image(size) for size in getattr(value, "shape", ()))
        return without_batch(sizes, self.batch)

    def _of_one_image(self, size: Any) -> Any:
        """A size with one in place of a batch that is left open; another open size stays."""
        if isinstance(size, int) or self.batch_symbol is None:
            return size
        fixed = size.node.expr.subs(self.batch_symbol, 1)
        return int(fixed) if fixed.is_Integer else size

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
            if kinds["kind"] != "unknown":
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


def _owners(program: Any) -> dict[str, str]:
    """The first name of each parameter, by name: tied modules and tied weights share a tensor."""
    first: dict[Any, str] = {}
    found = {}
    for name, tensor in program.named_parameters():
        place = tensor.data_ptr()  # a copy in a file may be another object on the same memory
        key = (place, tensor.dtype, *tensor.shape, *tensor.stride()) if place else id(tensor)
        found[name] = first.setdefault(key, name)
    return found


def _is_size(node: Any) -> bool:
    """Whether a node follows from the sizes of its inputs alone, not from what is in them."""
    return base_name(node) in _SIZES


def _modules(node: Any) -> tuple[tuple[str, str], ...]:
    """(path, class) from the root inwards; the second call of a module is the same module."""
    stack = node.meta.get("nn_module_stack") or {}
    return tuple((path.partition("@")[0], str(kind)) for path, kind in stack.values())
