"""Which guidelines a model breaks, where, by how much, and what that costs on a target.

python -m latency.audit MODEL [--input 3x224x224] [--target arm|PATH] [--format table|json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import NoReturn

DONE, NO_ANSWER, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USAGE, f"latency.audit: {message} (see --help)\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = _Parser(
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
    result.add_argument("--format", choices=("table", "json"), default="table")
    result.add_argument(
        "--top", type=int, default=15, metavar="N", help="rows shown; default: %(default)s"
    )
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    from space.common.errors import AuditError

    try:
        return _run(args)
    except AuditError as error:
        message, status = str(error), NO_ANSWER
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message, status = f"{where}{error.strerror or error}", WRONG_USAGE
    except ValueError as error:
        message, status = str(error), WRONG_USAGE
    except KeyboardInterrupt:
        message, status = "interrupted", INTERRUPTED
    print(f"latency.audit: {' '.join(message.split())}", file=sys.stderr)
    return status


def _run(args: argparse.Namespace) -> int:
    from latency.audit.analysis import audit
    from latency.audit.graph import parse_input
    from latency.audit.load import read
    from latency.audit.lowering import lower
    from latency.audit.price import pricer
    from latency.audit.report import audit_record, show
    from space.common.errors import AuditError

    if args.top < 1:
        raise ValueError(f"--top must be at least 1; got {args.top}")
    shape = parse_input(args.input) if args.input else None
    prices = pricer(args.target) if args.target else None
    source = read(args.model, shape)
    layers = lower(source)
    if not any(layer.op is not None for layer in layers):
        names = sorted({layer.source for layer in layers})
        raise AuditError(f"{args.model} has no op that is known: {', '.join(names) or 'none'}")
    found = audit(source, layers, prices)
    if args.format == "json":
        print(json.dumps(audit_record(found, args.model), indent=2))
    else:
        show(found, args.model, args.top)
    return DONE


if __name__ == "__main__":
    sys.exit(main())
