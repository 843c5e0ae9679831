"""One training from images to files."""

from __future__ import annotations

import hashlib
import re
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluator.data.dataset import Dataset, Part, subset
from evaluator.data.labels import listed
from evaluator.data.open import open_data
from evaluator.training.epoch import Epoch
from evaluator.training.images.open_batches import make_batches
from evaluator.training.loop import Training
from evaluator.training.process import ProcessShare, loader_workers, process_context
from evaluator.training.recipes.recipe import SHORT, Recipe, check_options
from evaluator.training.report import format_epoch, format_start
from evaluator.training.session import TrainingSession, explain_failure, run_to_end
from evaluator.training.teachers.open_teacher import open_teacher
from evaluator.training.teachers.teacher_config import TeacherConfig
from evaluator.training.weights import checkpoint as files
from evaluator.training.weights.start_weights import TorchvisionWeights, load_start, read_start
from space.common.cli import log
from space.common.errors import DataError, DivergedError, NoAnswerError
from space.common.progress import Progress
from space.network.network import Network
from space.network.resize import on_input, total_stride

SCALARS = ("train_loss", "test_loss", "test_accuracy", "lr")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What to train, on which images, how and where.

    Args:
        network: at its published input; `read_network` makes it from a line of the space.
        data: a folder, a .parquet file, or torchvision:NAME[:FOLDER], as for `open_data`.
        out: the folder for the files; None: one below out/train, named by network, recipe and
            seed.
        held_out: share of each class to test on if the data has no test part.
        device: auto, cpu, cuda or cuda:N.
        threads: of the processor; None: torch's own.
        workers: processes that decode images; None: one a free core, 8 at most.
        amp: half precision where it is safe.
        weights: a .safetensors of a training to start from, or torchvision's weights of
            ShuffleNet v2: their path, or "torchvision" for where torchvision keeps them.
        teacher: a network to learn from, beside the labels.
        fresh: ignore the checkpoint in `out`.
        save_every_s: seconds from one checkpoint to the next within an epoch.
        tensorboard: write its event files too.

    Raises:
        ValueError: a value is out of its range.

    Example:
        >>> from pathlib import Path
        >>> from evaluator.training.recipes.recipe import SHORT
        >>> from evaluator.training.source import read_network
        >>> config = TrainConfig(
        ...     network=read_network("ShuffleNet v2 0.5x"),
        ...     data="torchvision:CIFAR10",
        ...     recipe=SHORT.changed(epochs=1),
        ...     seed=2,
        ... )
        >>> config.folder.name[:18], config.folder.name[-11:]
        ('ShuffleNet-v2-0.5x', 'short-seed2')
    """

    network: Network
    data: str | Path
    out: Path | None = None
    recipe: Recipe = SHORT
    seed: int = 0
    held_out: float = 0.1
    image_column: str | None = None
    label_column: str | None = None
    download: bool = False
    device: str = "auto"
    threads: int | None = None
    workers: int | None = None
    amp: bool = False
    weights: Path | None = None
    fresh: bool = False
    save_every_s: float = files.SAVE_S
    tensorboard: bool = False
    teacher: TeacherConfig | None = None

    def __post_init__(self) -> None:
        names = ("seed", "threads", "workers", "held_out")
        values = {name: getattr(self, name) for name in names}
        check_options({**values, "save_every": self.save_every_s})

    @property
    def folder(self) -> Path:
        """`out`, or its default."""
        name = self.network.name
        short = re.sub(r"[^\w.]+", "-", name)[:40].strip("-")
        tag = hashlib.sha256(name.encode()).hexdigest()[:6]
        default = f"{short}-{tag}-{self.recipe.name}-seed{self.seed}"
        return self.out or Path("out") / "train" / default


def train_network(config: TrainConfig) -> dict[str, Any] | None:
    """Train a network, or resume from the checkpoint in the folder; a training that was stopped
    comes to the same result on one CPU with one number of threads.

    Returns:
        Accuracies in percent, `test_loss`, `seconds`, `flops`, `params` and the paths of the
        `files` (best and last weights, log, checkpoint); None in all processes of torchrun but
        the first.

    Raises:
        ValueError: data, checkpoint or settings cannot be used.
        DivergedError: the loss or a weight is not a finite number.
        NoAnswerError: out of memory, a process that decodes images died, or a package is missing.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from evaluator.training.recipes.recipe import SHORT
        >>> from evaluator.training.source import read_network
        >>> folder = Path(tempfile.mkdtemp())
        >>> for index in range(40):
        ...     image = folder / "images" / ("red" if index % 2 else "blue") / f"{index}.png"
        ...     image.parent.mkdir(parents=True, exist_ok=True)
        ...     Image.new("RGB", (16, 16), "red" if index % 2 else "blue").save(image)
        >>> line = "shufflenet_v2 stem=8 width=24,48,96 depth=2,2,2 split=1/2,1/2,1/2"
        >>> config = TrainConfig(
        ...     network=read_network(f"{line} kernel=3,3,3 head=256"),
        ...     data=folder / "images",
        ...     out=folder / "out",
        ...     recipe=SHORT.changed(input=16, batch=8, steps=2),
        ...     device="cpu",
        ...     workers=0,
        ... )
        >>> result = train_network(config)
        >>> result["input"], result["classes"]
        ([3, 16, 16], ['blue', 'red'])
    """
    out, recipe = config.folder, config.recipe
    adapted(config.network, recipe, classes=2)  # or a ValueError
    start = None if config.weights is None else read_start(config.weights, config.network)
    with process_context(
        out, device=config.device, threads=config.threads, batch=recipe.batch
    ) as (device, share):
        data = open_data(
            config.data,
            seed=config.seed,
            held_out=config.held_out,
            image_column=config.image_column,
            label_column=config.label_column,
            download=config.download,
        )
        with explain_failure(recipe):
            training = _new_training(config, data, device, share)
        if start is not None:
            load_start(start, training, data.classes, quiet=share.rank > 0)
        digest = start.digest if isinstance(start, TorchvisionWeights) else ""
        identity = files.identity(training, data.classes, data.key, start=digest)
        writer = files.CheckpointWriter(
            training, out / files.CHECKPOINT, identity, every_s=config.save_every_s
        )
        try:
            _train(config, data, writer)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped. {writer.saved_text}; the same command goes on from there"
                if writer.path.exists()
                else f"stopped. {writer.saved_text}"
            ) from None
        return None if share.rank else _result(training, data, out)


def adapted(network: Network, recipe: Recipe, *, classes: int) -> Network:
    """The network on the images of a recipe, for as many classes.

    Raises:
        ValueError: it cannot take such images.
    """
    height, width = recipe.size
    drop, channels = recipe.skipped_strides, recipe.channels
    return on_input(network, height, width, classes=classes, drop=drop, channels=channels)


def _new_training(
    config: TrainConfig, data: Dataset, device: str, share: ProcessShare
) -> Training:
    recipe, seed = config.recipe, config.seed
    network = adapted(config.network, recipe, classes=len(data.classes))
    part = subset(data.train, recipe.images, seed=seed)
    if len(part) < 2 * share.world:
        raise DataError(f"{data.name} must have 2 images a process to train on; got {len(part)}")
    check_classes(data, part)
    if not share.rank:
        log(format_start(data, len(part), network, recipe, device))
    teacher = None
    if config.teacher is not None:
        teacher = open_teacher(config.teacher, recipe, data.classes, device)
        if not share.rank:
            log(teacher.text(recipe.size))
    workers = loader_workers(config.workers, share)
    train, tests = (
        make_batches(each, recipe, seed, device=device, workers=workers, share=share, quiet=False)
        for each in (part, data.test)
    )
    return Training(
        network,
        recipe,
        len(part),
        train,
        tests,
        seed=seed,
        device=device,
        amp=config.amp,
        share=share,
        teacher=teacher,
    )


def check_classes(data: Dataset, part: Part) -> None:
    """DataError if a class has no image to train on: its name, and what to do."""
    present = set(part.labels.tolist())
    if absent := [name for index, name in enumerate(data.classes) if index not in present]:
        raise DataError(
            f"{data.name} must have images of every class to train on; none of {listed(absent)} "
            f"among {len(part)} images: give more --images, or data without these classes"
        )


def _train(config: TrainConfig, data: Dataset, writer: files.CheckpointWriter) -> None:
    training, folder, first = writer.training, writer.path.parent, not writer.training.share.rank
    bar = Progress("training", training.total, quiet=not first)
    if not config.fresh and writer.resume():
        bar.log(f"{writer.path} is at step {training.step} of {training.total}; resuming")
    bar.done = training.step
    log_events = config.tensorboard and first
    events = event_writer(folder / "tensorboard", training.step) if log_events else nullcontext()
    with bar, events as event_log:

        def after_epoch(entry: Epoch) -> None:
            bar.log(format_epoch(training))
            if event_log is not None:
                for name in SCALARS:
                    event_log.add_scalar(name, getattr(entry, name), entry.step)
            if first:
                files.save_epoch(folder, training, writer.identity, data)

        try:
            session = TrainingSession(training, writer, after_epoch)
            run_to_end(session, lambda: bar.update(training.step))
        except DivergedError as error:
            rate = training.recipe.lr
            raise DivergedError(
                f"{error} (now {rate:g}) and give --fresh. {writer.saved_text}"
            ) from None


def event_writer(folder: Path, step: int) -> AbstractContextManager[Any]:
    """A writer of tensorboard's event files, from `step` on; closed after the block.

    Raises:
        NoAnswerError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        raise NoAnswerError(
            "--tensorboard needs tensorboard, which is not installed: pip install tensorboard"
        ) from None
    return closing(SummaryWriter(str(folder), purge_step=step))


def _result(training: Training, data: Dataset, out: Path) -> dict[str, Any]:
    network, last = training.network, training.history[-1]
    names = [files.BEST, files.LAST, files.LOG, files.CHECKPOINT]
    return {
        "architecture": network.name,
        "input": list(network.input_shape),
        "total_stride": total_stride(network),
        "flops": network.flops,
        "params": network.params,
        "classes": list(data.classes),
        "last_accuracy": last.test_accuracy,
        "best_accuracy": max(entry.test_accuracy for entry in training.history),
        "test_loss": last.test_loss,
        "seconds": last.seconds,
        "seed": training.seed,
        "recipe": training.recipe.record(),
        "files": [str(out / name) for name in names],
    }
