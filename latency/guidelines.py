"""python -m latency.guidelines: the paper's microbenchmarks on a device; do G1-G4 hold there?"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

from latency.microbenchmarks.run import DEVICES, _to_stderr, measure_device, show_published

MEASURING: dict[str, Any] = {
    "engine": "onnxruntime",
    "threads": 1,
    "batch": 1,
    "rounds": 30,
    "columns": "arm",
}


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"latency.guidelines: {' '.join(message.split())} (see --help)\n")


def parser() -> argparse.ArgumentParser:
    p = _Parser(
        prog="python -m latency.guidelines",
        description="Measure the microbenchmarks behind the paper's guidelines G1-G4 (its Tables "
        "1-4) on this host, beside the paper's columns, and write limits for search.run "
        "--guidelines.",
    )
    devices = "; ".join(f"{name}: {what}" for name, what in DEVICES.items())
    p.add_argument("--device", default="cpu", help=f"{devices} (cpu)")
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
    p.add_argument("--format", choices=("table", "json"), default="table")
    return p


def _run(args: argparse.Namespace, command: str) -> None:
    from space.common.files import cache_dir

    given = {name: getattr(args, name) for name in MEASURING}
    if args.device not in DEVICES:
        raise ValueError(f"`--device` must be one of {', '.join(DEVICES)}; got {args.device!r}")
    if args.device == "cpu":
        chosen = {n: given[n] if given[n] is not None else d for n, d in MEASURING.items()}
        found, text = measure_device(
            engine_name=chosen.pop("engine"),
            **chosen,
            out=args.out or cache_dir() / "guidelines",
            command=command,
        )
    else:
        extra = [f"--{name}" for name, value in given.items() if value is not None]
        if extra:
            raise ValueError(
                f"{args.device} is published, not measured: leave out {', '.join(extra)}"
            )
        found, text = show_published(args.device, args.out)
    print(json.dumps(found, indent=1, allow_nan=False) if args.format == "json" else text)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 no answer, 2 wrong usage."""
    words = sys.argv[1:] if arguments is None else arguments
    args = parser().parse_args(words)
    try:
        _run(args, shlex.join(["python", "-m", "latency.guidelines", *words]))
    except ValueError as error:
        _to_stderr(f"latency.guidelines: {error}")
        return 2
    except ImportError as error:
        _to_stderr(f"latency.guidelines: {error}")
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _to_stderr(f"latency.guidelines: {where}{error.strerror or error}")
        return 1
    except KeyboardInterrupt:
        _to_stderr("latency.guidelines: stopped; nothing was written")
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
