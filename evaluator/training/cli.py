"""Options that the commands which train have in common."""

from __future__ import annotations

import argparse


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Where and how a training runs; `evaluator.training.process` reads them."""
    parser.add_argument("--amp", action="store_true", help="half precision where it is safe")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda; default: %(default)s")
    parser.add_argument(
        "--workers", type=int, help="processes that decode; default: one a free core, 8 at most"
    )
    parser.add_argument("--threads", type=int, help="of the processor; default: torch's own")
    parser.add_argument(
        "--save-every", type=float, default=60, metavar="SECONDS", help="default: %(default)s"
    )


def check_least(args: argparse.Namespace, least: dict[str, int]) -> None:
    """ValueError where an option that was given is below its least value."""
    for name, value in least.items():
        given = getattr(args, name)
        if given is not None and not given >= value:
            raise ValueError(f"--{name.replace('_', '-')} must be at least {value}; got {given}")
