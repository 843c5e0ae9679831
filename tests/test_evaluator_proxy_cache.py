"""Computed training-free scores: what is kept on disk, and how they are computed."""

import numpy as np
import pytest
import torch
from torch import nn

from evaluator import candidates, proxy_cache


def key(**changed):
    found = {"dataset": "d", "network": "width=8", "proxy": "zen", "input": [2, 3, 4, 4]}
    return {**found, "seed": 0, "torch": "2", "code": "c", **changed}


def test_cache_finds_what_is_the_same_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "scores.jsonl"
    with proxy_cache.ProxyCache(path) as cache:
        cache.add([(key(), 0.1, 1.0), (key(seed=1), 0.2, 1.0)])
    with proxy_cache.ProxyCache(path) as cache:
        assert cache.get(key()) == 0.1 and cache.get(key(seed=1)) == 0.2
        for name in proxy_cache.FIELDS:
            assert cache.get(key(**{name: [9] if name == "input" else "other"})) is None


def test_cache_forgets_half_a_line_and_refuses_a_damaged_one(tmp_path):
    path = tmp_path / "scores.jsonl"
    with proxy_cache.ProxyCache(path) as cache:
        cache.add([(key(), 0.1, 1.0)])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    with proxy_cache.ProxyCache(path) as cache:
        assert cache.get(key()) == 0.1
    assert path.read_bytes() == whole
    path.write_bytes(whole + b"{}\n")
    with pytest.raises(ValueError, match=r"scores\.jsonl, line 2: must be a computed score"):
        proxy_cache.ProxyCache(path)


def test_code_of_a_proxy_ignores_words_about_it_and_nothing_else(tmp_path, monkeypatch):
    folder = tmp_path / "proxies"
    folder.mkdir()
    monkeypatch.setattr(proxy_cache, "__file__", str(tmp_path / "proxy_cache.py"))
    for path in (*(folder / n for n in ("zen.py", *proxy_cache.SHARED)), tmp_path / "rebuilt.py"):
        path.write_text("x = 1\n")
    before = proxy_cache.code_of("evaluator.proxies.zen")
    (folder / "zen.py").write_text('"""Words."""\nx = 1  # more\n"""And after."""\n')
    assert proxy_cache.code_of("evaluator.proxies.zen") == before
    for path in (folder / "zen.py", folder / "watch.py", tmp_path / "rebuilt.py"):
        path.write_text("x = 2\n")
        changed = proxy_cache.code_of("evaluator.proxies.zen")
        assert changed != before
        before = changed


def test_proxies_are_computed_on_one_thread(tmp_path):
    seen = set()

    class Watched(nn.Sequential):
        def forward(self, x):
            seen.add(torch.get_num_threads())
            return super().forward(x)

    def module(_):
        layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 10)
        return Watched(*layers)

    before, cache = torch.get_num_threads(), tmp_path / "proxies.jsonl"
    torch.set_num_threads(2)
    try:
        found = candidates.computed(
            "watched", ["one"], module, lambda _: (8, 4), names=["naswot"], cache=cache
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert seen == {1} and np.isfinite(found["NASWOT"]).all()
