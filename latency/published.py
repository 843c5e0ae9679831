"""python -m latency.published: fit the shipped `arm` and `gpu` tables to the paper's speeds."""

from __future__ import annotations

from collections.abc import Sequence

from latency.paper_model.paper_speeds import PAPER_DEVICES
from space.common.cli import DONE, Parser, add_format, log, run_command


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="python -m latency.published",
        description="Fit an op cost model to the measurements published in the ShuffleNet v2 "
        "paper and predict the networks of its Table 8, which the fit never sees.",
    )
    p.add_argument(
        "--target", choices=tuple(PAPER_DEVICES), help="one of the two; both by default"
    )
    add_format(p)
    p.add_argument("--write", action="store_true", help="replace the shipped tables")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    options = parser().parse_args(arguments)

    def body() -> int:
        from latency.paper_model import build

        targets = [options.target] if options.target else PAPER_DEVICES
        models = [build.fit_paper_model(target) for target in targets]
        if options.format == "json":
            print(build.models_json(models))
        else:
            print("\n\n".join(map(build.format_model, models)))
        for model in models if options.write else ():
            path = build.write_model(model)
            log(f"wrote {path} and {path.with_suffix('.csv').name}")
        return DONE

    return run_command("latency.published", body)


if __name__ == "__main__":
    raise SystemExit(main())
