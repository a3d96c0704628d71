"""Refusal of bad input: every message says which argument, what is wrong, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class AnalysisError(ValueError):
    """Input that an analysis function refuses to turn into a number."""


class FitError(AnalysisError):
    """A fit that did not yield a trustworthy number (no curvature, touched a bound, no signal)."""


def finite_array(name: str, values: ArrayLike, ndim: int | None = None) -> Floats:
    """Return `values` as float64 after checking shape and finiteness.

    Args:
        name: Name of the argument, for the message.
        values: Any numbers.
        ndim: Number of dimensions demanded, or None for any.

    Raises:
        AnalysisError: Wrong number of dimensions, empty, or NaN/infinite entries.
    """
    array = np.asarray(values, dtype=np.float64)
    if ndim is not None and array.ndim != ndim:
        raise AnalysisError(f"{name} must have {ndim} dimension(s), but its shape is {array.shape}.")
    if array.size == 0:
        raise AnalysisError(f"{name} is empty; give at least one value.")
    bad = ~np.isfinite(array)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise AnalysisError(
            f"{name} holds {int(bad.sum())} NaN or infinite value(s), first at index {where}; "
            "cut them out (and their partners on the axis) before the analysis."
        )
    return array


def count_array(name: str, values: ArrayLike, ndim: int = 1) -> Floats:
    """Return photon counts as float64: finite, not negative.

    Raises:
        AnalysisError: As `finite_array`, or a negative entry (background-subtracted data).
    """
    array = finite_array(name, values, ndim)
    if (array < 0).any():
        where = tuple(int(i) for i in np.argwhere(array < 0)[0])
        raise AnalysisError(
            f"{name} is negative at index {where} ({array[where]:g}); give raw photon counts, "
            "the background belongs into the model."
        )
    return array


def same_shape(first: str, a: NDArray[Any], second: str, b: NDArray[Any]) -> None:
    """Raise AnalysisError unless the two named arrays have the same shape."""
    if a.shape != b.shape:
        raise AnalysisError(f"{first} has shape {a.shape} but {second} has {b.shape}; they must agree.")


def positive(name: str, value: float, remedy: str = "") -> float:
    """Return `value` as float, or raise AnalysisError if it is not finite and above zero."""
    if not (np.isfinite(value) and value > 0):
        raise AnalysisError(f"{name} is {value!r} but must be a finite number above zero. {remedy}".rstrip())
    return float(value)


def fraction(name: str, value: float) -> float:
    """Return `value`, or raise AnalysisError if it is not in (0, 1]."""
    if not (np.isfinite(value) and 0 < value <= 1):
        raise AnalysisError(f"{name} is {value!r} but must lie above 0 and at most at 1.")
    return float(value)
