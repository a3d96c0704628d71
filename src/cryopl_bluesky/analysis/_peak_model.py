"""A sum of lines of one shape on a polynomial background, as a function of one parameter vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._checks import Floats
from ._line_shapes import HAS_GAUSS, HAS_OTHER, Shape, shares
from .units import HC_EV_NM


@dataclass(frozen=True)
class PeakModel:
    """Which parameters there are and where they stand.

    The vector holds: centres in eV (only the first one, if separations are given), areas in counts, logarithms of the
    Gaussian widths, logarithms of the other widths, coefficients of the background in counts per pixel.

    Attributes:
        shape: Shape of every line.
        peaks: Number of lines.
        degree: Degree of the background polynomial.
        share_width: Whether all lines have one Gaussian width (one Lorentzian width, if there is no Gaussian).
        instrument_fwhm_nm: Gaussian width of the instrument, part of every line; 0 for none.
        separations_eV: Fixed distances of the other centres from the first.
    """

    shape: Shape
    peaks: int
    degree: int = 0
    share_width: bool = False
    instrument_fwhm_nm: float = 0.0
    separations_eV: tuple[float, ...] | None = None

    @property
    def _numbers(self) -> tuple[int, int, int]:
        """Number of centres, Gaussian widths and other widths."""
        centres = 1 if self.separations_eV is not None else self.peaks
        gauss = (1 if self.share_width else self.peaks) if HAS_GAUSS[self.shape] else 0
        shared_other = self.share_width and not HAS_GAUSS[self.shape]
        other = (1 if shared_other else self.peaks) if HAS_OTHER[self.shape] else 0
        return centres, gauss, other

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(self._numbers) + self.peaks + self.degree + 1

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        centres, gauss, other = self._numbers
        return (
            *(f"centre_eV_{k}" for k in range(centres)),
            *(f"area_{k}" for k in range(self.peaks)),
            *(f"ln_gauss_fwhm_eV_{k}" for k in range(gauss)),
            *(f"ln_{'tail' if HAS_GAUSS[self.shape] and self.shape != 'voigt' else 'lorentz_fwhm'}_eV_{k}"
              for k in range(other)),
            *(f"background_{k}" for k in range(self.degree + 1)),
        )

    def places(self, k: int) -> tuple[int, int, int | None, int | None]:
        """Where centre, area, Gaussian and other width of line k stand in the vector."""
        centres, gauss, other = self._numbers
        first_gauss = centres + self.peaks
        first_other = first_gauss + gauss
        return (
            min(k, centres - 1),
            centres + k,
            first_gauss + min(k, gauss - 1) if gauss else None,
            first_other + min(k, other - 1) if other else None,
        )

    @property
    def widths(self) -> slice:
        """Where the logarithms of widths stand."""
        centres, gauss, other = self._numbers
        return slice(centres + self.peaks, centres + self.peaks + gauss + other)

    @property
    def background(self) -> slice:
        """Where the background stands."""
        return slice(self.size - self.degree - 1, self.size)

    def line(self, theta: Floats, k: int) -> tuple[float, float, float, float]:
        """Centre, area, Gaussian width and other width of line k; widths without the instrument, 0 for none."""
        centre, area, gauss, other = self.places(k)
        apart = 0.0 if self.separations_eV is None or k == 0 else self.separations_eV[k - 1]
        return (
            float(theta[centre] + apart),
            float(theta[area]),
            0.0 if gauss is None else float(np.exp(theta[gauss])),
            0.0 if other is None else float(np.exp(theta[other])),
        )

    def vector(self, lines: Sequence[tuple[float, float, float, float]], background: float) -> Floats:
        """Parameter vector of lines (as `line` gives them) on a flat background; shared widths are averaged."""
        theta, weights = np.zeros(self.size), np.zeros(self.size)
        for k, (centre, area, gauss, other) in enumerate(lines):
            places = self.places(k)
            values = (centre, area, np.log(max(gauss, 1e-12)), np.log(max(other, 1e-12)))
            for i, (place, value) in enumerate(zip(places, values, strict=True)):
                if place is None or (i == 0 and k > 0 and self.separations_eV is not None):
                    continue
                theta[place] += value
                weights[place] += 1.0
        theta[weights > 0] /= weights[weights > 0]
        theta[self.background.start] = background
        return theta

    def evaluate(self, theta: Floats, edges: Floats) -> tuple[Floats, Floats]:
        """Expected counts per pixel, (W,), and their derivatives, (W, p)."""
        pixels = edges.size - 1
        jacobian = np.zeros((pixels, self.size))
        position = np.linspace(-1.0, 1.0, pixels)
        jacobian[:, self.background] = position[:, None] ** np.arange(self.degree + 1)
        expected = jacobian[:, self.background] @ theta[self.background]
        for k in range(self.peaks):
            at_centre, at_area, at_gauss, at_other = self.places(k)
            centre, area, gauss, other = self.line(theta, k)
            total = np.hypot(gauss, self.instrument_eV(centre))
            share, by_centre, by_gauss, by_other = shares(self.shape, edges, centre, total, other)
            expected += area * share
            jacobian[:, at_centre] += area * by_centre
            jacobian[:, at_area] += share
            if at_gauss is not None:
                jacobian[:, at_gauss] += area * by_gauss * (gauss / total) ** 2
            if at_other is not None:
                jacobian[:, at_other] += area * by_other
        return expected, jacobian

    def instrument_eV(self, centre_eV: float) -> float:
        """Width of the instrument at a photon energy: hc dlambda/lambda^2."""
        return self.instrument_fwhm_nm * centre_eV**2 / HC_EV_NM
