"""Lines of area 1 in photon energy, integrated over each pixel, with their derivatives.

A shape takes the edges of the pixels in eV, (W + 1,), ascending, and gives the share of the line in each pixel and the
derivatives of these shares with respect to the centre and to the logarithms of its two widths. Widths are `gauss` (FWHM
of the Gaussian part) and `other` (FWHM of the Lorentzian part, or decay constant of the exponential tail).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import erfcx, ndtr, wofz

from ._checks import Floats
from .units import FWHM_PER_SIGMA

Shape = Literal["gaussian", "lorentzian", "voigt", "emg_low", "emg_high"]
"""emg: exponentially modified Gaussian with its tail towards low or high energy."""

HAS_GAUSS: dict[Shape, bool] = {
    "gaussian": True, "lorentzian": False, "voigt": True, "emg_low": True, "emg_high": True
}
HAS_OTHER: dict[Shape, bool] = {
    "gaussian": False, "lorentzian": True, "voigt": True, "emg_low": True, "emg_high": True
}

Shares = tuple[Floats, Floats, Floats, Floats]
"""Share per pixel, and its derivatives by centre, ln(gauss), ln(other); zero where there is no such width."""

_FEW, _MANY = np.polynomial.legendre.leggauss(2), np.polynomial.legendre.leggauss(5)


def shares(shape: Shape, edges: Floats, centre: float, gauss: float, other: float) -> Shares:
    """Share of the line in each pixel and its derivatives.

    Args:
        shape: Which.
        edges: Edges of the pixels in eV, ascending, (W + 1,).
        centre: Centre in eV; of the Gaussian part for an exponentially modified Gaussian.
        gauss: FWHM of the Gaussian part in eV; 0 if there is none.
        other: FWHM of the Lorentzian part or decay constant of the tail in eV; 0 if there is none.
    """
    if shape in ("emg_low", "emg_high"):
        return _emg(edges, centre, gauss / FWHM_PER_SIGMA, other, -1.0 if shape == "emg_low" else 1.0)
    if other == 0.0:
        return _gaussian(edges, centre, gauss / FWHM_PER_SIGMA)
    if gauss == 0.0:
        return _lorentzian(edges, centre, other)
    return _voigt(edges, centre, gauss / FWHM_PER_SIGMA, 0.5 * other)


def _normal(u: Floats) -> Floats:
    return np.exp(-0.5 * u**2) / np.sqrt(2.0 * np.pi)


def _gaussian(edges: Floats, centre: float, sigma: float) -> Shares:
    u = (edges - centre) / sigma
    phi = _normal(u)
    return np.diff(ndtr(u)), -np.diff(phi) / sigma, -np.diff(u * phi), np.zeros(edges.size - 1)


def _lorentzian(edges: Floats, centre: float, fwhm: float) -> Shares:
    u = 2.0 * (edges - centre) / fwhm
    density = 1.0 / (np.pi * (1.0 + u**2))
    return (
        np.diff(np.arctan(u)) / np.pi, -2.0 * np.diff(density) / fwhm, np.zeros(edges.size - 1), -np.diff(u * density)
    )


def _voigt(edges: Floats, centre: float, sigma: float, gamma: float) -> Shares:
    """By Gauss-Legendre quadrature of the Faddeeva function over each pixel."""
    half = 0.5 * np.diff(edges)
    # two points are good to 1e-5 of the maximum for lines wider than 5 pixels
    nodes, weights = _FEW if max(sigma * FWHM_PER_SIGMA, 2.0 * gamma) > 10.0 * half.max() else _MANY
    energy = 0.5 * (edges[1:] + edges[:-1])[:, None] + half[:, None] * nodes
    z = (energy - centre + 1j * gamma) / (sigma * np.sqrt(2.0))
    w = wofz(z)
    slope = -2.0 * z * w + 2j / np.sqrt(np.pi)
    norm = 1.0 / (sigma * np.sqrt(2.0 * np.pi))
    values = (
        w.real * norm,
        -slope.real * norm / (sigma * np.sqrt(2.0)),
        -(w.real + (slope * z).real) * norm,
        -slope.imag * norm * gamma / (sigma * np.sqrt(2.0)),
    )
    share, by_centre, by_gauss, by_other = (half * (value @ weights) for value in values)
    return share, by_centre, by_gauss, by_other


def _emg(edges: Floats, centre: float, sigma: float, tau: float, side: float) -> Shares:
    """Gaussian convolved with an exponential: F = Phi(u) - Q, Q = exp(s^2/2 - u s) Phi(u - s), s = sigma/tau."""
    u = side * (edges - centre) / sigma
    s = sigma / tau
    phi = _normal(u)
    far = s - u
    # exp(s^2/2 - u s) Phi(u - s) = phi(u) Phi(-far)/phi(far): by erfcx where the exponential would overflow
    q = np.where(
        far > -5.0,
        phi * np.sqrt(0.5 * np.pi) * erfcx(np.maximum(far, -5.0) / np.sqrt(2.0)),
        np.exp(np.minimum(0.5 * s**2 - u * s, 0.0)) * ndtr(-far),
    )
    cumulative = ndtr(u) - q
    return (
        side * np.diff(cumulative),
        -np.diff(q) / tau,
        side * np.diff(s * phi - s**2 * q),
        side * np.diff(s * (q * far - phi)),
    )
