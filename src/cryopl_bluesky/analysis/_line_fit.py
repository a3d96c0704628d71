"""Fit of one emission line: a Gaussian in photon energy over each pixel, plus a flat background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter1d
from scipy.optimize import least_squares
from scipy.special import ndtr

from ._checks import AnalysisError, FitError, Floats, count_array, finite_array, same_shape
from .units import FWHM_PER_SIGMA, HC_EV_NM, interval_nm_to_eV


def pixel_edges(wavelength_nm: ArrayLike) -> Floats:
    """Edges of the pixels, (W + 1,), from their centre wavelengths (half way between neighbours).

    Raises:
        AnalysisError: Fewer than 2 pixels, or an axis that does not rise or fall all the way.
    """
    axis = finite_array("wavelength_nm", wavelength_nm, 1)
    steps = np.diff(axis)
    if axis.size < 2 or not ((steps > 0).all() or (steps < 0).all()):
        raise AnalysisError(
            "wavelength_nm must rise (or fall) from pixel to pixel; read the axis with a grating in."
        )
    middle = 0.5 * (axis[1:] + axis[:-1])
    return np.concatenate([[axis[0] - 0.5 * steps[0]], middle, [axis[-1] + 0.5 * steps[-1]]])


@dataclass(frozen=True, eq=False)
class LineFit:
    """Result of `fit_line`.

    Attributes:
        peak_eV: Centre of the Gaussian in S_E.
        peak_eV_err: Standard error.
        fwhm_eV: Full width at half maximum as measured.
        fwhm_eV_err: Standard error.
        area: Counts in the line.
        area_err: Standard error.
        background: Counts per pixel below the line.
        background_err: Standard error.
        reduced_chi2: Chi square per degree of freedom; None when the variance was unknown.
        error_scale: Factor already applied to all errors: sqrt(reduced_chi2) where that is above 1 (the
            line is not exactly a Gaussian) or where the variance was unknown.
        intrinsic_fwhm_eV: Width with the instrument's removed in quadrature; None if no instrument width was
            given or the line is not wider than it.
        intrinsic_fwhm_eV_err: Its standard error, or None.
        wavelength_nm: Axis of the fit, (W,).
        expected: Fitted counts per pixel, (W,).
        notes: What a reader must know.
    """

    peak_eV: float
    peak_eV_err: float
    fwhm_eV: float
    fwhm_eV_err: float
    area: float
    area_err: float
    background: float
    background_err: float
    reduced_chi2: float | None
    error_scale: float
    intrinsic_fwhm_eV: float | None
    intrinsic_fwhm_eV_err: float | None
    wavelength_nm: Floats
    expected: Floats
    notes: tuple[str, ...] = ()

    @property
    def peak_nm(self) -> float:
        """Wavelength of the peak energy (not the maximum of S_lambda, which lies slightly to the blue)."""
        return HC_EV_NM / self.peak_eV


def fit_line(
    wavelength_nm: ArrayLike,
    counts: ArrayLike,
    variance: ArrayLike | None = None,
    *,
    instrument_fwhm_nm: float | None = None,
    exclude: NDArray[np.bool_] | None = None,
) -> LineFit:
    """Fit a Gaussian in photon energy plus a constant per pixel to the strongest line of a spectrum.

    Args:
        wavelength_nm: Pixel centres, rising or falling, (W,).
        counts: Photo-electrons per pixel, (W,); may be negative where there is only noise.
        variance: Variance per pixel, (W,): shot noise of the counts plus the rest. The shot noise is
            replaced by that of the fitted line, since weights from the noisy counts themselves would bias
            the fit. None if unknown (units unclear): the errors then come from the scatter of the
            residuals.
        instrument_fwhm_nm: Width of the instrument function (slit image), to be removed in quadrature.
        exclude: Pixels not to be fitted (saturated, defective), (W,).

    Returns:
        The fitted line.

    Raises:
        AnalysisError: Bad input.
        FitError: No line above the noise, a line at the edge of the range, or no convergence.
    """
    data = _Data.prepare(wavelength_nm, counts, variance, exclude)
    theta = data.start()
    weights = np.ones_like(data.counts)
    if data.variance is not None:  # nearly even weights first: the wings must not decide where the line is
        weights = 1.0 / np.sqrt(np.maximum(data.variance, 0.1 * data.variance.max()))
    theta, jacobian, residuals = data.solve(theta, weights)
    if data.variance is not None:
        for _ in range(3):
            rest = data.variance - np.maximum(data.counts, 0.0)
            weights = 1.0 / np.sqrt(np.maximum(rest + data.model(theta), data.floor))
            theta, jacobian, residuals = data.solve(theta, weights)
    return _result(data, theta, jacobian, residuals, instrument_fwhm_nm)


@dataclass(frozen=True, eq=False)
class _Data:
    """Pixels to be fitted, energies ascending; parameters are (peak, ln fwhm, area, background)."""

    energy: Floats
    low: Floats
    high: Floats
    counts: Floats
    variance: Floats | None
    axis_nm: Floats
    edges_nm: Floats

    @classmethod
    def prepare(
        cls,
        wavelength_nm: ArrayLike,
        counts: ArrayLike,
        variance: ArrayLike | None,
        exclude: NDArray[np.bool_] | None,
    ) -> _Data:
        axis = finite_array("wavelength_nm", wavelength_nm, 1)
        values = finite_array("counts", counts, 1)
        same_shape("wavelength_nm", axis, "counts", values)
        keep = np.ones(axis.size, bool) if exclude is None else ~np.asarray(exclude, bool)
        same_shape("wavelength_nm", axis, "exclude", keep)
        if keep.sum() < 10:
            raise AnalysisError(f"Only {int(keep.sum())} pixels are left to fit; at least 10 are needed.")
        spread = None
        if variance is not None:
            spread = count_array("variance", variance)
            same_shape("wavelength_nm", axis, "variance", spread)
            if not (spread > 0).all():
                raise AnalysisError("variance is zero somewhere; add the read noise, or leave variance out.")
        edges = pixel_edges(axis)
        ends = np.sort(np.stack([HC_EV_NM / edges[:-1], HC_EV_NM / edges[1:]]), axis=0)
        order = np.argsort(-axis)
        chosen = order[keep[order]]
        return cls(
            HC_EV_NM / axis[chosen],
            ends[0][chosen],
            ends[1][chosen],
            values[chosen],
            None if spread is None else spread[chosen],
            axis,
            edges,
        )

    @property
    def floor(self) -> float:
        """Smallest variance a pixel may get: that of the darkest pixels."""
        assert self.variance is not None
        return float(np.quantile(self.variance, 0.02)) * 0.5

    def model(self, theta: Floats) -> Floats:
        peak, ln_fwhm, area, background = theta
        return area * _gauss_share(self.low, self.high, peak, np.exp(ln_fwhm)) + background

    def jacobian(self, theta: Floats) -> Floats:
        peak, ln_fwhm, area, _ = theta
        sigma = np.exp(ln_fwhm) / FWHM_PER_SIGMA
        u, v = (self.low - peak) / sigma, (self.high - peak) / sigma
        g_u, g_v = np.exp(-0.5 * u**2) / np.sqrt(2 * np.pi), np.exp(-0.5 * v**2) / np.sqrt(2 * np.pi)
        columns = [
            -area * (g_v - g_u) / sigma,
            -area * (v * g_v - u * g_u),
            ndtr(v) - ndtr(u),
            np.ones_like(u),
        ]
        return np.stack(columns, axis=1)

    def start(self) -> Floats:
        """Background, peak, width and area read off the smoothed spectrum."""
        n = self.counts.size
        smooth = uniform_filter1d(self.counts, max(3, n // 100))
        background = float(np.quantile(smooth, 0.15))
        top = int(np.argmax(smooth))
        half = background + 0.5 * (smooth[top] - background)
        left = right = top
        while left > 0 and smooth[left - 1] > half:
            left -= 1
        while right < n - 1 and smooth[right + 1] > half:
            right += 1
        fwhm = max(float(self.high[right] - self.low[left]), 2.0 * float(self.high[top] - self.low[top]))
        height = (smooth[top] - background) / (self.high[top] - self.low[top])
        area = max(float(height * fwhm * 1.0645), 1e-6)
        return np.array([self.energy[top], np.log(fwhm), area, background])

    def solve(self, theta: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
        scale = np.array(
            [np.exp(theta[1]), 1.0, max(abs(theta[2]), 1e-6), max(abs(theta[3]), theta[2] / 1e3, 1e-6)]
        )
        span, pixel = np.ptp(self.energy), float((self.high - self.low).min())
        lower = np.array([self.energy[0] - span, np.log(0.3 * pixel), 0.0, -np.inf]) / scale
        upper = np.array([self.energy[-1] + span, np.log(20.0 * span), np.inf, np.inf]) / scale
        result = least_squares(
            lambda q: (self.model(q * scale) - self.counts) * weights,
            np.clip(theta / scale, lower + 1e-9, upper - 1e-9),
            # the type stubs of scipy know only the names of numerical methods here, the function takes both
            jac=lambda q: self.jacobian(q * scale) * weights[:, None] * scale,  # pyright: ignore[reportArgumentType]
            bounds=(lower, upper),
            max_nfev=200,
        )
        best = result.x * scale
        if not result.success or result.active_mask.any():
            raise FitError(
                "No line found: the fit ran to its bounds; expose longer or narrow the wavelength range."
            )
        return best, self.jacobian(best) * weights[:, None], result.fun


def _gauss_share(low: Floats, high: Floats, peak: float, fwhm: float) -> Floats:
    """Share of an area-1 Gaussian between `low` and `high`."""
    sigma = fwhm / FWHM_PER_SIGMA
    return ndtr((high - peak) / sigma) - ndtr((low - peak) / sigma)


def _result(
    data: _Data, theta: Floats, jacobian: Floats, residuals: Floats, instrument_fwhm_nm: float | None
) -> LineFit:
    peak, fwhm, area, background = float(theta[0]), float(np.exp(theta[1])), float(theta[2]), float(theta[3])
    norm = np.sqrt((jacobian**2).sum(axis=0))
    if (norm == 0).any() or np.linalg.cond(jacobian / norm) > 1e8:
        raise FitError("The spectrum does not determine a line (no curvature); is there light in it?")
    inverse = np.linalg.inv((jacobian / norm).T @ (jacobian / norm)) / np.outer(norm, norm)
    reduced = float(residuals @ residuals) / (residuals.size - theta.size)
    known = data.variance is not None
    scale = np.sqrt(max(1.0, reduced) if known else reduced)
    sigma = np.sqrt(np.diag(inverse)) * scale
    if not area > 5.0 * sigma[2]:
        raise FitError(
            f"No line found: its area is {area:.3g} +- {sigma[2]:.2g} counts; "
            "expose longer or check the laser."
        )
    if not data.energy[0] < peak < data.energy[-1]:
        raise FitError(
            f"The line at {HC_EV_NM / peak:.2f} nm lies outside of the spectrum; move the centre wavelength."
        )
    notes = []
    if fwhm > np.ptp(data.energy):
        notes.append("the line is wider than the spectrum: width and background cannot be told apart")
    if known and reduced > 2.0:
        notes.append(f"reduced chi2 {reduced:.1f}: the line is not a single Gaussian, errors were scaled up")
    intrinsic, intrinsic_err = _remove_instrument(peak, fwhm, fwhm * sigma[1], instrument_fwhm_nm, notes)
    edges = HC_EV_NM / data.edges_nm
    low, high = np.minimum(edges[:-1], edges[1:]), np.maximum(edges[:-1], edges[1:])
    return LineFit(
        peak_eV=peak,
        peak_eV_err=float(sigma[0]),
        fwhm_eV=fwhm,
        fwhm_eV_err=float(fwhm * sigma[1]),
        area=area,
        area_err=float(sigma[2]),
        background=background,
        background_err=float(sigma[3]),
        reduced_chi2=reduced if known else None,
        error_scale=float(scale),
        intrinsic_fwhm_eV=intrinsic,
        intrinsic_fwhm_eV_err=intrinsic_err,
        wavelength_nm=data.axis_nm,
        expected=area * _gauss_share(low, high, peak, fwhm) + background,
        notes=tuple(notes),
    )


def _remove_instrument(
    peak_eV: float, fwhm_eV: float, fwhm_err_eV: float, instrument_fwhm_nm: float | None, notes: list[str]
) -> tuple[float | None, float | None]:
    if instrument_fwhm_nm is None:
        return None, None
    instrument = interval_nm_to_eV(HC_EV_NM / peak_eV, instrument_fwhm_nm)
    if fwhm_eV <= instrument:
        notes.append(
            f"the line ({fwhm_eV * 1e3:.2f} meV) is not wider "
            f"than the instrument ({instrument * 1e3:.2f} meV)"
        )
        return None, None
    intrinsic = float(np.sqrt(fwhm_eV**2 - instrument**2))
    return intrinsic, fwhm_eV / intrinsic * fwhm_err_eV
