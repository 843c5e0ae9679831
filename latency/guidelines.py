"""python -m latency.guidelines: do G1-G4 hold on a device? The paper's microbenchmarks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latency.paper_model.paper_speeds import PAPER_DEVICES
from space.common.cli import DONE, Parser, add_format, command_line, run_command

MEASURING = ("engine", "threads", "batch", "rounds", "columns")  # options, none for the paper's


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="python -m latency.guidelines",
        description="Measure the microbenchmarks behind the paper's guidelines G1-G4 (its Tables "
        "1-4) on a device, beside the paper's columns, and write limits for search.run "
        "--guidelines.",
    )
    paper = "; ".join(f"{name}: the paper's {chip}" for name, chip in PAPER_DEVICES.items())
    p.add_argument(
        "--device",
        default="cpu",
        help="measured: cpu of this host, its gpu with --engine torch-cuda, "
        f"ssh://user@host[:port] or adb://SERIAL; published: {paper} (cpu)",
    )
    p.add_argument("--engine", help="what runs the blocks (onnxruntime)")
    p.add_argument("--threads", type=int, help="threads of the engine (1)")
    p.add_argument("--batch", type=int, help="images at once (1, as in the paper)")
    p.add_argument("--rounds", type=int, help="times each chain is timed (30)")
    p.add_argument(
        "--columns", help="whose widths: arm, the paper's for a CPU, or gpu, twice as wide (arm)"
    )
    p.add_argument(
        "--out", type=Path, help="folder of guidelines.json, .samples.jsonl and .png (the cache)"
    )
    add_format(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = parser().parse_args(arguments)
    values = {name: getattr(options, name) for name in MEASURING}
    measuring: dict[str, Any] = {k: v for k, v in values.items() if v is not None}

    def body() -> int:
        from latency.devices.open import GPU_ENGINES
        from latency.microbenchmarks.paper import report_published
        from latency.microbenchmarks.run import measure_device
        from latency.microbenchmarks.timing import MicrobenchmarkConfig

        device, out = options.device, options.out
        if "://" not in device and device not in ("cpu", *PAPER_DEVICES):
            known = f"cpu, {', '.join(PAPER_DEVICES)}, ssh://user@host[:port], adb://SERIAL"
            raise ValueError(f"`--device` must be one of {known}; got {device!r}")
        host_gpu = device == "gpu" and measuring.get("engine") in GPU_ENGINES
        if device not in PAPER_DEVICES or host_gpu:
            command = command_line("latency.guidelines", arguments)
            config = MicrobenchmarkConfig(device=device, out=out, command=command, **measuring)
            found, text = measure_device(config)
        elif measuring:
            listed = ", ".join(f"--{name}" for name in measuring)
            raise ValueError(f"{device} is published, not measured: leave out {listed}")
        else:
            found, text = report_published(device, out)
        as_json = options.format == "json"
        print(json.dumps(found, indent=1, allow_nan=False) if as_json else text)
        return DONE

    return run_command("latency.guidelines", body, stopped="stopped; nothing was written")


if __name__ == "__main__":
    raise SystemExit(main())
