"""Training-free scores as their papers and the authors' programs spell them out, step by step.

Copies of the module, hooks on layers, numpy and loops: what `evaluator.proxies` must agree with,
and must not be slower than.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def with_batch_statistics(module):
    """A copy in eval mode, but for batch norm."""
    module = copy.deepcopy(module).eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.train()
    return module


def naswot(module, x, seed=0):
    """Two products per ReLU layer: ones that agree, zeros that agree."""
    module = with_batch_statistics(module)
    kernel = np.zeros((len(x), len(x)))

    def hook(layer, inputs):
        codes = (inputs[0].flatten(1) > 0).float()
        agree = codes @ codes.T
        differ = (1.0 - codes) @ (1.0 - codes.T)
        kernel[:] += agree.numpy() + differ.numpy()

    for part in module.modules():
        if isinstance(part, nn.ReLU | nn.SiLU):
            part.register_forward_pre_hook(hook)
    with torch.no_grad():
        module(x)
    return np.linalg.slogdet(kernel)[1]


def zico(module, x, seed=0, batches=2):
    """Gradients of every batch kept as arrays, then mean and deviation by numpy."""
    module = with_batch_statistics(module)
    generator = torch.Generator().manual_seed(seed)
    kept = {}
    for part in x.chunk(batches):
        module.zero_grad()
        output = module(part)
        labels = torch.randint(output.shape[1], (len(part),), generator=generator)
        functional.cross_entropy(output, labels).backward()
        for name, layer in module.named_modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                gradient = layer.weight.grad.double().reshape(-1).numpy().copy()
                kept.setdefault(name, []).append(gradient)
    total = 0.0
    for rows in kept.values():
        size = np.abs(np.array(rows))
        deviation = np.std(size, axis=0)
        varies = np.nonzero(deviation)[0]
        ratio = np.sum(np.mean(size, axis=0)[varies] / deviation[varies])
        total += np.log(ratio) if ratio else 0.0
    return total


def synflow(module, x, seed=0):
    """A copy without batch norm, in float64, all parameters positive; one backward pass."""
    module = copy.deepcopy(module).eval().double()
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())
    with torch.no_grad():
        for value in module.parameters():
            value.abs_()
    module.zero_grad()
    module(torch.ones(1, *x.shape[1:], dtype=torch.float64)).sum().backward()
    return sum(
        float((layer.weight * layer.weight.grad).detach().abs().sum())
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d | nn.Linear)
    )


def zen(module, x, seed=0, draws=2, alpha=0.01):
    """For an `nn.Sequential` with one pooling over the map. Variances by a hook on batch norm."""
    module = with_batch_statistics(module)
    layers = list(module)
    last = max(i for i, m in enumerate(layers) if isinstance(m, nn.AdaptiveAvgPool2d))
    generator = torch.Generator().manual_seed(seed)
    features = nn.Sequential(*layers[:last])
    variances = []

    def hook(layer, inputs):
        variances.append(inputs[0].double().var(dim=(0, 2, 3), correction=0).mean())

    scores = []
    for _ in range(draws):
        with torch.no_grad():
            for part in module.modules():
                if isinstance(part, nn.Conv2d | nn.Linear):
                    part.weight.copy_(torch.randn(part.weight.shape, generator=generator))
                    if part.bias is not None:
                        part.bias.zero_()
                elif isinstance(part, nn.BatchNorm2d):
                    part.weight.fill_(1)
                    part.bias.zero_()
            start = torch.randn(x.shape, generator=generator)
            step = torch.randn(x.shape, generator=generator)
            variances.clear()
            handles = [
                part.register_forward_pre_hook(hook)
                for part in features.modules()
                if isinstance(part, nn.BatchNorm2d)
            ]
            before = features(start)
            for handle in handles:
                handle.remove()
            after = features(start + alpha * step)
            moved = (before - after).abs().sum(dim=(1, 2, 3)).double().mean()
            scale = sum(0.5 * torch.log(v) for v in variances)
            scores.append(float(torch.log(moved) + scale))
    return float(np.mean(scores))


def meco(module, x, seed=0, channels=8, draws=8):
    """Correlations by numpy of the draws that torch's generator makes, layer by layer."""
    module = with_batch_statistics(module)
    generator = torch.Generator().manual_seed(seed)
    maps = []
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(lambda m, i, o: maps.append(o[0].flatten(1).numpy().copy()))
    with torch.no_grad():
        module(x[:1])
    total = 0.0
    for layer in maps:
        count = len(layer)
        taken = min(channels, count)
        if taken < count:
            order = torch.rand(draws, count, generator=generator).argsort(dim=1)[:, :taken]
        else:
            order = torch.arange(count)[None]
        smallest = []
        for picked in order.numpy():
            part = layer[picked].astype(np.float64)
            part -= part.mean(axis=1, keepdims=True)
            norm = np.linalg.norm(part, axis=1, keepdims=True)
            unit = np.divide(part, norm, out=np.zeros_like(part), where=norm > 1e-9)
            smallest.append(max(np.linalg.eigvalsh(unit @ unit.T)[0], 0.0))
        total += np.mean(smallest) * count / taken
    return total


def params(module, x, seed=0):
    return sum(value.numel() for value in module.parameters())


def flops(module, x, seed=0):
    """Hooks on layers."""
    module = copy.deepcopy(module).eval()
    counts = []
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(
                lambda m, i, o: counts.append(m.weight.numel() * o.shape[2] * o.shape[3])
            )
        elif isinstance(part, nn.Linear):
            part.register_forward_hook(lambda m, i, o: counts.append(m.weight.numel()))
    with torch.no_grad():
        module(x[:1])
    return sum(counts)


REFERENCES = {
    "meco": meco,
    "naswot": naswot,
    "params": params,
    "flops": flops,
    "synflow": synflow,
    "zen": zen,
    "zico": zico,
}
