"""Which guidelines a model breaks, where, by how much, and what that costs on a target.

python -m latency.audit MODEL [--input 3x224x224] [--target arm|PATH] [--format table|json]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from space.common.cli import DONE, NO_ANSWER, Parser, add_format, check_range, log, run_command


def parser() -> Parser:
    """The options."""
    result = Parser(
        prog="python -m latency.audit",
        description="Say per layer and per unit of a model which of the guidelines G1-G4 it "
        "breaks and by how much, and what that costs on a target.",
    )
    result.add_argument(
        "model",
        metavar="MODEL",
        help="package.module:factory (called without arguments, e.g. "
        "torchvision.models:mobilenet_v3_large), a .pt2 exported program or an .onnx file",
    )
    result.add_argument(
        "--input",
        metavar="CxHxW",
        help="size of one image; default: the file's own, or 3x224x224",
    )
    result.add_argument(
        "--target", help="price layers with this table of op costs: arm, gpu or a path"
    )
    add_format(result)
    result.add_argument(
        "--top", type=int, default=15, metavar="N", help="rows shown; default: %(default)s"
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = parser().parse_args(arguments)

    def body() -> int:
        import json

        from latency.audit.analysis import audit_model
        from latency.audit.graph import parse_input
        from latency.audit.report import audit_record, print_audit

        check_range(vars(options), top=(1, None))
        shape = parse_input(options.input) if options.input else None
        audit = audit_model(options.model, shape, options.target)
        if options.format == "json":
            print(json.dumps(audit_record(audit), indent=2))
        else:
            print_audit(audit, options.top)
        if audit.lacks:
            log(f"latency.audit: {audit.lacks}")
            return NO_ANSWER
        return DONE

    return run_command("latency.audit", body)


if __name__ == "__main__":
    sys.exit(main())
