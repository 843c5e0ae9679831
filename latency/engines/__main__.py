"""Which engines run here, and how fast is a network on each? `python -m latency.engines`"""

from __future__ import annotations

import json
from collections.abc import Sequence

from space.common.cli import Parser, add_format, check_range, run_command


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="python -m latency.engines",
        description="List the engines, with what is missing for those that cannot run here. With "
        "--network, time it on each that can, interleaved.",
    )
    p.add_argument("--network", help='a name of `python -m space.zoo`, as "ShuffleNet v2 1.0x"')
    p.add_argument("--engines", help="names, with commas between (all but null)")
    p.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    p.add_argument("--batch", type=int, default=1, help="images at once; default: %(default)s")
    p.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    add_format(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: see `space.common.cli.run_command`; 1 also if no engine can run."""
    args = parser().parse_args(arguments)

    def body() -> int:
        from latency.engines.comparison import compare_engines, format_comparison
        from space.common.errors import NoAnswerError

        check_range(vars(args), "batch", "threads", rounds=(2, 1_000_000))
        found = compare_engines(
            () if args.engines is None else args.engines.split(","),
            args.network,
            threads=args.threads,
            batch=args.batch,
            rounds=args.rounds,
        )
        as_json = args.format == "json"
        print(json.dumps(found, indent=2) if as_json else format_comparison(found))
        if not any("version" in row for row in found["engines"]):
            raise NoAnswerError("none of these engines can run here")
        return 0

    return run_command("latency.engines", body, extra="engines")


if __name__ == "__main__":
    raise SystemExit(main())
