"""What a network takes on a device: tables of measured, published and estimated latencies.

Each public name is imported on first use. numpy is enough for a table; an engine needs its own
package. Devices get an empty file in place of this one (latency/devices/archive.py).
"""

from typing import TYPE_CHECKING

from space.common.lazy import public_names

if TYPE_CHECKING:
    from latency.audit.analysis import audit_model as audit_model
    from latency.builder.build import build_table as build_table
    from latency.builder.config import BuildConfig as BuildConfig
    from latency.builder.validation import validate_table as validate_table
    from latency.devices.open import open_session as open_session
    from latency.engines.onnx.writer import write_onnx as write_onnx
    from latency.engines.registry import get_engine as get_engine
    from latency.measure.network import measure_networks as measure_networks
    from latency.microbenchmarks.limits import load_limits as load_limits
    from latency.table.header import TableHeader as TableHeader
    from latency.table.latency_table import LatencyTable as LatencyTable
    from latency.table.latency_table import Measurement as Measurement
    from latency.table.load import load_table as load_table
    from latency.table.op_model import OpCostModel as OpCostModel

_MODULES = {
    "BuildConfig": "latency.builder.config",
    "LatencyTable": "latency.table.latency_table",
    "Measurement": "latency.table.latency_table",
    "OpCostModel": "latency.table.op_model",
    "TableHeader": "latency.table.header",
    "audit_model": "latency.audit.analysis",
    "build_table": "latency.builder.build",
    "get_engine": "latency.engines.registry",
    "load_limits": "latency.microbenchmarks.limits",
    "load_table": "latency.table.load",
    "measure_networks": "latency.measure.network",
    "open_session": "latency.devices.open",
    "validate_table": "latency.builder.validation",
    "write_onnx": "latency.engines.onnx.writer",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = public_names(__name__, _MODULES)
