"""Open labelled images: a folder, parquet files, or a data set of torchvision."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evaluator.data.dataset import Dataset, ReadParts, split
from evaluator.data.folder import read_folder
from evaluator.data.parquet import read_parquet
from evaluator.data.tables import parts_of_file, parts_of_tree
from evaluator.data.torchvision import TORCHVISION, read_torchvision
from evaluator.data.tree import TABLE, FileTree, file_state, read_tree
from space.common.errors import DataError


def open_data(
    where: str | Path,
    *,
    seed: int = 0,
    held_out: float = 0.1,
    image_column: str | None = None,
    label_column: str | None = None,
    download: bool = False,
) -> Dataset:
    """The data set at `where`: a folder with a folder of images a class (below train/ and test/ or
    val/ if it has a test part), a .parquet file or a folder of them, or torchvision:NAME[:FOLDER].

    Split names count in any case, and as a word of a longer name (`cifar-test.parquet`). With
    train, val and test, val is the test part: the images that are tested during a training also
    choose its best weights, and the images of test stay unseen. `split` says so.

    Args:
        held_out: share of each class that becomes the test part if there is none, selected by
            `seed`.
        image_column: of parquet files, as `label_column`; None: by its usual names.
        download: whether torchvision may fetch the data set.

    Raises:
        DataError: nothing can be trained on it; the message names the file and the fault.
        NoAnswerError: the package that reads it is not installed.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for index in range(20):
        ...     image = folder / ("red" if index % 2 else "blue") / f"{index}.png"
        ...     image.parent.mkdir(exist_ok=True)
        ...     Image.new("RGB", (8, 8), image.parent.name).save(image)
        >>> data = open_data(folder, held_out=0.2)
        >>> data.classes, len(data.train), len(data.test)
        (('blue', 'red'), 16, 4)
        >>> data.train.image(0).size
        (8, 8)
    """
    name = str(where)
    if name.startswith(TORCHVISION):
        parts = read_torchvision(name, download=download)
    else:
        parts = _read_path(name, image_column, label_column)
    train, test, how, notes = parts.train, parts.test, parts.split, parts.notes
    if test is None:
        counts = np.bincount(train.labels, minlength=len(parts.classes))
        if len(train) and counts.max() < 2:
            raise DataError(
                f"{name} must have at least 2 images of a class, to hold out a test part; every "
                "image has a label of its own"
            )
        train, test, how = split(train, len(parts.classes), seed=seed, held_out=held_out)
        if single := int(np.sum(counts == 1)):
            notes = (*notes, f"{single} classes have a single image, which is not tested")
    return Dataset(name, parts.classes, train, test, how, notes)


def _read_path(name: str, image: str | None, label: str | None) -> ReadParts:
    path = Path(name)
    kinds = "a folder, a .parquet file or torchvision:NAME"
    if not name or not path.exists():
        raise DataError(f"--data must be {kinds}; {path if name else 'nothing'} does not exist")
    if not path.is_dir():
        file = file_state(path)
        if path.suffix.lower() != TABLE:
            raise DataError(
                f"--data must be a folder of class folders or a .parquet file; {path} is a file"
            )
        return read_parquet(parts_of_file(file), name, image=image, label=label)
    tree = read_tree(path)
    if _has_tables(tree):
        return read_parquet(parts_of_tree(tree), name, image=image, label=label)
    return read_folder(tree)


def _has_tables(tree: FileTree) -> bool:
    """Whether a folder is to be read as parquet files; some images may lie beside them.

    Raises:
        DataError: there are as well two folders of images, which may be classes.
    """
    folders = list(tree.below())
    tables = [folder for folder in folders if folder.tables]
    images = [folder for folder in folders if folder.images]
    if tables and len(images) > 1:
        raise DataError(
            f"{tree.path} must hold class folders or parquet files; got {images[0].path} and "
            f"{tables[0].tables[0].path}: give the folder of one kind"
        )
    return bool(tables)
