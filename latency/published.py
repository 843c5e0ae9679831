"""Refit the shipped `arm` and `gpu` tables to the paper's measurements and check them.

python -m latency.published [--target arm|gpu] [--format table|json] [--write]
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from latency.op_model import OpCostModel

TARGETS = ("arm", "gpu")


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


def as_json(models: list[OpCostModel]) -> str:
    """What `--format json` prints."""
    found = []
    for model in models:
        error = model.header.network_error
        kept = {name: error[name] for name in ("rows", "mean_abs_error", "spearman")}
        found.append({"target": model.header.target, **kept})
    return json.dumps(found, indent=2)


def as_table(model: OpCostModel) -> str:
    """What `--format table` prints of one model."""
    from latency.published_check import printed_flops
    from latency.published_rows import held_out
    from latency.published_terms import TERMS

    header = model.header
    lines = [f"{header.target}  ({header.label})", "", "  coefficient, seconds per unit"]
    for name, term in TERMS[model.formula].items():
        value = f"{model.coefficients[name]:.4g}"
        lines.append(f"    {name:20} {value:>11} / {term.unit:12} {term.why}")
    lines += ["", "  mean error of the fit     rows  fitted  family left out"]
    for table, found in header.extra["model"]["fit_error"].items():
        fitted, left_out = found["fitted"], found["family_left_out"]
        lines.append(f"    Table {table:18} {found['rows']:4}  {fitted:6.1%}  {left_out:15.1%}")
    error = header.network_error
    lines += ["", f"  {'held out: Table 8':28} MFLOPs counted/printed  measured  predicted  error"]
    flops = {name: network.flops for network, name, _ in held_out(model.formula)}
    for row in error["rows"]:
        name, measured, predicted = row["network"], row["measured_s"], row["predicted_s"]
        counts = f"{flops[name] / 1e6:.1f} / {printed_flops(name)}"
        times = f"{measured * 1e3:6.2f} ms  {predicted * 1e3:6.2f} ms"
        lines.append(f"    {name:26} {counts:>22}  {times}  {predicted / measured - 1:+6.1%}")
    lines.append(
        f"    mean {error['mean_abs_error']:.1%}, largest {error['max_abs_error']:.1%}, "
        f"within 10 %: {error['within_10pct']:.0%}, Spearman {error['spearman']:.3f}"
    )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parser().parse_args(arguments)
    from latency.published_check import build, write

    models = [build(target) for target in ([options.target] if options.target else TARGETS)]
    if options.format == "json":
        print(as_json(models))
    else:
        print("\n\n".join(as_table(model) for model in models))
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
