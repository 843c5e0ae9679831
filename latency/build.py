"""python -m latency.build: measure a device's latency table."""

from __future__ import annotations

from collections.abc import Sequence

from space.common.cli import Parser, command_line, run_command


def parser() -> Parser:
    p = Parser(
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
    p.add_argument("--channels", type=int, default=3, help="of images (3)")
    p.add_argument("--classes", type=int, default=1000, help="of the classifier (1000)")
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: see `space.common.cli.run_command`."""
    args = parser().parse_args(arguments)

    def body() -> int:
        from latency.builder.build import build_table
        from latency.builder.config import BuildConfig

        options = vars(args) | {"relax": tuple(dict.fromkeys(args.relax))}
        build_table(BuildConfig(**options, command=command_line("latency.build", arguments)))
        return 0

    return run_command(
        "latency.build", body, stopped="stopped; the same command goes on from here"
    )


if __name__ == "__main__":
    raise SystemExit(main())
