"""Numbers of a fitted line with errors by linear propagation: centre, maximum, widths, area."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import erfcx, ndtr

from ._checks import Floats
from ._line_shapes import HAS_GAUSS, HAS_OTHER, Shape
from ._peak_model import PeakModel
from .units import FWHM_PER_SIGMA, HC_EV_NM


@dataclass(frozen=True)
class Peak:
    """One fitted line. Widths are without the instrument's, if that was given.

    Attributes:
        centre_eV: Centre in S_E (of the Gaussian part for an exponentially modified Gaussian).
        centre_eV_err: Standard error.
        maximum_eV: Energy of the maximum of the line; equals the centre for symmetric shapes.
        maximum_eV_err: Standard error.
        fwhm_eV: Full width at half maximum (Voigt: Olivero and Longbothum, 0.02 %).
        fwhm_eV_err: Standard error.
        area: Counts in the line.
        area_err: Standard error.
        gauss_fwhm_eV: Width of the Gaussian part, or None.
        gauss_fwhm_eV_err: Standard error.
        lorentz_fwhm_eV: Width of the Lorentzian part, or None.
        lorentz_fwhm_eV_err: Standard error.
        tail_eV: Decay constant of the exponential tail, or None.
        tail_eV_err: Standard error.
    """

    centre_eV: float
    centre_eV_err: float
    maximum_eV: float
    maximum_eV_err: float
    fwhm_eV: float
    fwhm_eV_err: float
    area: float
    area_err: float
    gauss_fwhm_eV: float | None = None
    gauss_fwhm_eV_err: float | None = None
    lorentz_fwhm_eV: float | None = None
    lorentz_fwhm_eV_err: float | None = None
    tail_eV: float | None = None
    tail_eV_err: float | None = None

    @property
    def centre_nm(self) -> float:
        """Vacuum wavelength of the centre (air, if the axis was air and not converted)."""
        return HC_EV_NM / self.centre_eV


def voigt_fwhm(lorentz_fwhm: float, gauss_fwhm: float) -> float:
    """FWHM of a Voigt profile, 0.5346 f_L + sqrt(0.2166 f_L^2 + f_G^2) (Olivero and Longbothum; 0.02 %)."""
    return float(0.5346 * lorentz_fwhm + np.sqrt(0.2166 * lorentz_fwhm**2 + gauss_fwhm**2))


def peaks_of(model: PeakModel, theta: Floats, covariance: Floats) -> list[Peak]:
    """The lines of a fit."""
    return [_peak(model, theta, covariance, k) for k in range(model.peaks)]


def _peak(model: PeakModel, theta: Floats, covariance: Floats, k: int) -> Peak:
    centre, area, gauss, other = model.line(theta, k)
    places = model.places(k)
    offset, fwhm = _offset_and_fwhm(model.shape, gauss, other)
    centre_err, area_err = (float(np.sqrt(covariance[place, place])) for place in places[:2] if place is not None)
    # gradients of (maximum, fwhm) by the parameters of this line
    used = [place for place in (places[0], places[2], places[3]) if place is not None]
    gradients = np.zeros((2, len(used)))
    gradients[0, 0] = 1.0
    step = 1e-4
    for i, place in enumerate(used[1:], start=1):
        factor_gauss = np.exp(step) if place == places[2] else 1.0
        factor_other = np.exp(step) if place == places[3] else 1.0
        up = _offset_and_fwhm(model.shape, gauss * factor_gauss, other * factor_other)
        down = _offset_and_fwhm(model.shape, gauss / factor_gauss, other / factor_other)
        gradients[:, i] = (np.array(up) - np.array(down)) / (2.0 * step)
    block = covariance[np.ix_(used, used)]
    maximum_err, fwhm_err = np.sqrt(np.einsum("ij,jk,ik->i", gradients, block, gradients))
    relative = [None if place is None else float(np.sqrt(covariance[place, place])) for place in places[2:]]
    has_tail = model.shape in ("emg_low", "emg_high")
    part = (other, None if relative[1] is None else other * relative[1]) if HAS_OTHER[model.shape] else (None, None)
    return Peak(
        centre_eV=centre,
        centre_eV_err=centre_err,
        maximum_eV=centre + offset,
        maximum_eV_err=float(maximum_err),
        fwhm_eV=fwhm,
        fwhm_eV_err=float(fwhm_err),
        area=area,
        area_err=area_err,
        gauss_fwhm_eV=gauss if HAS_GAUSS[model.shape] else None,
        gauss_fwhm_eV_err=None if relative[0] is None else gauss * relative[0],
        lorentz_fwhm_eV=None if has_tail else part[0],
        lorentz_fwhm_eV_err=None if has_tail else part[1],
        tail_eV=part[0] if has_tail else None,
        tail_eV_err=part[1] if has_tail else None,
    )


def _offset_and_fwhm(shape: Shape, gauss: float, other: float) -> tuple[float, float]:
    """Distance of the maximum from the centre, and the width."""
    if shape in ("emg_low", "emg_high"):
        offset, fwhm = _emg_top(gauss / FWHM_PER_SIGMA, other)
        return (-offset if shape == "emg_low" else offset), fwhm
    return 0.0, voigt_fwhm(other, gauss)


def _emg_top(sigma: float, tau: float) -> tuple[float, float]:
    """Position of the maximum and full width of a Gaussian with a tail to the right, by root finding."""
    s = sigma / tau

    def density(u: float) -> float:
        far = s - u
        if far > -5.0:
            return float(np.exp(-0.5 * u * u) * 0.5 * erfcx(far / np.sqrt(2.0)))
        return float(np.exp(0.5 * s * s - u * s) * ndtr(-far))

    # at the maximum the Gaussian itself crosses the line: phi(u) = s Q(u)
    norm = np.sqrt(2.0 * np.pi)
    top = _root(lambda u: float(np.exp(-0.5 * u * u)) / norm - s * density(u), -1.0, 1.0 + 1.0 / s)
    half = 0.5 * density(top)
    left = _root(lambda u: density(u) - half, top - 8.0, top)
    right = _root(lambda u: density(u) - half, top, top + 4.0 + 4.0 / s)
    return top * sigma, (right - left) * sigma


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    # the type stubs of scipy count the full output, which is not asked for
    return float(brentq(function, low, high, xtol=1e-12))  # pyright: ignore[reportArgumentType]
