"""python -m latency.guidelines: do G1-G4 hold on a device? The paper's microbenchmarks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latency.paper_model.paper_speeds import PAPER_DEVICES
from space.common.cli import DONE, Parser, add_format, command_line, run_command

MEASURING = ("device", "engine", "threads", "batch", "dtype", "rounds", "columns")


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="python -m latency.guidelines",
        description="Measure the microbenchmarks behind the paper's guidelines G1-G4 (its Tables "
        "1-4) on a device, beside the paper's columns, and write limits for search.run "
        "--guidelines.",
    )
    p.add_argument(
        "--device",
        help="measured: cpu or gpu of this host, ssh://user@host[:port] or adb://SERIAL (cpu)",
    )
    chips = ", ".join(f"{name} ({chip})" for name, chip in PAPER_DEVICES.items())
    p.add_argument(
        "--published",
        choices=tuple(PAPER_DEVICES),
        help=f"measure nothing; the paper's columns of a device beside the fitted model: {chips}",
    )
    p.add_argument("--engine", help="what runs the blocks (onnxruntime; on a gpu torch-cuda)")
    p.add_argument("--threads", type=int, help="threads of the engine (1)")
    p.add_argument("--batch", type=int, help="images at once (1, as in the paper)")
    p.add_argument("--dtype", help="of weights and activations, one of the engine's (float32)")
    p.add_argument("--rounds", type=int, help="times each chain is timed, at least (30)")
    p.add_argument(
        "--columns",
        help="whose widths: arm, the paper's for a CPU, or gpu, twice as wide (arm; on a gpu gpu)",
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
        from latency.microbenchmarks.paper import report_published
        from latency.microbenchmarks.run import measure_device
        from latency.microbenchmarks.timing import MicrobenchmarkConfig

        device, out = measuring.get("device", "cpu"), options.out
        if options.published is not None:
            if measuring:
                listed = ", ".join(f"--{name}" for name in measuring)
                raise ValueError(f"--published measures nothing: leave out {listed}")
            found, text = report_published(options.published, out)
        elif "://" not in device and device not in ("cpu", "gpu"):
            paper = f"; the paper's columns are --published {device}" * (device in PAPER_DEVICES)
            known = "cpu, gpu, ssh://user@host[:port], adb://SERIAL"
            raise ValueError(f"`--device` must be one of {known}; got {device!r}{paper}")
        else:
            command = command_line("latency.guidelines", arguments)
            found, text = measure_device(
                MicrobenchmarkConfig(out=out, command=command, **measuring)
            )
        as_json = options.format == "json"
        print(json.dumps(found, indent=1, allow_nan=False) if as_json else text)
        return DONE

    return run_command("latency.guidelines", body, stopped="stopped; nothing was written")


if __name__ == "__main__":
    raise SystemExit(main())
