"""Memoized: an lru_cache for functions that read files, whose relative paths depend on the current folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def memoized(most: int) -> Callable[[Function], Function]:
    """A decorator that remembers the last `most` results of a function, by its arguments and the current folder."""

    def decorate(function: Function) -> Function:
        @lru_cache(maxsize=most)
        def cached(folder: str, *arguments: Any, **named: Any) -> Any:
            return function(*arguments, **named)

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            return cached(os.getcwd(), *arguments, **named)

        call.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate
