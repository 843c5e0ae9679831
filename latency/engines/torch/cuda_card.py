"""The NVIDIA GPU that torch uses, or in one line why it cannot be used."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from latency.ondevice.checks import line

# dtype -> the least compute capability that has it, and that generation's name (CUDA programming
# guide, "Feature support per compute capability").
LEAST = {"tf32": ((8, 0), "Ampere"), "float16": ((5, 3), "Tegra X1")}
VISIBLE = "CUDA_VISIBLE_DEVICES"
TRIED = re.compile(r"Tried to allocate ([\d.]+ \w+)")


def open_card(dtype: str) -> Any:
    """The properties of the GPU that torch uses, the first of those that CUDA_VISIBLE_DEVICES
    leaves.

    Raises:
        OSError: torch is built without CUDA or finds no GPU, its build has no kernels for this
            one, or this one lacks the dtype.
    """
    needs = "engine 'torch-cuda' needs an NVIDIA GPU"
    if torch.version.cuda is None:
        raise OSError(
            f"{needs} and a torch built for CUDA; got torch {torch.__version__}, built without: "
            "install another build (https://pytorch.org/get-started)"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what is raised here
        try:
            torch.cuda.init()
            card: Any = torch.cuda.get_device_properties(torch.cuda.current_device())
        except (RuntimeError, AssertionError) as error:
            raise OSError(f"{needs}; {_why_none(str(error))}") from error
    has, least = (card.major, card.minor), LEAST.get(dtype, ((0, 0), ""))
    if not has_kernels(has, torch.cuda.get_arch_list()):
        raise OSError(
            f"torch {torch.__version__} for CUDA {torch.version.cuda} has no kernels for "
            f"{card.name} (compute capability {_dotted(has)}): install a build for it, or choose "
            f"another GPU with {VISIBLE}"
        )
    if has < least[0]:
        raise OSError(
            f"dtype {dtype} needs compute capability {_dotted(least[0])} ({least[1]}) or later; "
            f"{card.name} has {_dotted(has)}: use --dtype float32"
        )
    return card


def card_name() -> str:
    """The name of the GPU that torch uses; "" if it finds none that it can use."""
    try:
        return str(open_card("float32").name)
    except OSError:
        return ""


def card_words(card: Any) -> str:
    """Which of several GPUs `card` is, as "NVIDIA H200, GPU 0 of 2 in CUDA_VISIBLE_DEVICES"."""
    count = torch.cuda.device_count()
    if count == 1 and VISIBLE not in os.environ:
        return str(card.name)
    seen = f" in {VISIBLE}={os.environ[VISIBLE]}" if VISIBLE in os.environ else ""
    return f"{card.name}, GPU {torch.cuda.current_device()} of {count}{seen}"


def has_kernels(capability: tuple[int, int], built: Sequence[str]) -> bool:
    """Whether a torch with kernels for `built` (`torch.cuda.get_arch_list()`) runs on a GPU.

    Machine code ("sm_86") runs on later minor versions of the same major one, PTX ("compute_90")
    on all later ones (CUDA programming guide, "Application compatibility").
    """
    for arch in built:
        # "sm_90a" is for 9.0 alone, and comes beside "sm_90".
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)", arch)
        if found is None:
            continue
        one = int(found[2]), int(found[3])
        if one <= capability and (found[1] == "compute" or one[0] == capability[0]):
            return True
    return not built


@contextmanager
def memory_errors(card: Any, what: str) -> Iterator[None]:
    """What torch raises in the block without GPU memory, as an error that says how much there is.

    Raises:
        MemoryError: `what` needs more memory than `card` has free.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not (isinstance(error, torch.OutOfMemoryError) or "out of memory" in text):
            raise
        tried = TRIED.search(text)
        more = f" {tried[1]} more" if tried else " more memory"
        raise MemoryError(
            f"{what} needs{more} than {card.name} has free{_free_words()}: lower --batch or the "
            "image size, or end the other programs on it"
        ) from error


def free_bytes() -> int:
    """Bytes that a program can still have on the GPU: free ones, and those that torch caches."""
    cached = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return int(torch.cuda.mem_get_info()[0]) + cached


def _free_words() -> str:
    try:
        free, total = torch.cuda.mem_get_info()
    except RuntimeError:  # there is none left for CUDA itself
        return ""
    return f" ({free / 2**30:.1f} of {total / 2**30:.1f} GiB)"


def _why_none(text: str) -> str:
    """What to do where torch's initialisation says `text`."""
    build = f"torch {torch.__version__} for CUDA {torch.version.cuda}"
    if found := re.search(r"too old \(found version (\d+)\)", text):
        version = int(found[1])
        return (
            f"its driver is too old for {build}: it runs CUDA {version // 1000}."
            f"{version % 1000 // 10} at most: update the driver, or install a torch for that CUDA"
        )
    if (visible := os.environ.get(VISIBLE)) is not None:
        return (
            f"{build} finds none with {VISIBLE}={visible!r}: unset it, or give it a number that "
            "nvidia-smi lists"
        )
    if "no NVIDIA driver" in text:
        return f"{build} finds no driver: install one, and check nvidia-smi"
    return f"{build} finds none ({line(text, 200)}): check nvidia-smi"


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
