"""python -m latency.build: measure a device's latency table."""

from __future__ import annotations

import argparse
import shlex
import sys

from latency.builder.build import _to_stderr, build_table


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m latency.build",
        description="Measure the latency table of the blocks of the search space on a device.",
    )
    p.add_argument(
        "--device",
        default="cpu",
        help="cpu or gpu of this host, ssh://user@host[:port] or adb://SERIAL (cpu)",
    )
    p.add_argument("--engine", help="what runs the blocks (onnxruntime; on a gpu torch-cuda)")
    p.add_argument("--threads", type=int, default=1, help="threads of the engine (1)")
    p.add_argument("--batch", type=int, default=1, help="images at once (1)")
    p.add_argument("--dtype", default="float32", help="of weights and activations (float32)")
    p.add_argument("--input", default="224x224", help="height x width of images (224x224)")
    p.add_argument(
        "--relax",
        action="append",
        default=[],
        choices=("g1", "g2", "g3", "g4"),
        help="also units that break this guideline; each adds minutes, together they multiply",
    )
    p.add_argument("--coarse", action="store_true", help="fewer blocks: about a minute")
    p.add_argument("--out", help="the table's path, or a folder for it (the cache folder)")
    p.add_argument("--seed", type=int, default=0, help="of the random networks and orders (0)")
    p.add_argument(
        "--networks",
        type=int,
        default=20,
        help="random networks to judge the table by; as many more give its scale (20)",
    )
    p.add_argument("--fresh", action="store_true", help="forget what an unfinished build measured")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 no table, 2 wrong usage."""
    args = parser().parse_args(arguments)
    from space.common.errors import MissingOpError

    words = ["python", "-m", "latency.build", *(sys.argv[1:] if arguments is None else arguments)]
    try:
        build_table(
            device=args.device,
            engine_name=args.engine,
            threads=args.threads,
            batch=args.batch,
            dtype=args.dtype,
            coarse=args.coarse,
            out=args.out,
            seed=args.seed,
            networks=args.networks,
            fresh=args.fresh,
            command=shlex.join(words),
            size=args.input,
            relax=args.relax,
        )
    except ValueError as error:
        _to_stderr(str(error))
        return 2
    except (ImportError, OSError) as error:
        _to_stderr(str(error))
        return 1
    except MissingOpError as error:
        _to_stderr(
            f"no table: {error}; too many blocks were too noisy: measure again with --fresh when "
            "the machine is quiet"
        )
        return 1
    except KeyboardInterrupt:
        _to_stderr("stopped; the same command goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
