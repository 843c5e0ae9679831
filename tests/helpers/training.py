"""Words of a tiny training, and how a command that must fail is run."""

from __future__ import annotations

import pytest

from evaluator.train import main
from tests.helpers.images import TINY

WORDS = [*TINY.split(), *"--input 16 --batch 8 --epochs 2 --workers 0 --threads 1".split()]


def failed(capsys: pytest.CaptureFixture[str], status: int, *words: str) -> str:
    """Run, expect `status`, return the last line of stderr; no traceback."""
    assert main(list(words)) == status
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.splitlines()[-1]
