"""Open labelled images: a folder, parquet files, or a data set of torchvision."""

from __future__ import annotations

from pathlib import Path

from evaluator.data.dataset import Dataset, split
from evaluator.data.folder import read_folder
from evaluator.data.parquet import read_parquet
from evaluator.data.torchvision import TORCHVISION, read_torchvision
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
    name, path = str(where), Path(where)
    if name.startswith(TORCHVISION):
        parts = read_torchvision(name, download=download)
    elif not path.exists():
        raise DataError(
            f"--data must be a folder, a .parquet file or torchvision:NAME; {path} does not exist"
        )
    elif path.suffix == ".parquet" or (path.is_dir() and next(path.glob("*.parquet"), None)):
        parts = read_parquet(path, image=image_column, label=label_column)
    else:
        parts = read_folder(path)
    train, test, how = parts.train, parts.test, parts.split
    if test is None:
        train, test, how = split(train, len(parts.classes), seed=seed, held_out=held_out)
    return Dataset(name, parts.classes, train, test, how)
