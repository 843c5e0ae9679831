"""Trained networks as ONNX: `python -m search.export last.safetensors --out DIR`"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from space.common.cli import DONE, Parser, run_command

FORMATS = ("onnx",)


def parser() -> Parser:
    """The command line."""
    result = Parser(
        prog="python -m search.export",
        description="Write networks with their trained weights as ONNX, for any batch size, batch "
        "norm folded. The output of each file is compared with torch's before it is written.",
        epilog="Exit status: 0 done, 1 no answer, 2 wrong usage or input, 130 Ctrl-C.",
    )
    add = result.add_argument
    add("files", nargs="+", metavar="FILE", help="last.safetensors or best.safetensors of "
        "evaluator.train, training/*.safetensors or winner-N.safetensors of search.run, or its "
        "winners.json[:NAME]")  # fmt: skip
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the files")
    add("--format", choices=FORMATS, default="onnx", help="default: %(default)s")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(arguments)

    def body() -> int:
        from search.result.export import describe_weights
        from search.result.export_files import export_files

        for path, exported in export_files(args.files, args.out):
            print(f"{path}: {describe_weights(exported.weights)}")
            files = ", ".join(map(str, exported.paths))
            print(f"  {files}; ONNX against torch: {exported.difference:.1e}", flush=True)
        return DONE

    return run_command("search.export", body, extra="train")


if __name__ == "__main__":
    sys.exit(main())
