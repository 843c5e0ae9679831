"""Measures all that needs a GPU, most important first, and packs the results:

    python tests/gpu/measure.py --out out/gpu --images DIR

A step that fails or runs out of time does not stop the others. `--dry-run` runs small forms of all
steps on the CPU, to see that the commands work before a card is at hand.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKED = "results.tar.xz"
SUFFIXES = (".json", ".jsonl", ".csv", ".png", ".log", ".html", ".svg")  # no weights
SMALL_LABELS = "--threads 1 --labels 10 --input 16 --batch 12 --steps 4 --lr 0.05 --seeds 1"
# The short recipe as `docs/guide/gpu.md` describes it, of labels and of final trainings.
LABELS = "--recipe short --epochs 6 --batch 256 --lr 0.3 --drop 1 --seeds 3 --retrain-epochs 30"


@dataclass(frozen=True)
class Step:
    """A command in words, `{out}`, `{images}` and `{table}` to be filled in; the seconds that it
    may take; and the words of its small form."""

    name: str
    seconds: int
    words: str
    small: str


STEPS = (
    Step("check", 90, "-m latency.engines --check torch-cuda", "-m latency.engines --check torch"),
    Step("tests", 150, "-m pytest -q -s tests/gpu", "-m pytest -q tests/gpu"),
    Step(
        "table",
        480,
        "-m latency.build --device gpu --dtype float16 --batch 8 --out {out}/f16-b8.json",
        "-m latency.build --engine null --coarse --networks 2 --out {out}/f16-b8.json",
    ),
    Step(
        "validate",
        120,
        "-m latency.validate --table {out}/f16-b8.json --device gpu --networks 40 --seed 1 "
        "--out {out}/validate.csv",
        "-m latency.validate --table {out}/f16-b8.json --networks 2 --out {out}/validate.csv",
    ),
    Step(
        "labels-41M",
        600,
        "-m search.run --target {table} --budget 41M --data {images} --device cuda --labels 50 "
        f"{LABELS} --out {{out}}/labels-41M",
        "-m search.run --target arm --budget 41M --trials 30 --data {images} --device cpu "
        f"{SMALL_LABELS} --out {{out}}/labels-41M",
    ),
    Step(
        "guidelines",
        180,
        "-m latency.guidelines --device gpu --dtype float16 --out {out}/guidelines",
        "-m latency.guidelines --engine null --rounds 2 --out {out}/guidelines",
    ),
    Step(
        "tf32",
        180,
        "-m latency.build --device gpu --dtype tf32 --coarse --out {out}/tf32-b1.json",
        "-m latency.build --engine null --coarse --networks 2 --out {out}/tf32-b1.json",
    ),
    Step(
        "guidelines-f32",
        180,
        "-m latency.guidelines --device gpu --out {out}/guidelines",
        "-m latency.guidelines --engine null --rounds 2 --out {out}/guidelines",
    ),
    Step(
        "labels-146M",
        600,
        "-m search.run --target {table} --budget 146M --data {images} --device cuda --labels 20 "
        f"{LABELS} --out {{out}}/labels-146M",
        "-m search.run --target arm --budget 146M --trials 30 --data {images} --device cpu "
        f"{SMALL_LABELS} --out {{out}}/labels-146M",
    ),
)


def words_of(
    step: Step, out: Path, images: Path, *, dry_run: bool, coarse: bool = False
) -> list[str]:
    """The command of a step, without the interpreter. A search uses the table that was measured
    before it, or the shipped one. `coarse`: of a table with fewer blocks."""
    own = out / "f16-b8.json"
    table = str(own) if own.exists() else "h200-f16-b8"
    text = step.small if dry_run else step.words
    if coarse and step.name == "table" and not dry_run:
        text += " --coarse"
    return [word.format(out=out, images=images, table=table) for word in text.split()]


def run(step: Step, words: Sequence[str], out: Path, seconds: float) -> dict[str, object]:
    """Run one step within `seconds`; its output goes to a log and to the terminal."""
    started, log = time.monotonic(), out / f"{step.name}.log"
    with log.open("wb") as file:
        try:
            done = subprocess.run(
                [sys.executable, *words], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT,
                timeout=seconds, check=False,
            )  # fmt: skip
            status: int | str = done.returncode
        except subprocess.TimeoutExpired:
            status = "time over"
    text = log.read_text(errors="replace")
    print(text[-3000:], flush=True)
    took = round(time.monotonic() - started, 1)
    print(f"== {step.name}: exit status {status}, {took} s", flush=True)
    return {"step": step.name, "command": " ".join(words), "status": status, "seconds": took}


def pack(out: Path) -> None:
    """Put all results in one file."""
    with tarfile.open(out / PACKED, "w:xz") as archive:
        for path in sorted(out.rglob("*")):
            if path.suffix in SUFFIXES and path.is_file():
                archive.add(path, path.relative_to(out))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    found.add_argument("--out", type=Path, required=True, help="folder of the results")
    found.add_argument("--images", type=Path, required=True, help="CIFAR-10, a folder a class")
    found.add_argument("--steps", nargs="+", choices=[s.name for s in STEPS], help="only these")
    found.add_argument("--coarse", action="store_true", help="a table of fewer blocks")
    found.add_argument("--minutes", type=float, default=60, help="for all steps (60)")
    found.add_argument("--dry-run", action="store_true", help="small forms on the CPU")
    return found


def main() -> int:
    """Run the steps; the exit status is 1 if one of them failed."""
    options = parser().parse_args()
    out, images = options.out.absolute(), options.images.absolute()
    out.mkdir(parents=True, exist_ok=True)
    until, rows = time.monotonic() + 60 * options.minutes, []
    for step in STEPS:
        left = until - time.monotonic()
        if (options.steps and step.name not in options.steps) or left < 10:
            continue
        words = words_of(step, out, images, dry_run=options.dry_run, coarse=options.coarse)
        print(f"== {step.name}: python {' '.join(words)}", flush=True)
        rows.append(run(step, words, out, min(left, step.seconds)))
        (out / "steps.json").write_text(json.dumps(rows, indent=1) + "\n")
        pack(out)
    return int(any(row["status"] != 0 for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
