"""Argument checks like those of the vendor's binding (`facts/swabian.md` section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

_INT32 = 2**31
_INT64 = 2**63


def integer(value: Any, function: str, position: int, *, bits: int = 64) -> int:
    """An integer: ints, numpy ints and integral floats are accepted.

    Raises:
        TypeError: not a number.
        OverflowError: a fraction, or it does not fit into `bits`.
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    kind = "int" if bits == 32 else "long long"
    if not isinstance(value, (int, np.integer)):
        raise TypeError(f"in method '{function}', argument {position} of type '{kind}'")
    limit = _INT32 if bits == 32 else _INT64
    if not -limit <= int(value) < limit:
        raise OverflowError(f"in method '{function}', argument {position} of type '{kind}'")
    return int(value)


def integers(values: Any, function: str, position: int) -> list[int]:
    """A list of channels: list, tuple or array of integers.

    Raises:
        TypeError: a single number, a text, or something else in the list.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"in method '{function}', argument {position} of type '_IntVector'")
    return [integer(value, function, position, bits=32) for value in values]


def number(value: Any, function: str, position: int) -> float:
    """A floating-point number.

    Raises:
        TypeError: not a number.
    """
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"in method '{function}', argument {position} of type 'double'")
    return float(value)
