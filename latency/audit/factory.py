"""The module that a user names as `package.module:factory`. What is named is code of others: it
may fail, exit, print or wait for a person in any way."""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import Any

from latency.audit.graph import FOREIGN_ERRORS, first_line, quiet
from space.common.errors import AuditError
from space.common.text import shorten


def build_factory(model: str) -> Any:
    """The module that `package.module:factory` is, or returns when called without arguments.

    Raises:
        ValueError: nothing is called so, or it gives no module; the message says why.
        AuditError: it cannot be imported or called.
    """
    import torch

    name, _, attribute = model.partition(":")
    found = _find(name, attribute)
    if not isinstance(found, torch.nn.Module):
        _check_callable(model, found)
        found = _call(model, found)
    if not isinstance(found, torch.nn.Module):
        raise ValueError(f"{model} must give a torch.nn.Module; it gives {type(found).__name__}")
    return found


def _find(name: str, attribute: str) -> Any:
    model = f"{name}:{attribute}"
    words = attribute.split(".")
    if not all(word.isidentifier() for word in (*name.split("."), *words)):
        raise ValueError(f"MODEL must be package.module:factory; got {shorten(model)}")
    with quiet():
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = error.name or name
            if name == missing or name.startswith(f"{missing}."):
                raise ValueError(f"{model}: no module named {missing!r}") from None
            raise ValueError(f"{model}: {name} needs {missing!r}: install it") from None
        except FOREIGN_ERRORS as error:
            raise AuditError(f"{name} cannot be imported: {first_line(error)}") from None
        for word in words:
            try:
                found = getattr(found, word)
            except AttributeError:
                raise ValueError(
                    f"{model}: {getattr(found, '__name__', name)} has no {word!r}"
                    + _near(word, found)
                ) from None
            except FOREIGN_ERRORS as error:
                raise AuditError(f"{model} cannot be loaded: {first_line(error)}") from None
    return found


def _near(word: str, owner: Any) -> str:
    try:
        near = difflib.get_close_matches(word, dir(owner))
    except FOREIGN_ERRORS:
        return ""
    return f"; near: {', '.join(near)}" if near else ""


def _check_callable(model: str, factory: Any) -> None:
    """Refuse what gives no module before it is called: `os:fork`, `sys:exit` and
    `subprocess:Popen` do harm, `builtins:input` waits."""
    import torch

    if not callable(factory):
        raise ValueError(f"{model} must be a class or function; it is {type(factory).__name__}")
    if inspect.isbuiltin(factory):
        raise ValueError(f"{model} must give a torch.nn.Module; it is a function of Python itself")
    if inspect.isclass(factory) and not issubclass(factory, torch.nn.Module):
        raise ValueError(
            f"{model} must be a torch.nn.Module, or a function that gives one; it is another class"
        )
    if required := _required(factory):
        raise ValueError(
            f"{model} needs arguments ({', '.join(required)}): write a function without any that "
            "calls it"
        )


def _required(factory: Any) -> list[str]:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except FOREIGN_ERRORS:
        return []  # it has none that can be read: the call will tell
    return [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def _call(model: str, factory: Any) -> Any:
    with quiet():
        try:
            made = factory()
            if inspect.iscoroutine(made):
                made.close()  # or Python warns that nobody awaits it
        except FOREIGN_ERRORS as error:
            raise AuditError(f"{model} cannot be called: {first_line(error)}") from None
    return made
