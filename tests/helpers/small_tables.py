"""Small files in the format of the public tables."""

from pathlib import Path

import pandas as pd


def write_table(folder: Path, name: str, columns: dict[str, object]) -> Path:
    """`folder`, with the table of this name in it."""
    (folder / name).mkdir()
    pd.DataFrame(columns).to_csv(folder / name / f"{name}.csv.xz", index=False)
    return folder
