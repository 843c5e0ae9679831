"""Open the images of a user: a folder, parquet files, or a torchvision data set."""

from __future__ import annotations

from pathlib import Path

from evaluator.data.dataset import Dataset
from space.common.errors import DataError

TORCHVISION = "torchvision:"


def open_data(
    where: str | Path,
    *,
    seed: int = 0,
    held_out: float = 0.1,
    image_column: str | None = None,
    label_column: str | None = None,
    download: bool = False,
) -> Dataset:
    """The data set at `where`: a folder, a .parquet file, or torchvision:NAME[:FOLDER].

    Where there is no test part, a share `held_out` of each class is set aside, chosen by `seed`.

    Raises:
        DataError: it cannot be trained on; says why and names the file.
    """
    text = str(where)
    if text.startswith(TORCHVISION):
        from evaluator.data.torchvision import open_torchvision

        return open_torchvision(text, seed=seed, held_out=held_out, download=download)
    path = Path(where)
    if not path.exists():
        raise DataError(
            f"--data must be a folder, a .parquet file or torchvision:NAME; {path} does not exist"
        )
    if path.suffix == ".parquet" or (path.is_dir() and next(path.glob("*.parquet"), None)):
        from evaluator.data.parquet import open_parquet

        return open_parquet(
            path, seed=seed, held_out=held_out, image=image_column, label=label_column
        )
    from evaluator.data.folder import open_folder

    return open_folder(path, seed=seed, held_out=held_out)
