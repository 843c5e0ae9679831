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
        "--network, time it on each that can, interleaved. With --check, compare their outputs "
        "with torch's, and time a small network twice: under a minute.",
    )
    p.add_argument("--network", help='a name of `python -m space.zoo`, as "ShuffleNet v2 1.0x"')
    p.add_argument("--check", nargs="*", metavar="NAME", help="of engines to check (all but null);"
                   " a named one must be able to run here")  # fmt: skip
    p.add_argument("--engines", help="names, with commas between (all but null)")
    p.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    p.add_argument("--batch", type=int, default=1, help="images at once; default: %(default)s")
    p.add_argument("--rounds", type=int, default=15, help="default: %(default)s")
    add_format(p)
    return p


def run_check(
    names: Sequence[str], others: tuple[str | None, ...], threads: int, batch: int, form: str
) -> int:
    """Print what `check_engines` finds; NoAnswerError, in one line, for what does not hold."""
    from latency.engines.check import check_engines, failures, format_checked
    from space.common.errors import NoAnswerError
    from space.common.progress import Progress

    if any(other is not None for other in others):
        raise ValueError("--check takes names of engines itself, and has a network of its own: "
                         "leave --engines and --network out")  # fmt: skip
    with Progress("checking engines", lines="engines and dtypes") as bar:
        found = check_engines(
            [name for word in names for name in word.split(",") if name],
            threads=threads,
            batch=batch,
            report=lambda done, total, title: bar.update(done, total, title=title),
        )
    print(json.dumps(found, indent=2) if form == "json" else format_checked(found))
    if lines := failures(found):
        raise NoAnswerError("; ".join(lines))
    if not any("version" in row for row in found["engines"]):
        raise NoAnswerError("none of these engines can run here")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: see `space.common.cli.run_command`; 1 also if no engine can run, or if a check
    does not hold."""
    args = parser().parse_args(arguments)

    def body() -> int:
        from latency.engines.comparison import compare_engines, format_comparison
        from space.common.errors import NoAnswerError

        check_range(vars(args), "batch", "threads", rounds=(2, 1_000_000))
        if args.check is not None:
            others = args.engines, args.network
            return run_check(args.check, others, args.threads, args.batch, args.format)
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
