"""Latencies of published networks on a target: by its table, or measured whole on this machine.

A table of measured blocks knows the networks whose blocks it has. If it was measured on this
machine and lacks some, all are timed whole, once: the times are kept in the cache folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from latency.devices.session import Session
from latency.measure.network import Timings, is_of_this_machine, table_session, time_networks
from latency.table.header import TableHeader
from latency.table.op_model import OpCostModel
from latency.table.op_terms import KNOWN
from search.problem.latencies import check_seconds
from search.problem.problem import Table
from search.result.rows import network_latency
from space.common.cli import log
from space.common.errors import MissingOpError
from space.common.files import cache_dir, writable_folder, write_atomic
from space.common.progress import Progress
from space.common.schema import Integer, Number, Record, Values, read_json
from space.network.block import Block, BlockBatch
from space.network.network import Network
from space.zoo.entry import PublishedNetwork
from space.zoo.families import shufflenet_v2

HEAVY_FLOPS = 700_000_000  # multiply-adds: heavier networks are not timed whole on a processor
ROUNDS = (5, 11)  # of a network timed whole: least and most; up to 11, each is prepared once
USUAL_S = 20.0  # that all rounds of 46 networks shall take
UNSTEADY = 1.2  # median over least time of a network; 1.01 to 1.08 on a machine that does no more
NAMED = 5
FAMILIES = (
    "ShuffleNet v2", "ShuffleNet v1", "MobileNet v1", "MobileNet v2", "MobileNetV3", "MobileNetV4",
    "PP-LCNet", "RepGhost", "GhostNet", "MobileOne", "MnasNet", "EfficientNet", "RegNet", "FBNet",
    "SqueezeNet", "ResNet", "RepVGG", "Xception", "DenseNet", "SENet", "SE-ShuffleNet v2",
)  # fmt: skip
_TIMES = Record({"schema": Integer(1, 1), "seconds": Values(Number(1e-9, 1e4))},
                required=("schema", "seconds"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class PricedNetwork:
    """A published network and its seconds on a target; None: not known. `whole`: timed whole on
    this machine, at its speed when the table was built; else by the table."""

    entry: PublishedNetwork
    network: Network
    latency_s: float | None
    whole: bool = False


def price_networks(entries: Iterable[PublishedNetwork], table: Table) -> list[PricedNetwork]:
    """Each network at its published input, with its latency by the table.

    Raises:
        ValueError: no latency of a device is like one of these.
    """
    networks = [(entry, entry.network()) for entry in entries]
    priced = [
        PricedNetwork(e, network, network_latency(table, network)) for e, network in networks
    ]
    check_seconds((p.latency_s for p in priced if p.latency_s is not None), table.header)
    return priced


def lacking(priced: Sequence[PricedNetwork], table: Table) -> str:
    """What the table lacks of the networks without a latency: kinds of ops of a cost model, kinds
    of blocks of other tables. "" if each has one."""
    blocks = dict.fromkeys(b for p in priced if p.latency_s is None for b in p.network.blocks)
    if isinstance(table, OpCostModel):
        kinds = {op.kind for block in blocks for op in block.ops if op.kind not in KNOWN}
        return f"the model has no ops of kind {first_of(sorted(kinds))}" if kinds else ""
    kinds = {block.kind for block in blocks if not _knows(table, block)}
    if not kinds:
        return ""
    told = f"the table lacks blocks of kind {first_of(sorted(kinds))}"
    if table.header.source == "measured":
        told += f"; a full latency.build has those of networks up to {HEAVY_FLOPS / 1e6:.0f}M"
    return told


def first_of(names: Iterable[str]) -> str:
    """The first names, and how many more."""
    every = list(names)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return ", ".join(every[:NAMED]) + more


def family_name(network: str) -> str:
    """The family of a published network, by its name: one of `FAMILIES`, else its first word."""
    return next((name for name in FAMILIES if network.startswith(name)), network.split()[0])


def _knows(table: Table, block: Block) -> bool:
    try:
        table.predict(BlockBatch.of(block))
    except MissingOpError:
        return False
    return True


def latencies_of(
    entries: Iterable[PublishedNetwork], table: Table
) -> tuple[list[PricedNetwork], str]:
    """Each network with its latency, and why some have none, or "": by the table; but all timed
    whole, now or in an earlier run, if the table is of this machine and lacks one that is not
    heavy.

    Raises:
        ValueError: no latency of a device is like one of these.
        ImportError: the engine of this machine's table is not installed.
    """
    priced = price_networks(entries, table)
    problem = lacking(priced, table)
    light = [p for p in priced if p.network.flops <= HEAVY_FLOPS]
    if any(p.latency_s is None for p in light) and is_of_this_machine(table.header):
        priced, failed = with_whole_times(priced, table.header)
        problem = failed or "too heavy to be run whole"
    complete = all(p.latency_s is not None for p in priced)
    return priced, "" if complete else problem


def with_whole_times(
    priced: Sequence[PricedNetwork], header: TableHeader
) -> tuple[list[PricedNetwork], str]:
    """The networks with what each takes when run whole on this machine, on a processor but for
    heavy ones; and why they could not be run, or "".

    Raises:
        ImportError: the engine of the table is not installed.
    """
    problem = ""
    with table_session(header) as session:
        most = np.inf if "accelerator" in session.host_info else HEAVY_FLOPS
        light = [p.network for p in priced if p.network.flops <= most]
        path = times_path(header, session.engine_version)
        known = read_times(path)
        missing = [network for network in light if lowering_digest(network) not in known]
        if missing:
            try:
                found, disturbed = _times(session, missing, header)
            except (MemoryError, OSError) as error:
                problem = f"they could not be run whole: {error}"
            else:
                _store(path, known | {n: s for n, s in found.items() if n not in disturbed})
                known |= found
    whole = []
    for each in priced:
        seconds = known.get(lowering_digest(each.network))
        whole.append(each if seconds is None else replace(each, latency_s=seconds, whole=True))
    return whole, problem


def lowering_digest(network: Network) -> str:
    """Changes with any op of the network."""
    text = "\n".join(f"{block} {block.steps!r}" for block in network.blocks)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def times_path(header: TableHeader, engine_version: str) -> Path:
    """The file with the times of networks that go with a table and an engine of this version."""
    words = (header.csv_sha256 or header.date, header.device, header.engine, engine_version,
             header.threads, header.batch, header.dtype)  # fmt: skip
    digest = hashlib.sha256(repr(words).encode()).hexdigest()[:12]
    return cache_dir() / "shelf" / f"{digest}.json"


def read_times(path: Path) -> dict[str, float]:
    """Seconds by `lowering_digest`, as an earlier run kept them; a damaged file is as none."""
    try:
        return dict(read_json(path, _TIMES)["seconds"])
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        log(f"{error}: these networks are measured again")
        return {}


def _store(path: Path, seconds: Mapping[str, float]) -> None:
    try:
        writable_folder(path.parent)
        write_atomic(path, json.dumps({"schema": 1, "seconds": dict(seconds)}, indent=1) + "\n")
    except (ValueError, OSError) as error:
        log(f"the times of networks off the shelf are not kept for the next search: {error}")


def _times(
    session: Session, networks: Sequence[Network], header: TableHeader
) -> tuple[dict[str, float], set[str]]:
    """Seconds of networks by `lowering_digest`, at the machine's speed when the table was built,
    if the table has its reference time; and those that other programs disturbed."""
    then_s = header.noise.get("reference_s")
    rounds = ROUNDS[1]
    if then_s:
        rounds = min(max(int(USUAL_S / (2 * 46 * then_s)), ROUNDS[0]), ROUNDS[1])
    # The first network's input is that of the reference, which must be as in the table.
    first = shufflenet_v2("0.5", *header.input_size)
    count = "a network" if len(networks) == 1 else f"{len(networks)} networks"
    log(f"running {count} off the shelf whole, on this machine; times are kept")
    found: dict[str, float] = {}
    disturbed = {lowering_digest(network): network for network in networks}
    with Progress("networks off the shelf", len(networks) + 1) as bar:
        for _ in range(2):  # those that were disturbed have another turn
            timings = time_networks(
                session,
                [first, *disturbed.values()],
                batch=header.batch,
                rounds=rounds,
                report=lambda _, done, total: bar.update(done, total),
            )
            found |= zip(disturbed, timings.seconds(then_s)[1:].tolist(), strict=True)
            again = unsteady_networks(timings)
            numbered = enumerate(list(disturbed.items()), 1)
            disturbed = dict(item for number, item in numbered if number in again)
            if not disturbed:
                break
    if disturbed:
        names = first_of(network.name for network in disturbed.values())
        log(f"warning: other programs disturbed {names}: their times are uncertain and not kept")
    return found, set(disturbed)


def unsteady_networks(timings: Timings) -> set[int]:
    """The numbers of the networks whose median run took much longer than their fastest."""
    runs: dict[int, list[float]] = {}
    for numbers, group in timings.groups:
        for number, times in zip(numbers.tolist(), group.times.tolist(), strict=True):
            runs.setdefault(number, []).extend(times)
    return {n for n, times in runs.items() if median(times) > UNSTEADY * min(times)}
