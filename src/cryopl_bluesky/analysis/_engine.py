"""Compiled kernels or the plain ones, which give the same numbers."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

from ._checks import AnalysisError

Engine = Literal["auto", "numba", "numpy"]


def kernels_of(stem: str, engine: Engine) -> Any:
    """The module `_<stem>_numba` or `_<stem>_numpy` of this package.

    Args:
        stem: what the kernels are for.
        engine: "auto" takes numba if it can be imported.

    Raises:
        AnalysisError: Unknown engine, or numba was asked for and cannot be imported.
    """
    if engine not in ("auto", "numba", "numpy"):
        raise AnalysisError(f"engine is {engine!r} but must be 'auto', 'numba' or 'numpy'.")
    if engine != "numpy":
        try:
            return import_module(f"._{stem}_numba", __package__)
        except ImportError as error:
            if engine == "numba":
                raise AnalysisError(
                    f"engine 'numba' cannot be imported ({error}); install numba, or use engine 'numpy'."
                ) from error
    return import_module(f"._{stem}_numpy", __package__)
