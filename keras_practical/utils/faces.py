"""Faces that import nothing until a name of theirs is asked for (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_face(
    package: str, rooms: Mapping[str, Sequence[str]], *, also: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package that shows names of its modules.

    Args:
        package: The package's `__name__`.
        rooms: For each module, by its path below `keras_practical`, the names to show. An empty
            path stands for the package's own modules.
        also: What the package defines by itself.

    Returns:
        The two functions. A name is imported when it is first asked for, and kept.

    Example:

    >>> get, names = lazy_face("keras_practical.utils", {"utils.checks": ["check_count"]})
    >>> names(), get("check_count").__name__
    (['check_count'], 'check_count')
    """
    modules = {name: module for module, names in rooms.items() for name in names}

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if not modules[name]:
            return import_module(f"{package}.{name}")
        value = getattr(import_module(f"keras_practical.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted([*modules, *also])

    return get, names
