"""What is done in one place only: statistics, progress, tables, files, dates, stderr."""

from __future__ import annotations

import ast

import pytest

from tests.architecture import house
from tests.architecture.house import MODULES

COMMON = "space.common."
# A device gets `latency.ondevice` without the rest of the project.
ON_DEVICE = "latency.ondevice."
PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "rank correlations": (("spearmanr", "kendalltau"), (COMMON + "stats",)),
    "progress bars": (("rich.progress",), (COMMON + "progress",)),
    "tables": (("rich",), (COMMON + "text", COMMON + "progress")),
    "versions": (
        ("importlib.metadata", "platform.python_version"),
        (COMMON + "provenance", "latency.devices.wheels", ON_DEVICE),
    ),
    "files": (
        ("fsync", "mkstemp", "NamedTemporaryFile"),
        (COMMON + "files", COMMON + "jsonl", ON_DEVICE),
    ),
    "stderr": (("sys.stderr",), (COMMON + "cli", COMMON + "progress", ON_DEVICE)),
    "dates": (
        ("datetime.now", "datetime.datetime.now", "utcnow", "date.today", "strftime", "localtime"),
        (COMMON + "provenance",),
    ),
    # the error alone, which torch raises with weights_only=True
    "pickles": (
        ("pickle", "cPickle", "marshal", "shelve", "joblib"),
        ("evaluator.training.weights.state",),
    ),
}


@pytest.mark.parametrize("what", PLACES)
def test_one_place(what: str) -> None:
    names, homes = PLACES[what]
    found = {
        m: house.uses(p, *names) for m, p in MODULES.items() if not m.startswith(homes or "-")
    }
    assert house.places(found) == ""


@pytest.mark.parametrize("what", [what for what, (_, homes) in PLACES.items() if homes])
def test_the_places_do_it(what: str) -> None:
    """Or the names above are out of date."""
    names, homes = PLACES[what]
    assert any(house.uses(p, *names) for m, p in MODULES.items() if m.startswith(homes))


def is_loader(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load")


def is_safe(call: ast.Call) -> bool:
    """`weights_only=True`; numpy's default refuses pickles."""
    options = {word.arg: ast.unparse(word.value) for word in call.keywords}
    if ast.unparse(call.func) == "torch.load":
        return options.get("weights_only") == "True"
    return options.get("allow_pickle", "False") == "False"


def test_nothing_is_unpickled() -> None:
    found = {}
    for module, path in MODULES.items():
        calls = [node for node in house.nodes(path) if is_loader(node)]
        found[module] = [c.lineno for c in calls if isinstance(c, ast.Call) and not is_safe(c)]
    assert house.places(found) == ""


def test_an_unsafe_call_is_found() -> None:
    for text, safe in {
        "torch.load(path)": False,
        "torch.load(path, weights_only=True)": True,
        "np.load(path, allow_pickle=True)": False,
        "np.load(path)": True,
    }.items():
        call = ast.parse(text, mode="eval").body
        assert is_loader(call)
        assert isinstance(call, ast.Call)
        assert is_safe(call) == safe
