"""How the command `python -m latency.audit` is run in tests."""

from __future__ import annotations

import pytest

from latency.audit import __main__ as audit


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        status = audit.main(list(words))
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    return status, out, err
