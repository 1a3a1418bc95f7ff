"""One registry per kind of thing. Adding a thing is adding one file to its package."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from utils.errors import unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to things of one kind.

    Every module of `package` is imported at the first look-up, and registers what it defines with the decorator.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._things: dict[str, T] = {}
        self._complete = False

    def register(self, name: str) -> Callable[[T], T]:
        def add(thing: T) -> T:
            if self._things.setdefault(name, thing) is not thing:
                raise ValueError(f"two {self.kind}s are named {name!r}")
            return thing

        return add

    def replace(self, name: str, thing: T) -> None:
        """Registers a thing, also in place of another one of its name."""
        self._things[name] = thing

    def __getitem__(self, name: str) -> T:
        if name not in self.names():
            raise unknown_name(self.kind, name, self.names())
        return self._things[name]

    def __contains__(self, name: str) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def names(self) -> list[str]:
        if not self._complete:
            modules = pkgutil.iter_modules(importlib.import_module(self.package).__path__)
            for module in (module for module in modules if not module.ispkg):
                importlib.import_module(f"{self.package}.{module.name}")
            self._complete = True
        return sorted(self._things)
