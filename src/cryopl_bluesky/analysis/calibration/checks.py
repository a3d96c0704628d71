"""Sanity checks of calibrations: each says what it compared, with what limit, and what may be wrong.

Section 8 of the analysis conventions; limits are settings. Checks are stored and shown with the calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .._checks import AnalysisError, positive

SECOND_ORDER_FROM_NM = 850.0
"""Light of the long pass's edge, 425 nm, returns here in second order."""


@dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        name: What was checked.
        value: What was found.
        limit: What it must not exceed, or the value it must have; see `message`.
        ok: Whether it passed.
        message: Both numbers in words and, if it failed, what to look at.
    """

    name: str
    value: float
    limit: float
    ok: bool
    message: str

    def record(self) -> dict[str, Any]:
        """The check as plain JSON values."""
        return asdict(self)


def check_position(position_px: float, expected_px: float, limit_px: float = 2.0, *, what: str = "line") -> Check:
    """Whether a known line (or the zero order) lies at the pixel where the calibration has it."""
    off = _finite("position_px", position_px) - _finite("expected_px", expected_px)
    ok = abs(off) <= positive("limit_px", limit_px)
    text = f"{what} at pixel {position_px:.2f}, expected {expected_px:.2f} (limit {limit_px:g} px)"
    return Check("centre", abs(off), limit_px, ok, text + ("" if ok else ": read the axis again, or set the offset"))


def check_wavelength(measured_nm: float, reference_nm: float, limit_nm: float = 1.0, *, what: str = "line") -> Check:
    """Whether a filter edge, the laser or a lamp line has its wavelength."""
    off = positive("measured_nm", measured_nm) - positive("reference_nm", reference_nm)
    ok = abs(off) <= positive("limit_nm", limit_nm)
    text = f"{what} at {measured_nm:.3f} nm, reference {reference_nm:.3f} nm (limit {limit_nm:g} nm)"
    return Check("absolute", abs(off), limit_nm, ok, text + ("" if ok else ": calibrate the wavelength axis"))


def check_second_order(longest_nm: float, limit_nm: float = SECOND_ORDER_FROM_NM) -> Check:
    """Whether the axis reaches to where second order of visible light falls."""
    ok = positive("longest_nm", longest_nm) <= limit_nm
    text = f"axis ends at {longest_nm:.1f} nm (limit {limit_nm:g} nm)"
    more = f": light of {limit_nm / 2:g} nm and more appears there in second order; use an order filter"
    return Check("second order", longest_nm, limit_nm, ok, text + ("" if ok else more))


def check_time_axis(period_ns: float, repetition_rate_Hz: float, limit: float = 1e-4) -> Check:
    """Whether the period of the sync tags is that of the laser rate that was set."""
    expected_ns = 1e9 / positive("repetition_rate_Hz", repetition_rate_Hz)
    off = positive("period_ns", period_ns) / expected_ns - 1.0
    ok = abs(off) <= limit
    text = f"sync period {period_ns:.6g} ns, set rate gives {expected_ns:.6g} ns ({off:+.2e}, limit {limit:g})"
    more = ": wrong rate, a divided sync, or a filtered sync that skips pulses"
    return Check("time axis", abs(off), limit, ok, text + ("" if ok else more))


def check_length(nm_per_px: float, rel_err: float, lens_nm_per_px: float, limit_sigma: float = 3.0) -> Check:
    """Whether the scale by beads agrees with that by the focal lengths, in units of the beads' error."""
    error = positive("nm_per_px", nm_per_px) * positive("rel_err", rel_err, "Give the calibration's relative error.")
    sigma = abs(nm_per_px - positive("lens_nm_per_px", lens_nm_per_px)) / error
    ok = sigma <= limit_sigma
    text = f"beads {nm_per_px:.3f} +- {error:.3f} nm/px, lenses {lens_nm_per_px:.3f} nm/px ({sigma:.1f} sigma)"
    ratio = nm_per_px / lens_nm_per_px
    more = f": ratio {ratio:.3g}; another relay (factor 4) or binning than stated?"
    return Check("length", sigma, limit_sigma, ok, text + ("" if ok else more))


def check_header(found: Mapping[str, object], configured: Mapping[str, object]) -> tuple[Check, ...]:
    """Compare what a file says of its instrument (model, grating, centre, pixel, port) with the configuration.

    Any difference is an error; numbers are the same within 1e-4 (lines/mm and nm are stored as float32).

    Raises:
        AnalysisError: The two have no key in common.
    """
    common = [key for key in configured if key in found]
    if not common:
        raise AnalysisError(f"found ({', '.join(found) or 'nothing'}) and configured have no key in common.")
    checks = []
    for key in common:
        theirs, ours = found[key], configured[key]
        if isinstance(theirs, int | float) and isinstance(ours, int | float):
            ok = bool(np.isclose(theirs, ours, rtol=1e-4, atol=0.0))
        else:
            ok = theirs == ours
        text = f"{key}: file says {theirs!r}, configuration {ours!r}"
        checks.append(Check(f"header {key}", float(not ok), 0.0, ok, text + ("" if ok else "; one of them is wrong")))
    return tuple(checks)


def _finite(name: str, value: float) -> float:
    if not np.isfinite(value):
        raise AnalysisError(f"{name} is {value!r} but must be a finite number.")
    return float(value)
