"""Where a function of one number changes its sign."""

from __future__ import annotations

from collections.abc import Callable

from scipy.optimize import brentq


def root(function: Callable[[float], float], one: float, other: float, tolerance: float) -> float:
    """The root between two numbers at which `function` has opposite signs, within `tolerance` (Brent's method)."""
    # the stubs of scipy also know the form that returns details
    return float(brentq(function, one, other, xtol=tolerance))  # pyright: ignore[reportArgumentType]
