"""Argument checks like those of the vendor's binding (`facts/swabian.md` section 2, `tests/contract`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

# Smallest value, one above the largest, and what a fraction raises.
_KINDS: dict[str, tuple[int, int, type[Exception]]] = {
    "int": (-(2**31), 2**31, TypeError),
    "int32_t": (-(2**31), 2**31, TypeError),
    "long long": (-(2**63), 2**63, OverflowError),
    "uint64_t": (0, 2**64, TypeError),
}


def integer(value: Any, function: str, position: int, kind: str = "long long") -> int:
    """An integer: ints, numpy ints and integral floats are accepted.

    Args:
        value: what was passed.
        function: name of the vendor's C function, for the message.
        position: position of the argument, counted from 1.
        kind: C type of the argument.

    Returns:
        The value.

    Raises:
        TypeError: not a number, or a fraction for a type that does not take one.
        OverflowError: it does not fit, or a fraction for a 64-bit integer.
    """
    low, above, fraction_error = _KINDS[kind]
    message = f"in method '{function}', argument {position} of type '{kind}'"
    if isinstance(value, (float, np.floating)):
        if not float(value).is_integer():
            raise fraction_error(message)
        value = int(value)
    if not isinstance(value, (int, np.integer)):
        raise TypeError(message)
    if not low <= int(value) < above:
        raise OverflowError(message)
    return int(value)


def integers(values: Any, function: str, position: int) -> list[int]:
    """A list of channels: list, tuple or array of integers.

    Raises:
        TypeError: a single number, a text, or something else in the list.
    """
    message = f"in method '{function}', argument {position} of type 'std::vector< int >'"
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(message)
    try:
        return [integer(value, function, position, "int") for value in values]
    except OverflowError as error:
        raise TypeError(message) from error


def number(value: Any, function: str, position: int) -> float:
    """A floating-point number.

    Raises:
        TypeError: not a number.
    """
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__"):
        raise TypeError(f"in method '{function}', argument {position} of type 'double'")
    return float(value)
