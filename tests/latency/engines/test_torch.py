"""What the engines on torch do beyond the contract of tests/latency/engines/test_engines.py."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import nn

from latency.engines.registry import get_engine
from latency.engines.torch import compile as torch_compile
from latency.engines.torch.chain import build_chain, chain_module
from latency.engines.torch.eager import Threads
from latency.engines.weights import random_weights
from space.network.block import Block

UNIT = Block("shufflenet_v2", 6, 6, c_in=8, c_out=8, branch=4)
DENSE_8 = Block("dense_layer", 6, 6, c_in=8, growth=4)
UNIT_12 = Block("shufflenet_v2", 6, 6, c_in=12, c_out=12, branch=6)
DENSE = Block("dense_layer", 5, 5, c_in=6, growth=4)


class TestChain:
    def test_layers_are_folded_convolutions(self) -> None:
        """Three convolutions of the unit; of the dense layer two and the one lone batch norm."""
        for block, convolutions, norms in ((UNIT, 3, 0), (DENSE, 2, 1)):
            chain = build_chain([block])
            called = [node.target for node in chain.graph.nodes if node.op == "call_module"]
            layers = [chain.get_submodule(str(target)) for target in called]
            convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
            lone = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
            assert (len(convs), len(lone)) == (convolutions, norms)
            assert len(layers) == convolutions + norms and not chain.training
            assert all(conv.bias is not None for conv in convs)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
    def test_a_lone_batch_norm_only_scales_and_shifts(self, dtype: torch.dtype) -> None:
        """Its epsilon is one that every torch and cuDNN takes, and adds nothing."""
        chain = build_chain([DENSE]).to(dtype)
        (norm,) = (layer for layer in chain.modules() if isinstance(layer, nn.BatchNorm2d))
        assert norm.running_mean is not None and norm.running_var is not None
        assert norm.eps >= 1e-5 and bool((norm.running_var + norm.eps == 1).all())
        assert not norm.running_mean.any()
        x = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
        got = norm(x)
        wide = x.double() * norm.weight.double()[:, None, None] + norm.bias[:, None, None]
        eps = torch.finfo(dtype).eps
        assert torch.allclose(got.double(), wide, rtol=eps, atol=eps)

    def test_weights_are_the_given_ones(self) -> None:
        given = random_weights(5)
        weight, bias = given(0, 2, UNIT.ops[2])
        chain = build_chain([UNIT], random_weights(5))
        layer = chain.get_submodule("blocks.0.2.conv")
        assert np.array_equal(layer.weight.numpy(), weight)
        assert np.array_equal(layer.bias.numpy(), bias)

    def test_equal_blocks_have_weights_of_their_own(self) -> None:
        """As in a network: shared ones would stay in a cache. Their outputs are those of a chain
        whose blocks are made one by one, traced or not."""
        chain = chain_module([UNIT, UNIT, DENSE_8, UNIT_12])
        names = dict(chain.named_parameters(remove_duplicate=False))
        assert len(names) == len({p.data_ptr() for p in names.values()})
        first, second = (names[f"blocks.{n}.2.conv.weight"] for n in (0, 1))
        assert first.shape == second.shape and not torch.equal(first, second)
        x, weights = torch.rand(2, 8, 6, 6), random_weights()
        whole = x
        for number, block in enumerate((UNIT, UNIT, DENSE_8, UNIT_12)):
            own = chain_module([block], lambda _, *rest, number=number: weights(number, *rest))  # type: ignore[misc]
            whole = own(whole)
        assert torch.equal(chain(x), whole)
        assert torch.equal(build_chain([UNIT, UNIT, DENSE_8, UNIT_12])(x), whole)

    def test_given_weights_are_copied(self) -> None:
        """What the caller then does to its arrays does not change the chain."""
        arrays = {step: random_weights(5)(0, step, op) for step, op in enumerate(UNIT.ops)
                  if op.kind in ("conv", "dwconv")}  # fmt: skip
        chain = chain_module([UNIT], lambda block, step, op: arrays[step])
        before = [parameter.clone() for parameter in chain.parameters()]
        for weight, bias in arrays.values():
            weight[:], bias[:] = 7, 7
        assert all(map(torch.equal, before, chain.parameters()))

    def test_leaves_the_global_generator_alone(self) -> None:
        before = torch.random.get_rng_state()
        build_chain([UNIT, UNIT])
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_no_blocks(self) -> None:
        with pytest.raises(ValueError, match="at least one block; got none"):
            build_chain([])

    def test_blocks_that_do_not_fit(self) -> None:
        with pytest.raises(ValueError, match=r"takes \(6, 5, 5\); got \(8, 6, 6\)"):
            build_chain([UNIT, DENSE])


class TestThreads:
    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_set_for_a_run_and_restored(self, threads: int) -> None:
        engine, before = get_engine("torch", threads=threads), torch.get_num_threads()
        run, seen = engine.prepare([UNIT]), []
        run._function = lambda x: seen.append(torch.get_num_threads())  # type: ignore[attr-defined]
        run.run()
        assert seen == [threads] and torch.get_num_threads() == before

    def test_restored_after_an_error(self) -> None:
        before = torch.get_num_threads()
        with pytest.raises(KeyError, match="x"), Threads(before + 1):
            raise KeyError("x")
        assert torch.get_num_threads() == before


def test_eager_runs_channels_last() -> None:
    run = get_engine("torch").prepare([Block("conv", 6, 6, c_in=3, c_out=4, kernel=3)])
    layout = torch.channels_last
    assert run._input.is_contiguous(memory_format=layout)  # type: ignore[attr-defined]
    (weight,) = (p for p in run._function.parameters() if p.ndim == 4)  # type: ignore[attr-defined]
    assert weight.is_contiguous(memory_format=layout)


class TestCompiler:
    def test_missing_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", "no-such-compiler")
        with pytest.raises(FileNotFoundError, match=r"there is no no-such-compiler on PATH: inst"):
            get_engine("torch-compile")

    def test_its_complaint_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        if torch_compile.shutil.which(os.environ.get("CXX") or "g++") is None:
            pytest.skip("no C++ compiler here")
        text = "Error: C++ compile error\n\nOutput:\na.cpp:1: fatal error: Python.h: missing\nrest"

        def fail(*_: object, **__: object) -> None:
            raise torch_compile.BackendCompilerFailed(lambda: None, RuntimeError(text), None)

        monkeypatch.setattr(torch, "compile", lambda *_, **__: fail)
        with pytest.raises(OSError, match=r"OpenMP .*; got: a\.cpp:1: fatal error: Python\.h: mi"):
            get_engine("torch-compile").prepare([UNIT])

    def test_threads_are_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Inductor compiles their number into its loops."""
        if torch_compile.shutil.which(os.environ.get("CXX") or "g++") is None:
            pytest.skip("no C++ compiler here")
        told = []
        monkeypatch.setattr(torch, "compile", lambda module, **words: told.append(words) or module)
        get_engine("torch-compile", threads=3).prepare([UNIT])
        assert [words["options"] for words in told] == [{"freezing": True, "cpp.threads": 3}]
