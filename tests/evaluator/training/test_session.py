"""What runs out is named, with how much of it there was."""

from __future__ import annotations

import pytest
import torch

from evaluator.training.recipes.recipe import SHORT
from evaluator.training.session import explain_failure
from space.common.errors import MemoryNeededError, NoAnswerError


def test_a_gpu_says_how_much() -> None:
    text = (
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB "
        "of which 1.25 GiB is free. Of the allocated memory 70.00 GiB is allocated by PyTorch."
    )
    with (
        pytest.raises(MemoryNeededError, match="out of memory") as found,
        explain_failure(SHORT, advice="lower --batch"),
    ):
        raise torch.OutOfMemoryError(text)
    assert str(found.value) == (
        "out of memory (2.00 GiB more needed, 1.25 GiB free) with --batch 128 at --input 32: "
        "lower --batch. Nothing was written yet"
    )


def test_want_of_processes_is_no_want_of_memory() -> None:
    with (
        pytest.raises(NoAnswerError, match=r"no more processes .*: lower --workers") as found,
        explain_failure(SHORT),
    ):
        raise RuntimeError("can't start new thread")
    assert not isinstance(found.value, MemoryNeededError)
