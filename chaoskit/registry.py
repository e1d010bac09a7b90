"""Finds the actions and the checks: the modules of a package, and what other distributions offer by entry point."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TypeVar

from chaoskit.errors import UsageError

T = TypeVar("T")


def discover(package: str, path: Iterable[str], kind: type[T], name: Callable[[type[T]], str]) -> dict[str, type[T]]:
    """Every class of `kind` by its name. UsageError if two carry the same name."""
    found: dict[str, type[T]] = {}
    for item in _offered(package, path, kind):
        key = name(item)
        if key in found and found[key] is not item:
            raise UsageError(
                f"two of {package} are called {key!r}",
                where=item.__module__,
                why=f"the other one is in {found[key].__module__}",
                fix="uninstall one of them",
            )
        found[key] = item
    return dict(sorted(found.items()))


def _offered(package: str, path: Iterable[str], kind: type[T]) -> Iterator[type[T]]:
    for module in pkgutil.iter_modules(path):
        yield from _classes(importlib.import_module(f"{package}.{module.name}"), kind)
    for entry in entry_points(group=package):
        yield _loaded(entry, kind)


def _loaded(entry: EntryPoint, kind: type[T]) -> type[T]:
    """What another distribution offers. Importing it may raise anything: it becomes an error that names it."""
    try:
        item = entry.load()
    except Exception as error:  # the border to somebody else's module
        raise UsageError(
            f"{entry.group}: {entry.name!r} cannot be imported",
            where=entry.value,
            why=f"{type(error).__name__}: {error}",
            fix=f"uninstall or mend {entry.dist.name if entry.dist else 'the distribution that offers it'}",
        ) from error
    if not (isinstance(item, type) and issubclass(item, kind)):
        raise UsageError(f"{entry.group}: {entry.name!r} is no {kind.__name__}", where=entry.value)
    return item


def _classes(module: ModuleType, kind: type[T]) -> Iterator[type[T]]:
    for item in vars(module).values():
        if isinstance(item, type) and issubclass(item, kind) and item.__module__ == module.__name__:
            yield item
