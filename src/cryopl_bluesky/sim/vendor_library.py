"""A vendor's C library made of Python functions: ctypes callbacks that can be loaded in place of a DLL.

The rules that the callbacks must follow are those of facts/andor.md section 2.1.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Mapping
from typing import Any

log = logging.getLogger(__name__)

_loaded: list[VendorLibrary] = []  # C threads may still hold addresses of callbacks, so these are never freed


class VendorError(Exception):
    """A function of the library returns this error code."""

    def __init__(self, code: int):
        self.code = code
        super().__init__(f"error code {code}")


class VendorLibrary:
    """Object with one C function pointer per function of the library.

    Args:
        functions: Python functions by C name. They return nothing for success, or raise `VendorError`.
        prototypes: ctypes argument types by C name; functions without prototype are not exported.
        restype: C type of the error code.
        success: code for success.
        failure: code to return when a function fails with any other exception.
    """

    def __init__(
        self, functions: Mapping[str, Callable[..., None]], prototypes: Mapping[str, tuple[Any, ...]], *,
        restype: Any, success: int, failure: int,
    ):
        self._functions = dict(functions)
        self._success, self._failure = success, failure
        for name, argtypes in prototypes.items():
            pointer = ctypes.CFUNCTYPE(restype, *argtypes)(self._entry(name))
            pointer.__name__ = name
            setattr(self, name, pointer)
        _loaded.append(self)

    def unplug(self) -> None:
        """Let every function fail from now on, and let go of the instrument behind them."""
        self._functions.clear()

    def _entry(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            try:
                function = self._functions.get(name)
                if function is None:
                    return self._failure
                function(*arguments)
            except VendorError as error:
                return error.code
            except Exception:
                log.exception("%s failed", name)
                return self._failure
            return self._success

        return call
