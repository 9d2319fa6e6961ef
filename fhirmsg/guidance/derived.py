"""`derived`: a fact worked out on first use and kept for the life of its object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class derived(Generic[T]):
    """As functools.cached_property, without the lock that Python 3.11 takes for each first use.

    Two threads may work a fact out twice; it comes out the same, since facts are frozen.
    """

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        """Derive a fact with this function of its object."""
        self._work_out = work_out
        self.__doc__ = work_out.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        """Keep the fact under the name it is asked for."""
        self._name = name

    @overload
    def __get__(self, holder: None, owner: type) -> derived[T]: ...

    @overload
    def __get__(self, holder: object, owner: type) -> T: ...

    def __get__(self, holder: object | None, owner: type) -> T | derived[T]:
        """Work the fact out; later reads find it on the object itself."""
        if holder is None:
            return self
        fact = holder.__dict__[self._name] = self._work_out(holder)
        return fact
