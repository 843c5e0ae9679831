"""python -m tests.gpu.cudnn_choice: is cuDNN's heuristic as good as timing its kernels?

Needs a GPU, and takes under a minute. Chains of a coarse table are prepared in each of the ways
of `latency.engines.torch.cudnn_choice`, each way in a thread of its own: torch keeps a choice in
the thread. The ways take turns at each chain, in one order and then in the other. Then all run
in the same rounds. Prints JSON: seconds to prepare, and how much slower the runs of a way are than
with timed kernels, by chains.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

CHAINS, NETWORKS = 18, 2


def compare(chains: Sequence[Any], *, batch: int, dtype: str, rounds: int) -> dict[str, Any]:
    """Prepare seconds and run seconds of each chain in each way: float64 [ways, chains]."""
    from latency.engines.torch.cuda import TorchCudaEngine
    from latency.engines.torch.cudnn_choice import CHOICES
    from latency.ondevice.timing import time_rounds
    from space.network.block import Block

    engines = [TorchCudaEngine(1, dtype, choice) for choice in CHOICES]
    pools = [ThreadPoolExecutor(1) for _ in CHOICES]
    try:

        def prepare(way: int, chain: Any) -> tuple[Any, float]:
            started = time.monotonic()
            run: Any = engines[way].prepare(chain, batch)
            return run, time.monotonic() - started

        small = (Block("conv", 4, 4, c_in=8, c_out=8),)
        for way, pool in enumerate(pools):  # each thread loads its libraries
            pool.submit(prepare, way, small).result()
        prepare_s = np.zeros((len(CHOICES), len(chains)))
        runs: list[list[Any]] = [[None] * len(chains) for _ in CHOICES]
        for number, chain in enumerate(chains):
            for way in range(len(CHOICES))[:: 1 if number % 2 else -1]:
                done = pools[way].submit(prepare, way, chain).result()
                runs[way][number], prepare_s[way, number] = done
        pairs = [(way, n) for n in range(len(chains)) for way in range(len(CHOICES))]
        times = list(
            time_rounds(
                [runs[way][n] for way, n in pairs],
                engines[0],
                [engines[way].clock for way, _ in pairs],
                rounds,
                [False] * len(pairs),
            )
        )
        medians = np.median(np.array(times), axis=0).reshape(len(chains), len(CHOICES)).T
    finally:
        for pool in pools:
            pool.shutdown()
    return summary(prepare_s, medians) | {
        "device": engines[0].device_words,
        "versions": engines[0].versions,
        "batch": batch,
        "dtype": dtype,
    }


def summary(prepare_s: np.ndarray, run_s: np.ndarray) -> dict[str, Any]:
    """What the seconds [ways, chains] say; the first way is the one to compare with."""
    from latency.engines.torch.cudnn_choice import CHOICES

    slower = run_s / run_s[0] - 1
    rows = {
        choice: {
            "prepare_s": round(float(prepare_s[way].sum()), 3),
            "slower": {
                name: round(float(value), 4)
                for name, value in zip(
                    ("mean", "least", "quartile", "median", "upper_quartile", "most"),
                    (slower[way].mean(), *np.quantile(slower[way], (0, 0.25, 0.5, 0.75, 1))),
                    strict=True,
                )
            },
        }
        for way, choice in enumerate(CHOICES)
    }
    every = {"prepare_s": prepare_s.round(4).tolist(), "run_s": run_s.tolist()}
    return {"chains": run_s.shape[1], "choices": rows, "each": every}


def sample(blocks: int, networks: int) -> list[Any]:
    """Chains of blocks and whole networks of the coarse plan, at random."""
    from latency.builder.config import BuildConfig
    from latency.builder.grid import COARSE
    from latency.builder.plan import make_plan

    plan = make_plan(COARSE, BuildConfig().space, 20, 0)
    order = np.random.default_rng(1).permutation(len(plan.targets))[:blocks]
    nets = [network.blocks for network in plan.held_out[:networks]]
    return [*(plan.targets[number].long for number in order), *nets]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--dtype", default="float16")
    p.add_argument("--blocks", type=int, default=CHAINS)
    p.add_argument("--networks", type=int, default=NETWORKS)
    p.add_argument("--rounds", type=int, default=20)
    p.add_argument("--out", type=Path, help="write the JSON there too")
    args = p.parse_args(arguments)
    chains = sample(args.blocks, args.networks)
    found = compare(chains, batch=args.batch, dtype=args.dtype, rounds=args.rounds)
    text = json.dumps(found, indent=2)
    if args.out is not None:
        args.out.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
