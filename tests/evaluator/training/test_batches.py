"""Decoded images and batches: against slow loops, and the same however they are divided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluator.data.cache import decoded, squared
from evaluator.data.dataset import Dataset
from evaluator.data.open import open_data
from evaluator.training.images.batches import (
    MEAN,
    STD,
    ArrayBatches,
    batch_indices,
    normalised,
    shifted,
)
from evaluator.training.images.decoding import DecodedBatches
from evaluator.training.process import ProcessShare
from evaluator.training.recipes.recipe import PAPER, SHORT, Recipe
from space.common.errors import DataError
from tests.helpers.images import image_folder

RECIPE = SHORT.changed(input=16, batch=6)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """24 training and 24 test images of 16x16 in three classes."""
    return open_data(image_folder(tmp_path_factory.mktemp("images")))


def test_decoded_once(data: Dataset, tmp_path: Path) -> None:
    expected = np.stack([np.asarray(Image.open(data.train.name(i))) for i in range(24)])
    steps: list[int] = []
    pixels = decoded(data.train, 16, folder=tmp_path, workers=2, progress=steps.append)
    assert np.array_equal(pixels, expected)
    assert steps == [24]

    def never(index: int) -> Image.Image:
        raise AssertionError("decoded again")

    again = decoded(replace(data.train, load=never), 16, folder=tmp_path)
    assert np.array_equal(again, expected)
    with pytest.raises(AssertionError, match="decoded again"):  # other content, another file
        decoded(replace(data.train, load=never, key="changed"), 16, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_damaged_image_leaves_no_file(data: Dataset, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG")
    part = replace(data.train, load=lambda i: Image.open(bad), name=lambda i: str(bad))
    with pytest.raises(DataError, match=r"bad\.png cannot be read"):
        decoded(part, 16, folder=tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_squared_is_the_middle() -> None:
    pixels = np.zeros((8, 20, 3), dtype=np.uint8)
    pixels[:, 6:14] = 200
    image = squared(Image.fromarray(pixels), 4)
    assert image.size == (4, 4)
    assert np.asarray(image).min() == 200
    same = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    assert squared(same, 4) is same


@pytest.mark.parametrize("margin", [0, 2])
def test_shifted_against_a_loop(margin: int) -> None:
    x = torch.randint(0, 256, (50, 8, 8, 3), dtype=torch.uint8)
    draws = torch.rand(50, 3)
    got = shifted(x, draws, margin).numpy()
    for image, draw, found in zip(x.numpy(), draws.numpy(), got, strict=True):
        pads = ((margin, margin), (margin, margin), (0, 0))
        padded = np.pad(image, pads, mode="reflect")
        row, column = (int(d * (2 * margin + 1)) for d in draw[:2])
        crop = padded[row : row + 8, column : column + 8]
        assert np.array_equal(found, crop[:, ::-1] if draw[2] < 0.5 else crop)


def test_normalised_as_torchvision_does() -> None:
    from torchvision.transforms import v2

    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3)).astype(np.uint8)
    change = v2.Compose(
        [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    )
    expected = torch.stack([change(Image.fromarray(each)) for each in pixels])
    got = normalised(torch.from_numpy(pixels))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert got.is_contiguous(memory_format=torch.channels_last)


def test_every_epoch_has_every_image() -> None:
    found = list(batch_indices(24, RECIPE, 5, 0, 12))
    assert [(step, epoch) for step, epoch, _ in found] == [(s, s // 4) for s in range(12)]
    assert torch.equal(next(batch_indices(24, RECIPE, 5, 6, 12))[2], found[6][2])
    orders = []
    for number in range(3):
        steps = found[4 * number : 4 * number + 4]
        orders.append(torch.cat([chosen for *_, chosen in steps]).tolist())
        assert sorted(orders[-1]) == list(range(24))
    assert orders[0] != orders[1] != orders[2]


def test_small_data_set_is_one_batch() -> None:
    assert len(next(batch_indices(4, RECIPE, 0, 7, 8))[2]) == 4


def array_batches(
    data: Dataset, tmp_path: Path, share: ProcessShare, seed: int = 0
) -> ArrayBatches:
    labels = torch.from_numpy(data.train.labels)
    return ArrayBatches(decoded(data.train, 16, folder=tmp_path), labels, RECIPE, seed, share)


def test_batches_go_on_and_divide(data: Dataset, tmp_path: Path) -> None:
    """Later steps and shares of processes are parts of the same batches."""
    whole = list(array_batches(data, tmp_path, ProcessShare()).train(0, 9))
    rest = list(array_batches(data, tmp_path, ProcessShare()).train(6, 9))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[6:], rest, strict=True))
    shares = [
        list(array_batches(data, tmp_path, ProcessShare(r, 2)).train(0, 9)) for r in range(2)
    ]
    for step, (x, labels) in enumerate(whole):
        assert torch.equal(torch.cat([s[step][0] for s in shares]), x)
        assert torch.equal(torch.cat([s[step][1] for s in shares]), labels)
    other = next(array_batches(data, tmp_path, ProcessShare(), seed=1).train(0, 1))
    assert not torch.equal(other[0], whole[0][0])


def test_batches_hold_their_labels(data: Dataset, tmp_path: Path) -> None:
    for x, labels in array_batches(data, tmp_path, ProcessShare()).train(0, 8):
        assert torch.equal(x.mean((2, 3)).argmax(1), labels)


def test_tests_are_all_images(data: Dataset, tmp_path: Path) -> None:
    batches = array_batches(data, tmp_path, ProcessShare())
    ((x, labels),) = batches.test()
    expected = normalised(torch.from_numpy(np.array(batches.pixels)))
    assert torch.equal(x, expected)
    assert labels.tolist() == data.train.labels.tolist()


@pytest.mark.parametrize("recipe", [RECIPE, PAPER.changed(input=24, batch=6)])
@pytest.mark.slow
def test_decoding_processes_change_nothing(data: Dataset, recipe: Recipe) -> None:
    """Random crops come from seed, epoch and image, not from who decodes it."""
    found = []
    state = torch.random.get_rng_state()
    for workers, first in ((0, 0), (2, 0), (0, 2)):
        batches = DecodedBatches(data.train, recipe, 0, workers=workers)
        found.append(list(batches.train(first, 6))[2 - first :])
    assert torch.equal(torch.random.get_rng_state(), state)
    for other in found[1:]:
        assert all(
            torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
            for a, b in zip(found[0], other, strict=True)
        )
    assert found[0][0][0].shape == (6, 3, recipe.input, recipe.input)
    assert not torch.equal(found[0][0][0], found[0][1][0])


def test_decoded_tests_are_the_cached_ones(data: Dataset, tmp_path: Path) -> None:
    ((x, labels),) = DecodedBatches(data.train, RECIPE, 0).test()
    ((expected, same),) = array_batches(data, tmp_path, ProcessShare()).test()
    torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(labels, same)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_image_in_a_process_is_named(data: Dataset, workers: int) -> None:
    def damaged(index: int) -> Image.Image:
        raise OSError("image file is truncated")

    part = replace(data.train, load=damaged)
    batches = DecodedBatches(part, RECIPE, 0, workers=workers)
    with pytest.raises(DataError, match=r"\.png cannot be read as an image: image file is trunc"):
        next(batches.train(0, 1))
