"""Refit the shipped `arm` and `gpu` tables to the paper's measurements and check them.

python -m latency.published [--target arm|gpu] [--format table|json] [--write]
"""

from __future__ import annotations

import argparse
import sys

from latency.paper_model.report import TARGETS, model_record, model_text


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m latency.published",
        description="Fit an op cost model to the measurements published in the ShuffleNet v2 "
        "paper and predict the networks of its Table 8, which the fit never sees.",
    )
    made.add_argument("--target", choices=TARGETS, help="one of the two; both by default")
    made.add_argument("--format", choices=("table", "json"), default="table")
    made.add_argument("--write", action="store_true", help="replace the shipped tables")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parser().parse_args(arguments)
    from latency.paper_model.build import fit_table, write

    models = [fit_table(target) for target in ([options.target] if options.target else TARGETS)]
    if options.format == "json":
        print(model_record(models))
    else:
        print("\n\n".join(model_text(model) for model in models))
    if options.write:
        for model in models:
            try:
                path = write(model)
            except OSError as error:
                print(f"cannot write the tables: {error}", file=sys.stderr)
                return 1
            print(f"wrote {path} and {path.with_suffix('.csv').name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
