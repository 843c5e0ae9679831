"""Which formulas compete: every score that the benchmark compares, by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluator.closed_form import ClosedForm
from evaluator.trained import Trained

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float64]
PROXY_INPUT = {"nats-sss": (32, 16), "accel-nasbench": (112, 4)}
"""(pixels, items): a batch that a CPU has time for. Half the size at ImageNet, but for MeCo."""
FULL_SIZE = {"meco": {"accel-nasbench": (224, 1)}}
"""MeCo reads one item, and at less than the networks' own size no small map (`docs/score.md`)."""
COUNTED = ("params", "flops")
"""Proxies that the tables count already, exactly."""


def formulas(table: Trained) -> dict[str, Floats]:
    """name -> scores [n]; the baselines first, the project's own last."""
    widths = table.widths * table.splits
    late = np.where(table.levels == table.levels.max(), 8.0, 1.0)

    def closed(form: ClosedForm) -> Floats:
        return form(
            table.widths,
            table.depths,
            splits=table.splits,
            kernels=table.kernels,
            levels=table.levels,
        )

    return {
        "FLOPs": table.flops,
        "params": table.params,
        "log params + log FLOPs": np.log(table.params) + np.log(table.flops),
        "log widths, per stage": np.log(widths).sum(axis=1),
        "log widths, per layer": table.log_width_layers,
        "entropy (MAE-DET)": table.fan_in_layers.sum(axis=1),
        "entropy (DeepMAD weights)": table.fan_in_layers @ late,
        "closed form, growth 1": closed(ClosedForm(growth=1.0)),
        "closed form": closed(ClosedForm()),
    }


def proxy_input(dataset: str, name: str) -> tuple[int, int]:
    """Pixels and items of the input that a proxy gets."""
    return FULL_SIZE.get(name, {}).get(dataset, PROXY_INPUT[dataset])


def with_proxies(scores: dict[str, Floats], proxies: dict[str, Floats]) -> dict[str, Floats]:
    """`scores`, each proxy alone, and the closed form + half the proxy in standard units.

    `proxies` are by title, in logarithms where they grow by factors; ranks do not mind.
    """
    closed = _standard(scores["closed form"])
    both = {
        f"closed form + 0.5 {title}": closed + 0.5 * _standard(values)
        for title, values in proxies.items()
    }
    return {**scores, **proxies, **both}


def proxy_scores(
    table: Trained,
    rows: Sequence[int],
    *,
    names: Sequence[str] | None = None,
    seed: int = 0,
    cache: Path | None = None,
) -> dict[str, Floats]:
    """title -> [rows]: proxies of the rebuilt networks, each with weights and input from `seed`.

    Raises:
        ValueError: an unknown name, or a network that a proxy refuses; the message names it.
    """
    from evaluator.rebuilt import network

    return computed(
        table.name,
        [table.text(row) for row in rows],
        lambda index: network(table, rows[index], seed=seed),
        lambda proxy: proxy_input(table.name, proxy),
        names=names,
        seed=seed,
        cache=cache,
    )


def computed(
    dataset: str,
    texts: Sequence[str],
    module_of: Callable[[int], nn.Module],
    shape_of: Callable[[str], tuple[int, int]],
    *,
    names: Sequence[str] | None = None,
    seed: int = 0,
    cache: Path | None = None,
) -> dict[str, Floats]:
    """title -> [networks]: proxies of networks, of which `texts` says everything that matters.

    `module_of`: the network of that number; `shape_of`: side and batch of a proxy's input. Scores
    that `cache` holds are read, the others computed and written there one network after another.
    Logarithms where a proxy grows by factors.

    Raises:
        ValueError: an unknown name, or a network that a proxy refuses; the message names it.
    """
    import torch
    from rich.console import Console
    from rich.progress import track

    from evaluator.proxies import chosen, random_input
    from evaluator.proxy_cache import ProxyCache, code_of, default_path

    wanted = [proxy for proxy in chosen(names) if proxy.name not in COUNTED]
    codes = {proxy.name: code_of(proxy.function.__module__) for proxy in wanted}
    shapes = {p.name: shape_of(p.name) for p in wanted}
    inputs = {
        shape: random_input(size=shape[0], batch=shape[1], seed=seed) for shape in shapes.values()
    }
    found: dict[str, list[float]] = {proxy.name: [] for proxy in wanted}
    bar = track(texts, description="training-free scores", console=Console(stderr=True))
    with ProxyCache(cache or default_path()) as known, _one_thread():
        for index, text in enumerate(bar):
            about = {"dataset": dataset, "network": text, "seed": seed, "torch": torch.__version__}
            module, fresh = None, []
            for proxy in wanted:
                x = inputs[shapes[proxy.name]]
                own = {"proxy": proxy.name, "code": codes[proxy.name], "input": list(x.shape)}
                key = {**about, **own}
                value = known.get(key)
                if value is None:
                    module = module or module_of(index)
                    start = time.perf_counter()
                    try:
                        value = float(proxy.function(module, x, seed=seed))
                    except ValueError as error:
                        raise ValueError(f"{proxy.title} of {text}: {error}") from None
                    fresh.append((key, value, time.perf_counter() - start))
                found[proxy.name].append(value)
            if fresh:
                known.add(fresh)
    return {
        proxy.title: np.log(np.maximum(found[proxy.name], 1e-9))
        if proxy.logarithm
        else np.array(found[proxy.name])
        for proxy in wanted
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    """Runs torch on one thread for a while. Several gain nothing on networks this small; where the
    cores have other work each op waits for a thread that is not running, a hundred times as long
    (docs/score.md)."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _standard(values: Floats) -> Floats:
    return (values - values.mean()) / values.std()
